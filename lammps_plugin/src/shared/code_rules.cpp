// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/code_rules.h"

#include <map>
#include <regex>
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

namespace {

struct Rules {
  TnepCodeRules words;
  std::regex members, globals;
};

Rules read_rules() {
  std::map<std::string, std::string> sections;
  std::istringstream stream(TEXT);
  std::string name;
  for (std::string line; std::getline(stream, line);) {
    if (line.empty()) continue;
    if (line.front() == '[' && line.back() == ']') name = line.substr(1, line.size() - 2);
    else sections[name] += (sections[name].empty() ? "" : " ") + line;
  }
  Rules out;
  out.words.operators = words(sections["operators"]);
  out.words.prim = words(sections["prim"]);
  out.words.methods = words(sections["methods"]);
  out.words.roots = words(sections["roots"]);
  out.words.not_called = words(sections["not called"]);
  out.words.not_used = words(sections["not used"]);
  out.members = std::regex(sections["members"]);
  out.globals = std::regex(sections["globals"]);
  return out;
}

const Rules& rules() {
  static const Rules found = read_rules();
  return found;
}

}  // namespace

const TnepCodeRules& LAMMPS_NS::tnep_rules() { return rules().words; }

bool LAMMPS_NS::tnep_is_member(const std::string& name) { return std::regex_match(name, rules().members); }

bool LAMMPS_NS::tnep_is_global(const std::string& name) { return std::regex_match(name, rules().globals); }

void LAMMPS_NS::tnep_refuse(const std::string& what) {
  throw std::runtime_error("contains " + what +
                           ", which no model of tnep_calc has, so it is not loaded: export the model with 'tnep "
                           "export'");
}
