// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_ARCHIVE_CHECK_H
#define TNEP_ARCHIVE_CHECK_H

#include <string>

namespace LAMMPS_NS {

// Throw std::runtime_error, with one line, if a model file contains code or objects that a model does not need: code
// that reaches files, other libraries or classes of C++, or that runs when the file is loaded.  `content` has the bytes
// of the file.  The rules are those of Python, tnep_calc/artifact/code.py, and both take the lists of names from
// tnep_calc/artifact/code_rules.inc.
void tnep_check_archive(const std::string& content);

}  // namespace LAMMPS_NS

#endif
