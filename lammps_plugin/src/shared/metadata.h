// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_METADATA_H
#define TNEP_METADATA_H

#include "shared/training_range.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

// Metadata of an exported model: the member tnep_calc.json of the file, written by tnep_calc/artifact/metadata.py.
struct TnepMetadata {
  std::string package_version, torch_version;  // versions that wrote the file
  std::string family, kind;                    // e.g. "nep", "dipole"; see tnep_calc/families.py
  std::string dtype, weights;                  // type of the arithmetic, and of the parameters in the file
  std::vector<std::string> quantities;         // names of the quantities that the model can compute
  std::vector<std::string> species;            // element symbols in the order of the species index
  double cutoff = 0.0;                         // largest cutoff in Angstrom
  std::string polarizability_unit;             // "e*A^2/V" or "N*chi"
  TnepTrainingRange range;                     // of the training data; files of earlier versions have none

  // Throws std::runtime_error with a message that names the faulty entry.
  static TnepMetadata parse(const std::string& json);

  bool gives(const std::string& quantity) const;
};

// The words separated by spaces, for messages.
std::string tnep_join(const std::vector<std::string>& words);

}  // namespace LAMMPS_NS

#endif
