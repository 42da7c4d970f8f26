// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/deviation.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

using namespace LAMMPS_NS;

TnepDeviation::~TnepDeviation() {
  if (file) fclose(file);
}

// Standard deviation (divided by n, not n - 1) of values[0], values[stride], ..., values[(n - 1) * stride].
static double spread(const double* values, int n, int stride) {
  double mean = 0.0, square = 0.0;
  for (int k = 0; k < n; k++) mean += values[k * stride] / n;
  for (int k = 0; k < n; k++) square += (values[k * stride] - mean) * (values[k * stride] - mean) / n;
  return std::sqrt(square);
}

void TnepDeviation::evaluate(const std::vector<double>& forces, const std::vector<Totals>& totals, bool with_dipole) {
  const int models = static_cast<int>(totals.size());
  force.assign(atom->nlocal, 0.0);
  double largest = 0.0, smallest = DBL_MAX, sum = 0.0;
  for (int i = 0; i < atom->nlocal; i++) {
    double square = 0.0;
    for (int k = 0; k < 3; k++) {
      const double s = spread(&forces[3 * static_cast<size_t>(i) * models + k], models, 3);
      square += s * s;
    }
    force[i] = std::sqrt(square);
    largest = std::max(largest, force[i]);
    smallest = std::min(smallest, force[i]);
    sum += force[i];
  }
  const double natoms = static_cast<double>(std::max<bigint>(atom->natoms, 1));
  MPI_Allreduce(&largest, &max_force, 1, MPI_DOUBLE, MPI_MAX, world);
  MPI_Allreduce(&smallest, &min_force, 1, MPI_DOUBLE, MPI_MIN, world);
  MPI_Allreduce(&sum, &mean_force, 1, MPI_DOUBLE, MPI_SUM, world);
  mean_force /= natoms;

  std::vector<double> mine(13 * models), all(13 * models);  // per model: energy, virial, dipole
  for (int m = 0; m < models; m++) {
    mine[13 * m] = totals[m].energy / natoms;
    for (int k = 0; k < 9; k++) mine[13 * m + 1 + k] = totals[m].virial[k] / natoms;
    for (int k = 0; k < 3; k++) mine[13 * m + 10 + k] = totals[m].dipole[k];
  }
  MPI_Allreduce(mine.data(), all.data(), 13 * models, MPI_DOUBLE, MPI_SUM, world);
  energy = spread(all.data(), models, 13);
  has_dipole = with_dipole;
  dipole = 0.0;
  for (int k = 10; k < 13; k++) dipole = std::hypot(dipole, spread(all.data() + k, models, 13));
  max_virial = 0.0;
  min_virial = DBL_MAX;
  double square = 0.0;
  for (int k = 1; k < 10; k++) {
    const double s = spread(all.data() + k, models, 13);
    max_virial = std::max(max_virial, s);
    min_virial = std::min(min_virial, s);
    square += s * s;
  }
  mean_virial = std::sqrt(square / 9.0);
}

void TnepDeviation::write(const std::string& path) {
  if (comm->me != 0) return;
  if (!file) {
    file = fopen(path.c_str(), "a");
    if (!file) error->one(FLERR, "Pair style tnep: cannot write to the deviation file {}", path);
    if (ftell(file) == 0)
      fprintf(file, "#%11s%19s%19s%19s%19s%19s%19s%19s%s\n", "step", "max_devi_v", "min_devi_v", "avg_devi_v",
              "max_devi_f", "min_devi_f", "avg_devi_f", "devi_e", has_dipole ? "             devi_p" : "");
  }
  fprintf(file, "%12lld %18.8e %18.8e %18.8e %18.8e %18.8e %18.8e %18.8e", static_cast<long long>(update->ntimestep),
          max_virial, min_virial, mean_virial, max_force, min_force, mean_force, energy);
  if (has_dipole) fprintf(file, " %18.8e", dipole);
  fputc('\n', file);
  fflush(file);
}
