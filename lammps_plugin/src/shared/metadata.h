// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_METADATA_H
#define TNEP_METADATA_H

#include <string>
#include <vector>

namespace LAMMPS_NS {

// What an exported model says about itself (member tnep_calc.json of the file, written by tnep_calc/artifact.py).
struct TnepMetadata {
  std::string package_version, torch_version;       // that wrote the file
  std::string family, kind, dtype;                  // e.g. "nep", "dipole", "float64"; see tnep_calc/families.py
  std::vector<std::string> quantities, species;     // what it gives; symbols in the order of the species index
  double cutoff = 0.0;                              // largest cutoff in Angstrom
  std::string polarizability_unit;                  // "e*A^2/V", or "N*chi"

  // Throws std::runtime_error with a message that names what is wrong.
  static TnepMetadata parse(const std::string &json);

  bool gives(const std::string &quantity) const;
};

// Words separated by blanks, for messages.
std::string tnep_join(const std::vector<std::string> &words);

}    // namespace LAMMPS_NS

#endif
