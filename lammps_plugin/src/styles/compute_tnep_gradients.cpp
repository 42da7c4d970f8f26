// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep_gradients.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "group.h"
#include "update.h"

#include "shared/driver.h"

#include <algorithm>
#include <utility>

using namespace LAMMPS_NS;

// Positions of xx yy zz xy xz yz, and of xx yy zz yx zx zy, in a row-major 3 x 3 matrix.
static constexpr int SIX[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};

ComputeTnepGradients::ComputeTnepGradients(LAMMPS* lmp, int narg, char** arg, const char* kind, std::string name,
                                           int numbers, std::vector<int> components)
    : ComputeTnep(lmp, narg, arg, kind, {name}),
      quantity(std::move(name)),
      stride(numbers),
      order(std::move(components)) {
  use_array(static_cast<int>(order.size()));
  use_vector(columns);
  comm_reverse = columns;
}

void ComputeTnepGradients::evaluate() {
  if (!is_new_step()) return;
  clear_array();
  TnepDriver& model = results();
  const double unit = factor();
  const int nall = atom->nlocal + atom->nghost;
  if (const double* values = model.atom_result(quantity, stride)) {
    model.require_finite(values, nall, stride, "the derivative of the response", false);
    for (int64_t i = 0; i < nall; i++)
      for (int k = 0; k < columns; k++) array_atom[i][k] = unit * values[stride * i + order[k]];
  }
  comm->reverse_comm(this);
  std::vector<double> sum(columns, 0.0);
  for (int i = 0; i < atom->nlocal; i++) {
    if (!(atom->mask[i] & groupbit)) std::fill_n(array_atom[i], columns, 0.0);
    for (int k = 0; k < columns; k++) sum[k] += array_atom[i][k];
  }
  MPI_Allreduce(sum.data(), vector, columns, MPI_DOUBLE, MPI_SUM, world);
}

void ComputeTnepGradients::compute_vector() {
  invoked_vector = update->ntimestep;
  evaluate();
}

void ComputeTnepGradients::compute_peratom() {
  invoked_peratom = update->ntimestep;
  evaluate();
}

int ComputeTnepGradients::pack_reverse_comm(int n, int first, double* buffer) {
  for (int i = 0; i < n; i++) std::copy_n(array_atom[first + i], columns, buffer + columns * i);
  return columns * n;
}

void ComputeTnepGradients::unpack_reverse_comm(int n, int* atoms, double* buffer) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < columns; k++) array_atom[atoms[i]][k] += *buffer++;
}

ComputeTnepBorn::ComputeTnepBorn(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnepGradients(lmp, narg, arg, "dipole", "born_charges", 9, {0, 1, 2, 3, 4, 5, 6, 7, 8}) {}

double ComputeTnepBorn::factor() { return driver->units.charge; }

ComputeTnepRaman::ComputeTnepRaman(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnepGradients(lmp, narg, arg, "polarizability", "polarizability_gradient", 27,
                           {0, 4, 8, 1, 2, 5, 9, 13, 17, 10, 11, 14, 18, 22, 26, 19, 20, 23}) {}

void ComputeTnepRaman::check() { check_susceptibility(); }

double ComputeTnepRaman::factor() { return polarizability_factor() / driver->units.length; }

ComputeTnepCurrent::ComputeTnepCurrent(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnep(lmp, narg, arg, "dipole", {"born_charges"}) {
  use_vector(3);
  comm_forward = 3;
}

// The shares of Born charges stay on the local and ghost atoms of this rank; instead, the velocities of ghost atoms are
// communicated.
void ComputeTnepCurrent::compute_vector() {
  invoked_vector = update->ntimestep;
  const int nall = atom->nlocal + atom->nghost;
  velocities.assign(3 * static_cast<size_t>(nall), 0.0);
  for (int i = 0; i < atom->nlocal; i++)
    if (atom->mask[i] & groupbit) std::copy_n(atom->v[i], 3, &velocities[3 * static_cast<size_t>(i)]);
  comm->forward_comm(this);
  double current[3] = {};
  if (const double* born = results().atom_result("born_charges", 9))
    for (int64_t i = 0; i < nall; i++)
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) current[a] += born[9 * i + 3 * a + b] * velocities[3 * i + b];
  for (double& component : current) component *= driver->units.charge;
  MPI_Allreduce(current, vector, 3, MPI_DOUBLE, MPI_SUM, world);
}

int ComputeTnepCurrent::pack_forward_comm(int n, int* atoms, double* buffer, int /*pbc_flag*/, int* /*pbc*/) {
  for (int i = 0; i < n; i++) std::copy_n(&velocities[3 * static_cast<size_t>(atoms[i])], 3, buffer + 3 * i);
  return 3 * n;
}

void ComputeTnepCurrent::unpack_forward_comm(int n, int first, double* buffer) {
  std::copy_n(buffer, 3 * n, &velocities[3 * static_cast<size_t>(first)]);
}

ComputeTnepPiezo::ComputeTnepPiezo(LAMMPS* lmp, int narg, char** arg)
    : ComputeTnep(lmp, narg, arg, "dipole", {"born_charges"}) {
  if (igroup != 0)
    error->all(FLERR, "Compute {}: strain acts on all atoms; use group all, not {}", style, group->names[igroup]);
  use_vector(18);
  extvector = 0;
}

void ComputeTnepPiezo::check() {
  if (domain->nonperiodic || domain->dimension != 3)
    error->all(FLERR, "Compute {}: strain needs a cell, hence boundary p p p in three dimensions", style);
}

// V e_i,jk is the sum over local and ghost atoms of Z_ij r_k, symmetrised in j and k.  It equals the sum over edges of
// r_k dP_i/dr_j, because the charges that one centre gives to itself and its neighbours add up to zero.
void ComputeTnepPiezo::compute_vector() {
  invoked_vector = update->ntimestep;
  double centre[3], half[3] = {0.5, 0.5, 0.5}, strained[27] = {}, mine[18];
  domain->lamda2x(half, centre);
  const int nall = atom->nlocal + atom->nghost;
  if (const double* born = results().atom_result("born_charges", 9))
    for (int64_t i = 0; i < nall; i++)
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
          for (int k = 0; k < 3; k++)
            strained[9 * a + 3 * b + k] += born[9 * i + 3 * a + b] * (atom->x[i][k] - centre[k]);
  const double scale = driver->units.charge / (domain->xprd * domain->yprd * domain->zprd);
  for (int a = 0; a < 3; a++)
    for (int k = 0; k < 6; k++)
      mine[6 * a + k] = 0.5 * scale * (strained[9 * a + SIX[k]] + strained[9 * a + TRANSPOSED[k]]);
  MPI_Allreduce(mine, vector, 18, MPI_DOUBLE, MPI_SUM, world);
}
