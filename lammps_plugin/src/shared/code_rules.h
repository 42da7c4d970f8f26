// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_CODE_RULES_H
#define TNEP_CODE_RULES_H

#include <set>
#include <string>

namespace LAMMPS_NS {

// The lists of names of tnep_calc/artifact/code_rules.inc, which Python reads too.
struct TnepCodeRules {
  std::set<std::string> operators, prim, methods, roots, not_called, not_used;
};

const TnepCodeRules& tnep_rules();

// Whether the name of a member of the archive, or of a global of a pickle, is one that models of tnep_calc have.
bool tnep_is_member(const std::string& name);
bool tnep_is_global(const std::string& name);

// Throw std::runtime_error: the file contains something that no model of tnep_calc has.
[[noreturn]] void tnep_refuse(const std::string& what);

}  // namespace LAMMPS_NS

#endif
