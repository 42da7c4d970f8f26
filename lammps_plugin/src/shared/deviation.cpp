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

TnepDeviation::~TnepDeviation()
{
  if (file) fclose(file);
}

static double spread(const double *values, int n, int stride)
{
  double mean = 0.0, square = 0.0;
  for (int k = 0; k < n; k++) mean += values[k * stride] / n;
  for (int k = 0; k < n; k++) square += (values[k * stride] - mean) * (values[k * stride] - mean) / n;
  return std::sqrt(square);
}

void TnepDeviation::evaluate(int models, const std::vector<double> &forces, const std::vector<double> &energies,
                             const std::vector<double> &virials)
{
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

  std::vector<double> mine(10 * models), all(10 * models);    // energy and nine components of each model
  for (int m = 0; m < models; m++) {
    mine[10 * m] = energies[m] / natoms;
    for (int k = 0; k < 9; k++) mine[10 * m + 1 + k] = virials[9 * m + k] / natoms;
  }
  MPI_Allreduce(mine.data(), all.data(), 10 * models, MPI_DOUBLE, MPI_SUM, world);
  energy = spread(all.data(), models, 10);
  max_virial = 0.0;
  min_virial = DBL_MAX;
  double square = 0.0;
  for (int k = 1; k < 10; k++) {
    const double s = spread(all.data() + k, models, 10);
    max_virial = std::max(max_virial, s);
    min_virial = std::min(min_virial, s);
    square += s * s;
  }
  mean_virial = std::sqrt(square / 9.0);
}

void TnepDeviation::write(const std::string &path)
{
  if (comm->me != 0) return;
  if (!file) {
    file = fopen(path.c_str(), "a");
    if (!file) error->one(FLERR, "Pair style tnep: cannot write to the deviation file {}", path);
    if (ftell(file) == 0)
      fprintf(file, "#%11s%19s%19s%19s%19s%19s%19s%19s\n", "step", "max_devi_v", "min_devi_v", "avg_devi_v", "max_devi_f",
              "min_devi_f", "avg_devi_f", "devi_e");
  }
  fprintf(file, "%12lld %18.8e %18.8e %18.8e %18.8e %18.8e %18.8e %18.8e\n", static_cast<long long>(update->ntimestep),
          max_virial, min_virial, mean_virial, max_force, min_force, mean_force, energy);
  fflush(file);
}
