// Neighbour search over a grid, compiled once per instruction set.  As in nep/kernels.cpp, inline functions of the
// standard library must not be used.
#include "core/common/simd.h"
#include "core/search/grid.h"

TNEP_BEGIN

// One row of bins at a lattice image: sorted atoms [first, last).
struct Row {
  int32_t first, last;
  int32_t shift[3];
};

// Append the atoms of the row within the cutoff of the centre at sorted index `self`; false if they do not fit.
TNEP_HD bool search_row(const Grid& g, const Row& row, int32_t self, const int32_t* wrap, EdgeBuffer& out) {
  using V = Vec<double>;
  constexpr int W = kLanes<double>;
  const int32_t* s = row.shift;
  // Shift the centre instead of the neighbours.
  const double cx = g.x[self] - (s[0] * g.cell[0] + s[1] * g.cell[3] + s[2] * g.cell[6]);
  const double cy = g.y[self] - (s[0] * g.cell[1] + s[1] * g.cell[4] + s[2] * g.cell[7]);
  const double cz = g.z[self] - (s[0] * g.cell[2] + s[1] * g.cell[5] + s[2] * g.cell[8]);
  int found = 0;
  for (int32_t k = row.first; k < row.last; k += W) {
    const V x = load<V>(g.x + k) - cx, y = load<V>(g.y + k) - cy, z = load<V>(g.z + k) - cz;
    found += append_below<V>(x * x + y * y + z * z, g.cutoff * g.cutoff, k, out.list + found);
  }
  while (found > 0 && out.list[found - 1] >= row.last) found--;  // lanes beyond the row
  if (out.capacity - out.count < found) return false;
  const bool home = s[0] == 0 && s[1] == 0 && s[2] == 0;
  int64_t at = out.count;
  for (int i = 0; i < found; i++) {
    const int32_t k = out.list[i];
    if (home && k == self) continue;
    const int32_t j = g.atom[k];
    out.neighbors[at] = j;
    double* v = out.vectors + 3 * at;
    v[0] = g.x[k] - cx;
    v[1] = g.y[k] - cy;
    v[2] = g.z[k] - cz;
    for (int a = 0; a < 3; a++) out.shifts[3 * at + a] = s[a] + g.wrap[3 * int64_t(j) + a] - wrap[a];
    at++;
  }
  out.count = at;
  return true;
}

TNEP_HD int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Function that gives the square of the smallest distance, along one direction, from an atom to a bin that is
// `bins_away` from its own bin.
struct Gaps {
  double width, below, above;  // thickness of a bin; distances from the atom to the walls of its own bin, A

  TNEP_HD double operator()(int bins_away) const {
    double d = 0;
    if (bins_away > 0) d = (bins_away - 1) * width + above;
    if (bins_away < 0) d = (-bins_away - 1) * width + below;
    return d * d;
  }
};

// In an orthogonal periodic cell, the position of the atom in its bin gives a lower bound of distances to other bins.
// In other cells the bound is zero.
TNEP_HD Gaps find_gaps(const Grid& g, int a, double coordinate, int bin) {
  if (!g.orthogonal || !(g.periodic[0] && g.periodic[1] && g.periodic[2])) return {0, 0, 0};
  const double inside = (g.cell[4 * a] > 0 ? coordinate : -coordinate) - bin * g.width[a];
  constexpr double margin = 1e-9;  // rounding
  const double below = inside - margin, above = g.width[a] - inside - margin;
  return {g.width[a], below > 0 ? below : 0, above > 0 ? above : 0};
}

// Search all rows of bins around atom i; returns false if the buffer is full.
TNEP_FUNCTION bool search_atom(const Grid& g, int64_t i, EdgeBuffer& out) {
  const int32_t self = g.rank[i];
  const int32_t *b = g.bin_of + 3 * i, *wrap = g.wrap + 3 * i;
  const Gaps gap_x = find_gaps(g, 0, g.x[self], b[0]), gap_y = find_gaps(g, 1, g.y[self], b[1]),
             gap_z = find_gaps(g, 2, g.z[self], b[2]);
  const double rc2 = g.cutoff * g.cutoff;
  for (int dz = -g.reach[2]; dz <= g.reach[2]; dz++) {
    const int kz = floor_div(b[2] + dz, g.bins[2]);
    if (kz != 0 && !g.periodic[2]) continue;
    for (int dy = -g.reach[1]; dy <= g.reach[1]; dy++) {
      const int ky = floor_div(b[1] + dy, g.bins[1]);
      const double left = rc2 - gap_z(dz) - gap_y(dy);
      if ((ky != 0 && !g.periodic[1]) || left < 0) continue;
      int from = -g.reach[0], to = g.reach[0];
      while (from < 0 && gap_x(from) > left) from++;
      while (to > 0 && gap_x(to) > left) to--;
      const int64_t line = (int64_t(b[2] + dz - kz * g.bins[2]) * g.bins[1] + (b[1] + dy - ky * g.bins[1])) * g.bins[0];
      const int first = b[0] + from, last = b[0] + to;
      for (int kx = floor_div(first, g.bins[0]); kx * g.bins[0] <= last; kx++) {
        if (kx != 0 && !g.periodic[0]) continue;
        const int begin = first > kx * g.bins[0] ? first - kx * g.bins[0] : 0;
        const int end = last < (kx + 1) * g.bins[0] ? last - kx * g.bins[0] : g.bins[0] - 1;
        const Row row = {g.bin_start[line + begin], g.bin_start[line + end + 1], {kx, ky, kz}};
        if (row.first < row.last && !search_row(g, row, self, wrap, out)) return false;
      }
    }
  }
  return true;
}

int64_t search(const Grid& g, int64_t begin, int64_t end, EdgeBuffer& out) {
  for (int64_t i = begin; i < end; i++) {
    const int64_t before = out.count;
    if (!search_atom(g, i, out)) {
      out.count = before;
      return i;
    }
    out.counts[i - begin] = out.count - before;
  }
  return end;
}

TNEP_END
