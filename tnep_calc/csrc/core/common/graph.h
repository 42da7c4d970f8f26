// The input of every model: atoms, centres and their edges.
#pragma once

#include <cstdint>

namespace tnep {

// Position (A) and species of one atom.
struct AtomRow {
  double x, y, z;
  int64_t species;
};

// Centres and their edges, as in the model contract (all arrays contiguous).  The edges are either `neighbors` with
// `vectors`, or `list` with positions in `rows`.
struct Edges {
  int64_t n_atoms, n_centers;
  const int64_t* species;         // [n_atoms]
  const int64_t* centers;         // [n_centers]
  const int64_t* offsets;         // [n_centers + 1]
  const int64_t* neighbors;       // [n_edges]
  const double* vectors;          // [n_edges * 3], A, neighbour minus centre
  const int32_t* list = nullptr;  // [n_edges], neighbours; null: use neighbors and vectors
  const AtomRow* rows = nullptr;  // [n_atoms]
};

}  // namespace tnep
