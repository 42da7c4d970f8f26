// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/training_range.h"

#include "shared/model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

using namespace LAMMPS_NS;

static constexpr int N = TnepTrainingRange::NUMBERS;
// As in tnep_calc/artifact/training_range.py.
static constexpr double TOLERANCE = 0.1, SMALLEST_DISTANCE_WIDTH = 0.1, SMALLEST_DENSITY_WIDTH = 0.05;

static std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

// Add the neighbours of one centre to its numbers, (species, N).
static void add_neighbors(const TnepGraph& graph, int64_t c, double cutoff, double* found) {
  for (int64_t e = graph.offsets[c]; e < graph.offsets[c + 1]; e++) {
    double r2 = 0.0;
    const int64_t j = graph.positions ? graph.list[e] : graph.neighbors[e];
    for (int k = 0; k < 3; k++) {
      const double d = graph.positions ? graph.positions[3 * j + k] - graph.positions[3 * graph.centers[c] + k]
                                       : graph.vectors[3 * e + k];
      r2 += d * d;
    }
    if (r2 >= cutoff * cutoff) continue;
    const double r = std::sqrt(r2), u = 1.0 - r / cutoff, u2 = u * u, u4 = u2 * u2;
    double* mine = found + N * graph.species[j];
    mine[0] = std::min(mine[0], r);
    mine[1] += u2;
    mine[2] += u4;
    mine[3] += u4 * u4;
  }
}

TnepOutside LAMMPS_NS::tnep_outside(const TnepTrainingRange& range, const TnepGraph& graph,
                                    const std::vector<std::string>& species) {
  const int types = static_cast<int>(species.size());
  const double infinity = std::numeric_limits<double>::infinity();
  TnepOutside out;
  double nearest = 0.0;  // excess of distances that are too short, which are described rather than densities
  std::vector<double> found(static_cast<size_t>(types) * N);
  for (int64_t c = 0; c < graph.n_centers; c++) {
    const int64_t a = graph.species[graph.centers[c]];
    if (!range.known[a]) {
      out.atoms++;
      if (out.excess < infinity || nearest < infinity) out.words = "they have no " + species[a];
      out.excess = nearest = infinity;
      continue;
    }
    for (int b = 0; b < types; b++) {
      found[N * b] = range.cutoff;
      std::fill_n(&found[N * b + 1], N - 1, 0.0);
    }
    add_neighbors(graph, c, range.cutoff, found.data());
    double largest = 0.0;
    for (int b = 0; b < types; b++)
      for (int k = 0; k < N; k++) {
        const size_t at = (a * types + b) * N + k;
        const double low = range.low[at], high = range.high[at], value = found[N * b + k];
        const double width = std::max(high - low, k == 0 ? SMALLEST_DISTANCE_WIDTH : SMALLEST_DENSITY_WIDTH * high);
        const double beyond = std::max(low - value, value - high);
        const double excess = beyond <= 0.0 ? 0.0 : width > 0.0 ? beyond / width : infinity;
        largest = std::max(largest, excess);
        const bool is_short = k == 0 && value < low && excess > TOLERANCE && excess > nearest;
        if (!is_short && (nearest > 0.0 || excess <= out.excess)) {
          out.excess = std::max(out.excess, excess);
          continue;
        }
        if (is_short) nearest = excess;
        out.excess = std::max(out.excess, excess);
        const std::string pair = species[b] + (k == 0 ? " of " : " around ") + species[a];
        if (range.high[(a * types + b) * N + 1] == 0.0)
          out.words = species[a] + " has a neighbour " + species[b] + ", which it never has there";
        else if (k == 0)
          out.words = "the nearest " + pair + " is " + number(value) + " A away, there at " +
                      (value < low ? "least " + number(low) : "most " + number(high)) + " A";
        else
          out.words = "the density of " + pair + " is " + (value < low ? "below" : "above") + " their range by " +
                      number(100.0 * excess) + " % of its width";
      }
    out.atoms += largest > TOLERANCE;
  }
  return out;
}
