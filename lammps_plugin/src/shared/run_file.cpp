// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/run_file.h"

#include "comm.h"
#include "error.h"
#include "json.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <utility>

using namespace LAMMPS_NS;

TnepRunFile::TnepRunFile(LAMMPS* lmp, std::string style_name) : Pointers(lmp), style(std::move(style_name)) {}

TnepRunFile::~TnepRunFile() {
  if (lock < 0) return;
  unlink(lock_path().c_str());
  close(lock);
}

void TnepRunFile::claim() {
  if (claimed) return;
  claimed = true;
  std::string failure;
  if (comm->me == 0) failure = take();
  int length = static_cast<int>(failure.size());
  MPI_Bcast(&length, 1, MPI_INT, 0, world);
  if (length == 0) return;
  failure.resize(length);
  MPI_Bcast(&failure[0], length, MPI_CHAR, 0, world);
  error->all(FLERR, "{}: {}", style, failure);
}

// Lock the file and check that it is new or of this simulation; returns the reason if it cannot be used.
std::string TnepRunFile::take() {
  lock = open(lock_path().c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock < 0) return "cannot write to the folder of " + path + " (" + strerror(errno) + ")";
  if (flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(lock);
    lock = -1;
    return "another simulation is writing to " + path + "; give each its own file";
  }
  std::ifstream stream(path, std::ios::binary);
  const bool restarted = run != 0;
  if (!restarted) {
    std::random_device random;
    while (run == 0) run = (static_cast<uint64_t>(random()) << 20) ^ random();
    run &= (uint64_t(1) << 53) - 1;  // exact as a double
  }
  if (!stream) return "";
  uint64_t found = 0;
  std::string line;
  try {
    std::getline(stream, line);
    found = json::parse(line).at("run").get<uint64_t>();
  } catch (const json::exception&) {
  }
  if (restarted && found == run) return "";
  return path +
         (restarted ? " is not of the simulation that the restart file continues"
                    : " exists, and this simulation does not continue it") +
         "; remove or rename it, or give another file";
}

void TnepRunFile::write(const std::string& header, const std::vector<std::vector<double>>& numbers) {
  if (comm->me != 0) return;
  const std::string temporary = path + ".new";
  unlink(temporary.c_str());  // left by a killed run, or a link to another file
  FILE* to = fopen(temporary.c_str(), "wb");
  bool good = to && fprintf(to, "%s\n", header.c_str()) > 0;
  for (const auto& part : numbers) good = good && fwrite(part.data(), sizeof(double), part.size(), to) == part.size();
  good = good && fflush(to) == 0 && fsync(fileno(to)) == 0;
  if (to) good = fclose(to) == 0 && good;
  if (!good || rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string reason = strerror(errno);
    unlink(temporary.c_str());
    error->one(FLERR, "{}: cannot write {} ({})", style, path, reason);
  }
}
