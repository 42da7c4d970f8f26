// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/snapshot.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "lammps.h"
#include "pointers.h"
#include "update.h"

#include "shared/driver.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

namespace LAMMPS_NS {

static constexpr int COLUMNS = 6;  // id, type, x, y, z, value

void tnep_append_structure(LAMMPS* lmp, const std::string& path, const TnepDriver& model, const std::string& name,
                           const std::vector<double>& values) {
  const Atom* atom = lmp->atom;
  const Domain* domain = lmp->domain;
  const double angstrom = 1.0 / model.units.length;
  std::vector<double> mine;
  for (int i = 0; i < atom->nlocal; i++) {
    if (!model.sees(atom->type[i])) continue;
    mine.push_back(atom->tag_enable ? static_cast<double>(atom->tag[i]) : 0.0);
    mine.push_back(atom->type[i]);
    for (int k = 0; k < 3; k++) mine.push_back((atom->x[i][k] - domain->boxlo[k]) * angstrom);
    mine.push_back(values[i]);
  }
  const int count = static_cast<int>(mine.size()), ranks = lmp->comm->nprocs;
  std::vector<int> counts(ranks), starts(ranks, 0);
  MPI_Gather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, lmp->world);
  std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
  std::vector<double> all(lmp->comm->me == 0 ? starts.back() + counts.back() : 0);
  MPI_Gatherv(mine.data(), count, MPI_DOUBLE, all.data(), counts.data(), starts.data(), MPI_DOUBLE, 0, lmp->world);
  if (lmp->comm->me != 0) return;

  const size_t atoms = all.size() / COLUMNS;
  std::vector<size_t> order(atoms);
  std::iota(order.begin(), order.end(), size_t(0));
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return all[COLUMNS * a] < all[COLUMNS * b]; });
  const double* h = domain->h;  // xx yy zz yz xz xy
  const auto periodic = [&](int k) { return domain->periodicity[k] ? 'T' : 'F'; };
  std::string text = fmt::format(
      "{}\nLattice=\"{} 0 0 {} {} 0 {} {} {}\" Properties=species:S:1:pos:R:3:{}:R:1 step={} pbc=\"{} {} {}\"\n", atoms,
      h[0] * angstrom, h[5] * angstrom, h[1] * angstrom, h[4] * angstrom, h[3] * angstrom, h[2] * angstrom, name,
      lmp->update->ntimestep, periodic(0), periodic(1), periodic(2));
  for (const size_t k : order) {
    const double* row = &all[COLUMNS * k];
    text += fmt::format("{} {:.10f} {:.10f} {:.10f} {:.8g}\n", model.symbol(static_cast<int>(row[1])), row[2], row[3],
                        row[4], row[5]);
  }
  // One call, so that the structures of several simulations do not mix.
  const int to = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  const bool good = to >= 0 && write(to, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (to < 0 || close(to) != 0 || !good) lmp->error->one(FLERR, "{}: cannot append a structure to this file", path);
}

}  // namespace LAMMPS_NS
