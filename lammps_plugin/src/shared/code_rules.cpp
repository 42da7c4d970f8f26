// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/code_rules.h"

#include <map>
#include <sstream>
#include <stdexcept>

using namespace LAMMPS_NS;

static constexpr char TEXT[] =
#include "artifact/code_rules.inc"
    ;

static std::set<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::set<std::string> out;
  for (std::string word; stream >> word;) out.insert(word);
  return out;
}

static TnepCodeRules read_rules() {
  std::map<std::string, std::string> sections;
  std::istringstream stream(TEXT);
  std::string name;
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) continue;
    if (line.front() == '[' && line.back() == ']') name = line.substr(1, line.size() - 2);
    else sections[name] += (sections[name].empty() ? "" : " ") + line;
  }
  TnepCodeRules out;
  out.operators = words(sections["operators"]);
  out.prim = words(sections["prim"]);
  out.methods = words(sections["methods"]);
  out.roots = words(sections["roots"]);
  out.not_called = words(sections["not called"]);
  out.not_used = words(sections["not used"]);
  out.members = std::regex(sections["members"]);
  out.globals = std::regex(sections["globals"]);
  return out;
}

const TnepCodeRules& LAMMPS_NS::tnep_rules() {
  static const TnepCodeRules rules = read_rules();
  return rules;
}

void LAMMPS_NS::tnep_refuse(const std::string& what) {
  throw std::runtime_error("contains " + what +
                           ", which no model of tnep_calc has, so it is not loaded: export the model with 'tnep "
                           "export'");
}
