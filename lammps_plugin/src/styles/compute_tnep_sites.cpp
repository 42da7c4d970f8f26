// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep_sites.h"

#include "atom.h"
#include "update.h"

#include "shared/driver.h"

#include <numeric>
#include <utility>

using namespace LAMMPS_NS;

ComputeTnepSites::ComputeTnepSites(LAMMPS* lmp, int narg, char** arg, const char* kind, std::string name)
    : ComputeTnep(lmp, narg, arg, kind, {name}), quantity(std::move(name)), stride(0) {}

void ComputeTnepSites::set_order(int numbers, std::vector<int> components, bool summed) {
  stride = numbers;
  order = std::move(components);
  use_array(static_cast<int>(order.size()));
  if (summed) use_vector(columns);
}

void ComputeTnepSites::evaluate() {
  if (!is_new_step()) return;
  clear_array();
  TnepDriver& model = results();
  const double unit = factor();
  const int64_t n = model.n_centers();
  std::vector<double> sum(columns, 0.0);
  if (n > 0) {
    const double* values = model.result(quantity, stride * n);
    model.require_finite(values, n, stride, "the response", true);
    for (int64_t c = 0; c < n; c++) {
      const int i = model.center(c);
      if (!(atom->mask[i] & groupbit)) continue;
      for (int k = 0; k < columns; k++) sum[k] += array_atom[i][k] = unit * values[stride * c + order[k]];
    }
  }
  if (vector_flag) MPI_Allreduce(sum.data(), vector, columns, MPI_DOUBLE, MPI_SUM, world);
}

void ComputeTnepSites::compute_vector() {
  invoked_vector = update->ntimestep;
  evaluate();
}

void ComputeTnepSites::compute_peratom() {
  invoked_peratom = update->ntimestep;
  evaluate();
}

ComputeTnepDipole::ComputeTnepDipole(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnepSites(lmp, narg, arg, "dipole", "dipoles") {
  set_order(3, {0, 1, 2}, true);
}

double ComputeTnepDipole::factor() { return driver->units.charge * driver->units.length; }

ComputeTnepPolarizability::ComputeTnepPolarizability(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnepSites(lmp, narg, arg, "polarizability", "polarizabilities") {
  set_order(9, {0, 4, 8, 1, 2, 5}, true);
}

void ComputeTnepPolarizability::check() { check_susceptibility(); }

double ComputeTnepPolarizability::factor() { return polarizability_factor(); }

ComputeTnepDescriptor::ComputeTnepDescriptor(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnepSites(lmp, narg, arg, "", "descriptors") {
  const int dim = driver->descriptor_length();
  std::vector<int> all(dim);
  std::iota(all.begin(), all.end(), 0);
  set_order(dim, std::move(all), false);
}

double ComputeTnepDescriptor::factor() { return 1.0; }
