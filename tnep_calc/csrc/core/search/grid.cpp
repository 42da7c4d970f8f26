// Sorting of atoms into bins for the neighbour search.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/search/grid.h"

namespace tnep {
namespace {

constexpr int64_t kPadding = 16;  // vectors may read beyond the last atom
constexpr double kBinsPerCutoff = 2;

void cross(const double* a, const double* b, double* out) {
  out[0] = a[1] * b[2] - a[2] * b[1];
  out[1] = a[2] * b[0] - a[0] * b[2];
  out[2] = a[0] * b[1] - a[1] * b[0];
}

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

}  // namespace

// Choose the number of bins in each direction from the cutoff, but at most a few bins per atom.  `low` and `high` are
// the bounds of the fractional coordinates.
void GridStorage::choose_bins(const double* low, const double* high, int64_t n_atoms) {
  double area[3], volume = 0;
  for (int a = 0; a < 3; a++) {
    double normal[3];
    cross(grid_.cell + 3 * ((a + 1) % 3), grid_.cell + 3 * ((a + 2) % 3), normal);
    area[a] = std::sqrt(dot(normal, normal));
    if (a == 0) volume = std::abs(dot(grid_.cell, normal));
  }
  double extent[3], wanted[3];
  for (int a = 0; a < 3; a++) {
    extent[a] = volume / area[a] * (grid_.periodic[a] ? 1.0 : high[a] - low[a]);
    wanted[a] = std::max(1.0, std::floor(extent[a] * kBinsPerCutoff / grid_.cutoff));
  }
  const double limit = std::max<double>(64, 4.0 * double(n_atoms));
  while (wanted[0] * wanted[1] * wanted[2] > limit) {
    double* most = std::max_element(wanted, wanted + 3);
    *most = std::max(1.0, std::floor(*most * 0.8));
  }
  for (int a = 0; a < 3; a++) {
    grid_.bins[a] = int(wanted[a]);
    grid_.width[a] = extent[a] / wanted[a];
    // The single bin of a non-periodic direction may have zero width.
    const double span = grid_.cutoff / std::max(grid_.width[a], 1e-12);
    grid_.reach[a] = grid_.periodic[a] ? int(std::ceil(span)) : int(std::min<double>(std::ceil(span), wanted[a]));
  }
}

GridStorage::GridStorage(const double* positions, int64_t n, const double* cell, const bool* periodic, double cutoff) {
  Grid& g = grid_;
  g.cutoff = cutoff;
  double inverse[9];  // columns: r . inverse = fractional coordinates
  for (int i = 0; i < 9; i++) g.cell[i] = cell[i];
  for (int a = 0; a < 3; a++) {
    g.periodic[a] = periodic[a];
    double normal[3];
    cross(cell + 3 * ((a + 1) % 3), cell + 3 * ((a + 2) % 3), normal);
    const double volume = dot(cell + 3 * a, normal);
    if (!(std::abs(volume) > 0) || !std::isfinite(volume)) throw std::invalid_argument("the cell has no volume");
    for (int b = 0; b < 3; b++) inverse[3 * b + a] = normal[b] / volume;
  }
  if (!(cutoff > 0) || !std::isfinite(cutoff))
    throw std::invalid_argument("the cutoff must be positive and finite, got " + std::to_string(cutoff));
  g.orthogonal = true;
  for (int i = 0; i < 9; i++) g.orthogonal = g.orthogonal && (i % 4 == 0 || cell[i] == 0);

  std::vector<double> fractional(3 * n);
  integers_.resize(3 * n + 3 * n + n + (n + kPadding));
  int32_t *wrap = integers_.data(), *bin_of = wrap + 3 * n, *rank = bin_of + 3 * n, *atom = rank + n;
  double low[3] = {1e300, 1e300, 1e300}, high[3] = {-1e300, -1e300, -1e300};
  for (int64_t i = 0; i < n; i++)
    for (int a = 0; a < 3; a++) {
      const double* r = positions + 3 * i;
      double s = r[0] * inverse[a] + r[1] * inverse[3 + a] + r[2] * inverse[6 + a];
      if (!(std::abs(s) < 1e9)) throw std::invalid_argument("position of atom " + std::to_string(i) + " is not finite");
      const double whole = periodic[a] ? std::floor(s) : 0.0;
      wrap[3 * i + a] = -int32_t(whole);
      fractional[3 * i + a] = s -= whole;
      low[a] = std::min(low[a], s);
      high[a] = std::max(high[a], s);
    }
  if (n == 0) std::fill(low, low + 3, 0.0), std::fill(high, high + 3, 0.0);
  choose_bins(low, high, n);

  const int64_t total = int64_t(g.bins[0]) * g.bins[1] * g.bins[2];
  std::vector<int32_t> start(total + 1, 0), flat(n);
  for (int64_t i = 0; i < n; i++) {
    int32_t* b = bin_of + 3 * i;
    for (int a = 0; a < 3; a++) {
      const double origin = periodic[a] ? 0.0 : low[a], range = periodic[a] ? 1.0 : high[a] - low[a];
      const double at = range > 0 ? (fractional[3 * i + a] - origin) / range * g.bins[a] : 0.0;
      b[a] = std::min(int32_t(at), int32_t(g.bins[a] - 1));
    }
    flat[i] = int32_t((int64_t(b[2]) * g.bins[1] + b[1]) * g.bins[0] + b[0]);
    start[flat[i] + 1]++;
  }
  for (int64_t b = 0; b < total; b++) start[b + 1] += start[b];
  std::vector<int32_t> next(start.begin(), start.end() - 1);
  coordinates_.assign(3 * (n + kPadding), 1e30);
  double *x = coordinates_.data(), *y = x + n + kPadding, *z = y + n + kPadding;
  for (int64_t i = 0; i < n; i++) {
    const int32_t k = next[flat[i]]++;
    rank[i] = k;
    atom[k] = int32_t(i);
    const int32_t* w = wrap + 3 * i;
    const double* r = positions + 3 * i;
    x[k] = r[0] + w[0] * cell[0] + w[1] * cell[3] + w[2] * cell[6];
    y[k] = r[1] + w[0] * cell[1] + w[1] * cell[4] + w[2] * cell[7];
    z[k] = r[2] + w[0] * cell[2] + w[1] * cell[5] + w[2] * cell[8];
  }
  const size_t used = integers_.size();
  integers_.insert(integers_.end(), start.begin(), start.end());
  wrap = integers_.data();
  g.wrap = wrap;
  g.bin_of = wrap + 3 * n;
  g.rank = wrap + 6 * n;
  g.atom = wrap + 7 * n;
  g.bin_start = wrap + used;
  g.x = x;
  g.y = y;
  g.z = z;
}

}  // namespace tnep
