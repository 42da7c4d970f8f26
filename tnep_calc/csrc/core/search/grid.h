// Neighbour search on a grid of bins, for any cell: periodic or not in each direction, and also smaller than the
// cutoff.
#pragma once

#include <cstdint>
#include <vector>

namespace tnep {

// Atoms sorted by bin (x bins fastest) so that a row of bins is one contiguous range of atoms.
struct Grid {
  double cutoff;
  double cell[9];  // rows are lattice vectors (non-periodic directions completed)
  bool periodic[3];
  bool orthogonal;
  int bins[3], reach[3];     // bins per direction; number of bins that the cutoff spans
  double width[3];           // thickness of a bin, A
  const double *x, *y, *z;   // [n + padding] wrapped positions, sorted
  const int32_t* atom;       // [n + padding] original index, sorted
  const int32_t* rank;       // [n] sorted index of every atom
  const int32_t* bin_start;  // [bins + 1]
  const int32_t* bin_of;     // [n * 3] bin of every atom
  const int32_t* wrap;       // [n * 3] lattice translation that wrapped every atom into the cell
};

// Buffer to which edges are appended.
struct EdgeBuffer {
  int64_t count, capacity;
  int64_t* counts;     // [atoms of the range]: edges of every atom
  int64_t* neighbors;  // [capacity]
  int32_t* shifts;     // [capacity * 3]: vector = r_neighbor + shift . cell - r_center
  double* vectors;     // [capacity * 3], A
  int32_t* list;       // scratch, [n_atoms + 16]
};

// Find the neighbours of atoms [begin, end) in order.  Returns `end`, or the first atom whose edges do not fit into the
// buffer.
using SearchFunction = int64_t (*)(const Grid& grid, int64_t begin, int64_t end, EdgeBuffer& out);

// The search compiled for the instruction set in use.
SearchFunction search_function();

// Owner of the arrays of a grid.
class GridStorage {
 public:
  // Throws std::invalid_argument for a cell without volume or a cutoff that is not positive and finite.
  GridStorage(const double* positions, int64_t n_atoms, const double* cell, const bool* periodic, double cutoff);
  const Grid& grid() const { return grid_; }

 private:
  void choose_bins(const double* low, const double* high, int64_t n_atoms);
  Grid grid_;
  std::vector<double> coordinates_;
  std::vector<int32_t> integers_;
};

}  // namespace tnep
