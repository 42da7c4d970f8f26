// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/nep_txt.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

using namespace LAMMPS_NS;

static constexpr char BY_HAND[] = "turn it into an artifact with 'tnep export nep.txt model.pt'";

static std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool LAMMPS_NS::tnep_is_nep_txt(const std::string& content) { return content.compare(0, 3, "nep") == 0; }

std::string LAMMPS_NS::tnep_export(const std::string& path) {
  const char* python = std::getenv("TNEP_CALC_PYTHON");
  if (!python)
    throw std::runtime_error(std::string("this is a nep.txt, and LAMMPS was not started by the lmp of a Python "
                                         "environment with tnep_calc: ") +
                             BY_HAND);
  const char* folder = std::getenv("TMPDIR");
  std::string name = std::string(folder ? folder : "/tmp") + "/tnepXXXXXX";
  const int descriptor = mkstemp(&name[0]);
  if (descriptor < 0)
    throw std::runtime_error("cannot write to " + name + ": set TMPDIR to a folder for temporary files");
  close(descriptor);
  const std::string command = quoted(python) +
                              " -P -c 'import sys; from tnep_calc.cli import main; sys.exit(main())' export " +
                              quoted(path) + " " + quoted(name) + " --force 2>&1";
  std::string line, last_line;
  int status = -1;
  if (FILE* pipe = popen(command.c_str(), "r")) {
    char buffer[1024];
    while (fgets(buffer, sizeof(buffer), pipe)) {
      line = buffer;
      while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
      if (!line.empty()) last_line = line;
    }
    status = pclose(pipe);
  }
  std::ostringstream bytes;
  bytes << std::ifstream(name, std::ios::binary).rdbuf();
  unlink(name.c_str());
  if (status != 0) throw std::runtime_error("'tnep export' failed (" + last_line + "): " + BY_HAND);
  return bytes.str();
}
