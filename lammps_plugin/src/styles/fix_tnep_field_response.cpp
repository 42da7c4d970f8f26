// SPDX-License-Identifier: GPL-2.0-or-later
//
// Part of fix tnep/field: the response of the models to the field, their forces, and the field that a displacement
// requires.

#include "styles/fix_tnep_field.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"

#include "shared/driver.h"
#include "styles/pair_tnep.h"

#include <algorithm>

using namespace LAMMPS_NS;

static constexpr int EVERY_ATOM = 1;  // bit of group all
// Positions in a row-major 3 x 3 matrix of xx yy zz xy xz yz, of xx yy zz yx zx zy, and of xx yy zz xy xz yz yx zx zy.
static constexpr int SIX[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};
static constexpr int NINE[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};

// Factor from the unit of the polarizability model to e Angstrom^2/V.  Collective.
double FixTnepField::alpha_factor() {
  if (!susceptibility) return 1.0;
  return TNEP_EPSILON_0 * volume() / static_cast<double>(polarizability->count_atoms());
}

// Solve eps0 V E + P0 + alpha E = V D for the given components; the field of the others is zero.
void FixTnepField::solve_displacement() {
  double mine[12] = {}, sums[12];  // P0, alpha
  const auto add = [&](TnepDriver& model, const char* name, int size, double factor, double* to) {
    const int64_t n = model.n_centers();
    const double* rows = n > 0 ? model.result(name, size * n) : nullptr;
    for (int64_t c = 0; c < n; c++)
      for (int k = 0; k < size; k++) to[k] += factor * rows[size * c + k];
  };
  if (pair) {
    TnepDriver& model = pair->results_without_field({"dipoles", "polarizabilities"});
    add(model, "dipoles", 3, 1.0, mine);
    add(model, "polarizabilities", 9, 1.0, mine + 3);
  } else {
    dipole->evaluate(*list, EVERY_ATOM, {"dipoles"});
    add(*dipole, "dipoles", 3, 1.0, mine);
    if (polarizability) {
      polarizability->evaluate(*list, EVERY_ATOM, {"polarizabilities"});
      add(*polarizability, "polarizabilities", 9, 1.0, mine + 3);
    }
  }
  MPI_Allreduce(mine, sums, 12, MPI_DOUBLE, MPI_SUM, world);
  const double scale = alpha_factor(), v = volume();
  double m[3][4];
  for (int i = 0; i < 3; i++) {
    const bool fixed = form.given(i);
    for (int j = 0; j < 3; j++) {
      m[i][j] = (i == j) * TNEP_EPSILON_0 * v + scale * sums[3 + 3 * i + j];
      if (!fixed || !form.given(j)) m[i][j] = i == j;
    }
    m[i][3] = fixed ? v * form.value()[i] - sums[i] : 0.0;
  }
  // Gauss-Jordan elimination without pivoting: all pivots of a positive definite matrix are positive.
  for (int k = 0; k < 3; k++) {
    if (!(m[k][k] > 0.0))
      error->all(FLERR,
                 "Fix tnep/field: no field gives the displacement, because a dielectric constant 1 + alpha/(eps0 V) "
                 "of the model is not positive on step {}: a structure far from the training data",
                 update->ntimestep);
    for (int i = 0; i < 3; i++) {
      if (i == k) continue;
      const double ratio = m[i][k] / m[k][k];
      for (int j = k; j < 4; j++) m[i][j] -= ratio * m[k][j];
    }
  }
  for (int k = 0; k < 3; k++) uniform[k] = m[k][3] / m[k][k];
}

void FixTnepField::collect_from_pair() {
  TnepDriver& model = pair->results({"dipoles", "polarizabilities"});
  const int64_t n = model.n_centers();
  sites.resize(n);
  if (n == 0) return;
  const double *p = model.result("dipoles", 3 * n), *a = model.result("polarizabilities", 9 * n);
  for (int64_t c = 0; c < n; c++) {
    sites[c].atom = model.center(c);
    sites[c].w = pair->field_energies()[c];
    std::copy_n(p + 3 * c, 3, sites[c].p);
    std::copy_n(a + 9 * c, 9, sites[c].a);
  }
}

