// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/archive_check.h"

#include "shared/code_check.h"
#include "shared/code_rules.h"

#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/istream_adapter.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <set>
#include <sstream>
#include <vector>

using namespace LAMMPS_NS;

static constexpr size_t LONGEST_NAME = 300;  // the library of regular expressions recurses over the characters

static bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Bytes of the argument that follows an instruction of a pickle; -1: not an instruction that torch writes.
// LENGTH_1 and LENGTH_4: a length of 1 or 4 bytes and that many bytes.  LINES: two lines of text.
static constexpr int UNKNOWN = -1, LENGTH_1 = -2, LENGTH_4 = -3, LINES = -4;

static int argument_of(unsigned char code) {
  switch (code) {
    case 'c':
      return LINES;  // GLOBAL
    case 'X':
    case 'T':
      return LENGTH_4;  // BINUNICODE, BINSTRING
    case 'U':
    case 0x8c:
    case 0x8a:
      return LENGTH_1;  // SHORT_BINSTRING, SHORT_BINUNICODE, LONG1
    case 'G':
      return 8;  // BINFLOAT
    case 'J':
    case 'j':
    case 'r':
      return 4;  // BININT, LONG_BINGET, LONG_BINPUT
    case 'M':
      return 2;  // BININT2
    case 'K':
    case 'h':
    case 'q':
    case 0x80:
      return 1;  // BININT1, BINGET, BINPUT, PROTO
    case '(':
    case ')':
    case ']':
    case '}':
    case 'N':
    case 0x88:
    case 0x89:
    case '0':
    case '2':
    case 't':
    case 0x85:
    case 0x86:
    case 0x87:
    case 'l':
    case 'd':
    case 'e':
    case 'a':
    case 's':
    case 'u':
    case 'R':
    case 'b':
    case 0x81:
    case 'Q':
    case '.':
      return 0;
    default:
      return UNKNOWN;
  }
}

// The objects that a pickle creates are named by its GLOBAL instructions.
static void check_objects(const std::string& data) {
  size_t at = 0;
  const auto length = [&](size_t bytes) {
    if (data.size() - at < bytes) tnep_refuse("a damaged list of parameters");
    size_t value = 0;
    for (size_t k = bytes; k-- > 0;) value = value << 8 | static_cast<unsigned char>(data[at + k]);
    at += bytes;
    return value;
  };
  while (at < data.size()) {
    const unsigned char code = data[at++];
    const int kind = argument_of(code);
    if (kind == UNKNOWN) tnep_refuse("the instruction " + std::to_string(code));
    if (kind == LINES) {
      const size_t first = data.find('\n', at),
                   second = first == std::string::npos ? first : data.find('\n', first + 1);
      if (second == std::string::npos) tnep_refuse("a damaged list of parameters");
      const std::string name = data.substr(at, first - at) + " " + data.substr(first + 1, second - first - 1);
      if (name.size() > LONGEST_NAME || !tnep_is_global(name))
        tnep_refuse("an object of the class " + name.substr(0, 80));
      at = second + 1;
      continue;
    }
    const size_t size = kind == LENGTH_1 ? length(1) : kind == LENGTH_4 ? length(4) : static_cast<size_t>(kind);
    if (size > data.size() - at) tnep_refuse("a damaged list of parameters");
    at += size;
    if (code == '.') return;
  }
  tnep_refuse("a damaged list of parameters");
}

void LAMMPS_NS::tnep_check_archive(const std::string& content) {
  std::istringstream stream(content);
  caffe2::serialize::PyTorchStreamReader reader(std::make_unique<caffe2::serialize::IStreamAdapter>(&stream));
  std::set<std::string> names;
  for (const auto& name : reader.getAllRecords()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
    if (!names.insert(lower).second) tnep_refuse("two members of the same name");
    if (name.size() > LONGEST_NAME || !tnep_is_member(name)) tnep_refuse("the member '" + name.substr(0, 80) + "'");
    const bool code = ends_with(name, ".py"), objects = name == "data.pkl" || name == "constants.pkl";
    if (!code && !objects) continue;
    const auto record = reader.getRecord(name);
    const std::string data(static_cast<const char*>(std::get<0>(record).get()), std::get<1>(record));
    if (code) tnep_check_code(data);
    else check_objects(data);
  }
}
