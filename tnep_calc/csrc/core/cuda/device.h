// Edges in the memory of a GPU, launch parameters, and sums over edges for atoms.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/macros.h"

TNEP_BEGIN

// Centres and their edges, as in the model contract: either `neighbors` with `vectors`, or `list` with `positions`.
struct DeviceEdges {
  int64_t n_atoms, n_centers, n_edges;
  const int64_t* species;    // [n_atoms]
  const int64_t* centers;    // [n_centers]
  const int64_t* offsets;    // [n_centers + 1]
  const int64_t* neighbors;  // [n_edges], or null
  const double* vectors;     // [n_edges * 3], A, or null
  const int32_t* list;       // [n_edges], or null
  const double* positions;   // [n_atoms * 3], A, or null
};

// Launch parameters of a kernel.
struct Plan {
  int64_t blocks;
  size_t block_bytes;  // scratch memory of a block
  bool shared;         // whether it is in shared memory; otherwise blocks * block_bytes of global memory are needed
};

// Sum `size` numbers per edge: subtract from atoms[n_atoms * stride] the sums over the edges that end at each atom and,
// if `centers`, add the sums over the edges that begin there.  With `incoming` (the edges sorted by the atom at their
// end, in ascending order) and `starts` [n_atoms + 1], the order of all additions is fixed, provided that no atom is a
// centre twice.  If they are null, additions are atomic.
template <class T>
void scatter(const DeviceEdges& edges, const T* values, int size, int stride, bool centers, const int64_t* incoming,
             const int64_t* starts, double* atoms, void* stream);

// Set nine[n_edges * 9] to r_a P_b of every edge.
template <class R>
void edge_virials(const DeviceEdges& edges, const R* partials, double* nine, void* stream);

TNEP_END
