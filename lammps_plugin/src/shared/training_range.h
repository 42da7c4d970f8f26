// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_TRAINING_RANGE_H
#define TNEP_TRAINING_RANGE_H

#include <cstdint>
#include <string>
#include <vector>

namespace LAMMPS_NS {

struct TnepGraph;

// Range of the atomic environments in the training data of a model; tnep_calc/artifact/training_range.py defines it.
// For each species of the centre and of the neighbours there are NUMBERS numbers: the distance to the nearest neighbour
// of that species in Angstrom, and its densities sum_j (1 - r_ij / cutoff)^p for the powers 2, 4 and 8.
struct TnepTrainingRange {
  static constexpr int NUMBERS = 4;
  double cutoff = 0.0;            // Angstrom; 0: the model has no range
  std::vector<char> known;        // by species: whether the data have it
  std::vector<double> low, high;  // [centre species, neighbour species, number]
};

// Atoms of this rank that are outside of the range.
struct TnepOutside {
  int64_t atoms = 0;
  double excess = 0.0;  // largest distance from the range, as a share of its width
  std::string words;    // describes that largest distance
};

TnepOutside tnep_outside(const TnepTrainingRange& range, const TnepGraph& graph,
                         const std::vector<std::string>& species);

}  // namespace LAMMPS_NS

#endif