// Forces of -E.p - E.a.E / 2 from the dipole and polarizability models of this fix.  In a constant field the dipoles
// are needed only for the output, and are not computed on steps without it.
void FixTnepField::collect_from_models() {
  deferred = form.is_constant() && !eflag_either && !(vflag_either && susceptibility);
  if (vflag_atom || cvflag_atom) shares.assign(9 * static_cast<size_t>(atom->nlocal + atom->nghost), 0.0);
  if (!deferred) collect_sites(true);
  else
    for (TnepDriver* model : {dipole.get(), polarizability.get()}) {
      if (!model) continue;
      model->evaluate(*list, EVERY_ATOM, force_quantities(), everywhere ? uniform : fields.data(), !everywhere);
      add_forces(*model, model == dipole.get() ? 1.0 : alpha_factor());
    }
  for (TnepDriver* model : {dipole.get(), polarizability.get()})
    if (model) model->watch_range();
  if (vflag_atom || cvflag_atom) {
    comm->reverse_comm(this);
    for (int i = 0; i < atom->nlocal; i++) add_atom_virial(i, &shares[9 * static_cast<size_t>(i)], 1.0);
  }
}

std::vector<std::string> FixTnepField::force_quantities() const {
  if (vflag_atom || cvflag_atom) return {"field_forces", "field_virials"};
  return {"field_forces"};
}

// Evaluate the models for the dipoles, polarizabilities and energies of the sites, and add the forces if asked to.
void FixTnepField::collect_sites(bool with_forces) {
  const double* field = !with_forces ? nullptr : everywhere ? uniform : fields.data();
  const std::vector<std::string> forces = with_forces ? force_quantities() : std::vector<std::string>{};
  deferred = false;
  std::vector<std::string> wanted = forces;
  wanted.emplace_back("dipoles");
  dipole->evaluate(*list, EVERY_ATOM, wanted, field, !everywhere);
  const int64_t n = dipole->n_centers();
  sites.resize(n);
  for (int64_t c = 0; c < n; c++) {
    sites[c] = {};
    sites[c].atom = dipole->center(c);
    std::copy_n(dipole->result("dipoles", 3 * n) + 3 * c, 3, sites[c].p);
  }
  if (with_forces) add_forces(*dipole, 1.0);
  if (polarizability) {
    const double factor = alpha_factor();
    wanted = forces;
    wanted.emplace_back("polarizabilities");
    polarizability->evaluate(*list, EVERY_ATOM, wanted, field, !everywhere);
    const int64_t m = polarizability->n_centers();
    if (m != n) error->one(FLERR, "Fix tnep/field: dipole and polarizability models must see the same atom types");
    for (int64_t c = 0; c < m; c++)
      for (int k = 0; k < 9; k++) sites[c].a[k] = factor * polarizability->result("polarizabilities", 9 * m)[9 * c + k];
    if (with_forces) add_forces(*polarizability, factor);
  }
  for (Site& site : sites) {
    const double* e = field_of(site.atom);
    for (int i = 0; i < 3; i++) {
      double induced = 0.0;
      for (int j = 0; j < 3; j++) induced += site.a[3 * i + j] * e[j];
      site.w -= e[i] * (site.p[i] + 0.5 * induced);
      site.p[i] += induced;
    }
  }
}

// Add the forces of the last evaluation, including those on ghost atoms, and their virial sum_i r_i (x) f_i.
void FixTnepField::add_forces(TnepDriver& model, double factor) {
  const double* forces = model.atom_result("field_forces", 3);
  if (!forces) return;
  const int nall = atom->nlocal + atom->nghost;
  model.require_finite(forces, nall, 3, "the force in the field", false);
  const double energy = factor * model.units.energy, per_length = energy / model.units.length;
  double w[9] = {}, **f = atom->f;
  for (int i = 0; i < nall; i++)
    for (int b = 0; b < 3; b++) {
      const double force = per_length * forces[3 * i + b];
      f[i][b] += force;
      for (int a = 0; a < 3; a++) w[3 * a + b] += atom->x[i][a] * force;
    }
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += 0.5 * (w[SIX[k]] + w[TRANSPOSED[k]]);
  if (!vflag_atom && !cvflag_atom) return;
  const double* virials = model.atom_result("field_virials", 9);
  for (size_t k = 0; k < 9 * static_cast<size_t>(nall); k++) shares[k] += energy * virials[k];
}

// Send the virials of ghost atoms to their owners: LAMMPS reads the virials of a fix from local atoms only.
int FixTnepField::pack_reverse_comm(int n, int first, double* buffer) {
  std::copy_n(&shares[9 * static_cast<size_t>(first)], 9 * n, buffer);
  return 9 * n;
}

void FixTnepField::unpack_reverse_comm(int n, int* atoms, double* buffer) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 9; k++) shares[9 * static_cast<size_t>(atoms[i]) + k] += *buffer++;
}

void FixTnepField::add_atom_virial(int i, const double* w, double factor) {
  if (cvflag_atom)
    for (int k = 0; k < 9; k++) cvatom[i][k] += factor * w[NINE[k]];
  if (vflag_atom)
    for (int k = 0; k < 6; k++) vatom[i][k] += factor * 0.5 * (w[SIX[k]] + w[TRANSPOSED[k]]);
}
