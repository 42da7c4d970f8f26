// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_SNAPSHOT_H
#define TNEP_SNAPSHOT_H

#include <string>
#include <vector>

namespace LAMMPS_NS {

class LAMMPS;
class TnepDriver;

// Append the atoms that the model sees to a file in the extended xyz format (Angstrom), ordered by id, with a column
// `name` of one number per local atom, and the step.  Collective.
void tnep_append_structure(LAMMPS* lmp, const std::string& path, const TnepDriver& model, const std::string& name,
                           const std::vector<double>& values);

}  // namespace LAMMPS_NS

#endif
