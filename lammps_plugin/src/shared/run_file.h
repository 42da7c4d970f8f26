// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_RUN_FILE_H
#define TNEP_RUN_FILE_H

#include "pointers.h"

#include <cstdint>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// An output file that is written again and again during a simulation: one line of JSON, then numbers (float64, little
// endian).  A write replaces the whole file at once, so that it is complete also after a kill.  A file of another
// simulation is never replaced, and two simulations cannot write to the same file at the same time.
class TnepRunFile : protected Pointers {
 public:
  TnepRunFile(LAMMPS* lmp, std::string style);
  ~TnepRunFile() override;
  TnepRunFile(const TnepRunFile&) = delete;
  TnepRunFile& operator=(const TnepRunFile&) = delete;

  std::string path;
  uint64_t run = 0;  // number of the simulation, the same after a restart; 0 before claim()

  // Take the file for this simulation; stops with an error if it belongs to another one.  Collective.
  void claim();

  // Replace the content (on rank 0; the other ranks do nothing).  The header must have the number `run` as "run".
  void write(const std::string& header, const std::vector<std::vector<double>>& numbers);

 private:
  std::string style;
  int lock = -1;  // descriptor of the lock file on rank 0, -1 for none
  bool claimed = false;

  std::string lock_path() const { return path + ".lock"; }
  std::string take();
};

}  // namespace LAMMPS_NS

#endif
