// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_NEP_TXT_H
#define TNEP_NEP_TXT_H

#include <string>

namespace LAMMPS_NS {

// Whether the content of a file is a GPUMD nep.txt rather than an artifact.
bool tnep_is_nep_txt(const std::string& content);

// Convert the nep.txt at `path` with `tnep export` of the Python package, so that ASE and LAMMPS use the same model.
// Returns the bytes of the artifact.  The interpreter is that of the `lmp` script (variable TNEP_CALC_PYTHON, see
// python/tnep_calc_lammps).  Throws std::runtime_error with a one-line message.
std::string tnep_export(const std::string& path);

}  // namespace LAMMPS_NS

#endif
