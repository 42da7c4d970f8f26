// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_CODE_CHECK_H
#define TNEP_CODE_CHECK_H

#include <string>

namespace LAMMPS_NS {

// Throw std::runtime_error if the TorchScript source does more than calculate (see archive_check.h).
void tnep_check_code(const std::string& source);

}  // namespace LAMMPS_NS

#endif
