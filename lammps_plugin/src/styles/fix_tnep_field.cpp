// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/fix_tnep_field.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "region.h"
#include "update.h"
#include "utils.h"

#include "shared/driver.h"
#include "shared/neigh_request_api.h"
#include "styles/pair_tnep.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;
using namespace FixConst;

static constexpr int EVERY_ATOM = 1;    // bit of group all
static constexpr double NO_FIELD[3] = {0.0, 0.0, 0.0};
static constexpr int SIX[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};    // xx yy zz xy xz yz
static constexpr int NINE[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};                              // ... yx zx zy

FixTnepField::FixTnepField(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg), form(lmp, "Fix tnep/field"), pair(nullptr), list(nullptr), everywhere(true),
    susceptibility(false), uniform{}, local{}, total{}, reduced(true), before{}, work(0.0), work_until_restart(0.0),
    counted(-1)
{
  int k = 3 + form.parse(narg - 3, arg + 3);
  while (k < narg) {
    const std::string word = arg[k++];
    const int left = narg - k;
    if (word == "region" && left >= 1) {
      region = arg[k++];
      if (!domain->get_region_by_id(region)) error->all(FLERR, "Fix tnep/field: there is no region '{}'", region);
    } else if (word == "dipole" || word == "polarizability") {
      if (left < 1 + atom->ntypes)
        error->all(FLERR, "Fix tnep/field: expected '{} file element1 element2 ...', one element (or NULL) for each of "
                   "the {} atom types", word, atom->ntypes);
      auto &model = word == "dipole" ? dipole : polarizability;
      model = std::make_unique<TnepDriver>(lmp, "Fix tnep/field " + word);
      model->load(arg[k], word, atom->ntypes, arg + k + 1);
      if (model->metadata().kind == "enthalpy")
        error->all(FLERR, "Fix tnep/field: {} is an enthalpy model; make it the pair style, which the field then acts on, "
                   "and leave out '{}'", arg[k], word);
      k += 1 + atom->ntypes;
    } else
      error->all(FLERR, "Fix tnep/field: expected region ID, dipole file element1 ... or polarizability file element1 "
                 "..., got '{}'", word);
  }
  if (polarizability && !dipole)
    error->all(FLERR, "Fix tnep/field: a polarizability model needs a dipole model, too: dipole file element1 ...");
  susceptibility = polarizability && polarizability->metadata().polarizability_unit == "N*chi";

  scalar_flag = vector_flag = extscalar = 1;
  size_vector = 10;
  extvector = -1;
  extlist = new int[size_vector];
  for (int i = 0; i < size_vector; i++) extlist[i] = i < 6 || i == 9;    // the field itself is intensive
  global_freq = 1;
  energy_global_flag = energy_peratom_flag = virial_global_flag = virial_peratom_flag = 1;
  thermo_energy = thermo_virial = 1;    // the energy is part of the conserved one: fix_modify energy no takes it out
  centroidstressflag = CENTROID_AVAIL;
  restart_global = 1;
  comm_reverse = 9;
  dynamic_group_allow = 1;
}

FixTnepField::~FixTnepField()
{
  delete[] extlist;
}

int FixTnepField::setmask()
{
  return PRE_FORCE | PRE_REVERSE | MIN_PRE_FORCE | MIN_PRE_REVERSE;
}

void FixTnepField::init()
{
  if (utils::strmatch(update->integrate_style, "^respa"))
    error->all(FLERR, "Fix tnep/field: run_style respa is not supported, as the field acts within the forces of the "
               "model; use run_style verlet");
  if (modify->get_fix_by_style("^tnep/field$").size() > 1)
    error->all(FLERR, "Fix tnep/field: there is more than one; the energy is not a sum over fields, so give one fix "
               "their sum (variables or forms)");
  if (force->newton_pair == 0)
    error->all(FLERR, "Fix tnep/field needs newton pair on: remove 'newton off' from the input");
  const bool minimising = update->whichflag == 2;
  if (minimising && form.varies_in_time())
    error->all(FLERR, "Fix tnep/field: a field that changes with time has no minimum energy; minimise in a constant one");
  if (minimising && !thermo_energy)
    error->all(FLERR, "Fix tnep/field: minimisation needs the energy of the field: remove 'fix_modify {} energy no'", id);
  if (!region.empty() && !domain->get_region_by_id(region))
    error->all(FLERR, "Fix tnep/field: there is no region '{}'", region);

  pair = nullptr;
  if (dipole) {
    for (auto *model : {dipole.get(), polarizability.get()})
      if (model) model->check_units();
    double cutoff = dipole->cutoff();
    if (polarizability) cutoff = std::max(cutoff, polarizability->cutoff());
    dipole->check_ghosts(cutoff);
    neighbor->add_request(this, NeighConst::REQ_FULL)->set_cutoff(cutoff);
    if (PairTnep *other = PairTnep::find(force); other && other->is_enthalpy())
      error->all(FLERR, "Fix tnep/field: the enthalpy model of pair style tnep responds to the field itself; leave out "
                 "'dipole' and 'polarizability'");
    if (susceptibility && (domain->nonperiodic || domain->dimension != 3))
      error->all(FLERR, "Fix tnep/field: a model of the susceptibility needs a volume, hence boundary p p p in three "
                 "dimensions; use a model trained on polarizabilities instead");
  } else {
    pair = PairTnep::find(force);
    if (!pair || !pair->is_enthalpy())
      error->all(FLERR, "Fix tnep/field: nothing responds to the field: use pair style tnep with an enthalpy model, or "
                 "name a model here: dipole file element1 element2 ...");
    if (!thermo_virial)
      error->all(FLERR, "Fix tnep/field: the pressure of an enthalpy model is that in the field; remove 'fix_modify {} "
                 "virial no'", id);
  }
  TnepDriver &model = responder();
  form.check(model.units);
  everywhere = igroup == 0 && region.empty() && form.is_uniform();
  if (form.is_displacement() && (igroup != 0 || !region.empty()))
    error->all(FLERR, "Fix tnep/field: a displacement is that of the whole cell: use group all and no region");
  check_group();
  if (comm->me == 0 && !form.is_gradient_known())
    error->warning(FLERR, "Fix tnep/field: the gradient of a field from atom-style variables is not known; energy is "
                   "conserved only if the variables do not depend on positions or time");
  if (comm->me == 0 && !region.empty())
    error->warning(FLERR, "Fix tnep/field: energy is not conserved when atoms cross the surface of region {}", region);
}

// Collective: every atom of the group must respond to the field, and there must be one.
void FixTnepField::check_group()
{
  const TnepDriver &model = responder();
  bigint mine[2] = {0, 0}, all[2];
  for (int i = 0; i < atom->nlocal; i++) {
    if (!(atom->mask[i] & groupbit)) continue;
    mine[0]++;
    mine[1] += !model.sees(atom->type[i]);
  }
  MPI_Allreduce(mine, all, 2, MPI_LMP_BIGINT, MPI_SUM, world);
  if (all[0] == 0) error->all(FLERR, "Fix tnep/field: group {} has no atoms", group->names[igroup]);
  if (all[1] > 0)
    error->all(FLERR, "Fix tnep/field: {} of the {} atoms of group {} have types that the model does not see (NULL), so "
               "the field would not act on them; use a group without them", all[1], all[0], group->names[igroup]);
}

void FixTnepField::init_list(int /*id*/, NeighList *ptr)
{
  list = ptr;
}

TnepDriver &FixTnepField::responder() const
{
  return dipole ? *dipole : pair->model();
}

double FixTnepField::volume() const
{
  const double length = responder().units.length;
  return domain->xprd * domain->yprd * (domain->dimension == 3 ? domain->zprd : 1.0) / (length * length * length);
}

// From the polarizability model's unit to e Angstrom^2/V.
double FixTnepField::alpha_factor()
{
  if (!susceptibility) return 1.0;
  return TNEP_EPSILON_0 * volume() / static_cast<double>(polarizability->count_atoms());
}

void FixTnepField::find_field()
{
  form.refresh(igroup);
  if (form.is_displacement()) solve_displacement();
  else std::copy_n(form.value(), 3, uniform);
  if (everywhere) return;
  Region *where = region.empty() ? nullptr : domain->get_region_by_id(region);
  if (where) where->prematch();
  fields.assign(3 * static_cast<size_t>(std::max(atom->nlocal, 1)), 0.0);
  felt.assign(std::max(atom->nlocal, 1), 0);
  for (int i = 0; i < atom->nlocal; i++) {
    if (!(atom->mask[i] & groupbit)) continue;
    const double *x = atom->x[i];
    if (where && !where->match(x[0], x[1], x[2])) continue;
    felt[i] = 1;
    form.at_atom(i, &fields[3 * static_cast<size_t>(i)]);
  }
}

// The field at which eps0 V E + P0 + alpha E = V D for the given components; the others have no field.
void FixTnepField::solve_displacement()
{
  double mine[12] = {}, sums[12];    // P0, alpha
  const auto add = [&](TnepDriver &model, const char *name, int size, double factor, double *to) {
    const int64_t n = model.n_centers();
    const double *rows = n > 0 ? model.result(name, size * n) : nullptr;
    for (int64_t c = 0; c < n; c++)
      for (int k = 0; k < size; k++) to[k] += factor * rows[size * c + k];
  };
  if (pair) {
    TnepDriver &model = pair->results_without_field({"dipoles", "polarizabilities"});
    add(model, "dipoles", 3, 1.0, mine);
    add(model, "polarizabilities", 9, 1.0, mine + 3);
  } else {
    dipole->evaluate(*list, EVERY_ATOM, {"dipoles"}, true, NO_FIELD);
    add(*dipole, "dipoles", 3, 1.0, mine);
    if (polarizability) {
      polarizability->evaluate(*list, EVERY_ATOM, {"polarizabilities"}, true, NO_FIELD);
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
  for (int k = 0; k < 3; k++) {    // elimination; pivots are positive for a positive definite matrix
    if (!(m[k][k] > 0.0))
      error->all(FLERR, "Fix tnep/field: no field gives the displacement, as a dielectric constant 1 + alpha/(eps0 V) of "
                 "the model is not positive on step {}: a structure far from the training data", update->ntimestep);
    for (int i = 0; i < 3; i++) {
      if (i == k) continue;
      const double ratio = m[i][k] / m[k][k];
      for (int j = k; j < 4; j++) m[i][j] -= ratio * m[k][j];
    }
  }
  for (int k = 0; k < 3; k++) uniform[k] = m[k][3] / m[k][k];
}

void FixTnepField::setup_pre_force(int vflag)
{
  pre_force(vflag);
}

void FixTnepField::min_pre_force(int vflag)
{
  pre_force(vflag);
}

void FixTnepField::pre_force(int /*vflag*/)
{
  if (pair) pair->set_field(id, nullptr, false);
  find_field();
  if (pair) pair->set_field(id, everywhere ? uniform : fields.data(), !everywhere);
}

void FixTnepField::setup_pre_reverse(int eflag, int vflag)
{
  pre_reverse(eflag, vflag);
}

void FixTnepField::min_pre_reverse(int eflag, int vflag)
{
  pre_reverse(eflag, vflag);
}

void FixTnepField::pre_reverse(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  sites.clear();
  if (pair) collect_from_pair();
  else collect_from_models();
  add_site_terms();
  count_work();
}

void FixTnepField::collect_from_pair()
{
  TnepDriver &model = pair->results({"dipoles", "polarizabilities"});
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

// Energy and forces of -E.p - E.a.E / 2 from models of their own.
void FixTnepField::collect_from_models()
{
  const double *field = everywhere ? uniform : fields.data();
  std::vector<std::string> forces{"field_forces"};
  if (vflag_atom || cvflag_atom) {
    forces.emplace_back("field_virials");
    shares.assign(9 * static_cast<size_t>(atom->nlocal + atom->nghost), 0.0);
  }
  std::vector<std::string> wanted = forces;
  wanted.emplace_back("dipoles");
  dipole->evaluate(*list, EVERY_ATOM, wanted, true, field, !everywhere);
  const int64_t n = dipole->n_centers();
  sites.resize(n);
  for (int64_t c = 0; c < n; c++) {
    sites[c] = {};
    sites[c].atom = dipole->center(c);
    std::copy_n(dipole->result("dipoles", 3 * n) + 3 * c, 3, sites[c].p);
  }
  add_forces(*dipole, 1.0);
  if (polarizability) {
    const double factor = alpha_factor();
    wanted = forces;
    wanted.emplace_back("polarizabilities");
    polarizability->evaluate(*list, EVERY_ATOM, wanted, true, field, !everywhere);
    const int64_t m = polarizability->n_centers();
    if (m != n)
      error->one(FLERR, "Fix tnep/field: dipole and polarizability model must see the same atom types");
    for (int64_t c = 0; c < m; c++)
      for (int k = 0; k < 9; k++) sites[c].a[k] = factor * polarizability->result("polarizabilities", 9 * m)[9 * c + k];
    add_forces(*polarizability, factor);
  }
  if (vflag_atom || cvflag_atom) {
    comm->reverse_comm(this);
    for (int i = 0; i < atom->nlocal; i++) add_atom_virial(i, &shares[9 * static_cast<size_t>(i)], 1.0);
  }
  for (Site &site : sites) {
    const double *e = field_of(site.atom);
    for (int i = 0; i < 3; i++) {
      double induced = 0.0;
      for (int j = 0; j < 3; j++) induced += site.a[3 * i + j] * e[j];
      site.w -= e[i] * (site.p[i] + 0.5 * induced);
      site.p[i] += induced;
    }
  }
}

// Forces of the last evaluation, those on ghost atoms included, and the virial sum_i r_i (x) f_i that follows.
void FixTnepField::add_forces(TnepDriver &model, double factor)
{
  const double *forces = model.atom_result("field_forces", 3);
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
  const double *virials = model.atom_result("field_virials", 9);
  for (size_t k = 0; k < 9 * static_cast<size_t>(nall); k++) shares[k] += energy * virials[k];
}

// LAMMPS takes the virials of fixes from local atoms only: shares of ghost atoms go to their owners.
int FixTnepField::pack_reverse_comm(int n, int first, double *buffer)
{
  std::copy_n(&shares[9 * static_cast<size_t>(first)], 9 * n, buffer);
  return 9 * n;
}

void FixTnepField::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 9; k++) shares[9 * static_cast<size_t>(atoms[i]) + k] += *buffer++;
}

void FixTnepField::add_atom_virial(int i, const double *w, double factor)
{
  if (cvflag_atom)
    for (int k = 0; k < 9; k++) cvatom[i][k] += factor * w[NINE[k]];
  if (vflag_atom)
    for (int k = 0; k < 6; k++) vatom[i][k] += factor * 0.5 * (w[SIX[k]] + w[TRANSPOSED[k]]);
}

// Energies, the force p.grad E on centres, virials that are not in the forces, and the sums for the output.
void FixTnepField::add_site_terms()
{
  const TnepUnits &units = responder().units;
  std::fill_n(local, SUMS, 0.0);
  reduced = false;
  const bool slopes = !form.is_uniform() && form.is_gradient_known();
  double centre[3] = {};
  if (slopes) form.box_centre(centre);
  for (const Site &site : sites) {
    const int i = site.atom;
    if (!(atom->mask[i] & groupbit)) continue;
    const double *e = field_of(i);
    local[ENERGY] += site.w;
    local[COUNT] += 1.0;
    for (int a = 0; a < 3; a++) {
      local[DIPOLE + a] += site.p[a];
      local[FIELD + a] += e[a];
      for (int b = 0; b < 3; b++) local[INDUCED + a] += site.a[3 * a + b] * e[b];
    }
    if (eflag_atom) eatom[i] += units.energy * site.w;
    if (slopes && felt[i]) {
      double g[3][3], force[3] = {}, w[9];
      form.gradient_at_atom(i, g);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) force[b] += units.energy / units.length * site.p[a] * g[a][b];
      for (int b = 0; b < 3; b++) atom->f[i][b] += force[b];
      // A wave is fixed in the box and strained with it; a gradient form is fixed in space.
      if (form.strains_with_box()) continue;
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) w[3 * a + b] = (atom->x[i][a] - centre[a]) * force[b];
      if (vflag_global)
        for (int k = 0; k < 6; k++) virial[k] += 0.5 * (w[SIX[k]] + w[TRANSPOSED[k]]);
      add_atom_virial(i, w, 1.0);
    }
  }
  if (!vflag_either) return;
  // alpha of a model of the susceptibility contains the volume, and a displacement acts through it.
  if (susceptibility)
    for (const Site &site : sites) {
      const double *e = field_of(site.atom);
      double quadratic = 0.0;
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) quadratic += 0.5 * units.energy * e[a] * site.a[3 * a + b] * e[b];
      if (!(atom->mask[site.atom] & groupbit)) continue;
      const double w[9] = {quadratic, 0, 0, 0, quadratic, 0, 0, 0, quadratic};
      if (vflag_global)
        for (int k = 0; k < 3; k++) virial[k] += quadratic;
      add_atom_virial(site.atom, w, 1.0);
    }
  if (form.is_displacement() && vflag_global) {
    double added = 0.0;
    for (int a = 0; a < 3; a++) added += uniform[a] * local[DIPOLE + a];
    if (comm->me == 0)
      for (int a = 0; a < 3; a++) added += 0.5 * TNEP_EPSILON_0 * volume() * uniform[a] * uniform[a];
    for (int k = 0; k < 3; k++) virial[k] -= units.energy * added;
  }
}

// Work done by what drives the field: -P.dE, for a wave -P.(dE/dt) dt, for a displacement V E.dD; trapezoid rule.
void FixTnepField::count_work()
{
  if (update->whichflag != 1) {
    counted = -1;
    return;
  }
  Rate now{{}, {}, 0.0, form.time()};
  const bool displacement = form.is_displacement();
  if (form.is_uniform()) std::copy_n(form.value(), 3, now.driven);
  for (int a = 0; displacement && a < 3; a++) now.conjugate[a] = comm->me == 0 ? volume() * uniform[a] : 0.0;
  for (const Site &site : sites) {
    if (displacement || !(everywhere || felt[site.atom])) continue;
    double rate[3];
    form.rate_at_atom(site.atom, rate);
    for (int a = 0; a < 3; a++) {
      now.conjugate[a] -= site.p[a];
      now.power -= site.p[a] * rate[a];
    }
  }
  if (counted >= 0 && counted < update->ntimestep) {
    work += 0.5 * (before.power + now.power) * (now.time - before.time);
    for (int a = 0; a < 3; a++)
      work += 0.5 * (before.conjugate[a] + now.conjugate[a]) * (now.driven[a] - before.driven[a]);
  }
  before = now;
  counted = update->ntimestep;
}

void FixTnepField::reduce()
{
  if (reduced) return;
  local[WORK] = work;
  MPI_Allreduce(local, total, SUMS, MPI_DOUBLE, MPI_SUM, world);
  total[WORK] += work_until_restart;
  if (form.is_displacement())
    for (int a = 0; a < 3; a++)
      total[ENERGY] += uniform[a] * total[DIPOLE + a] + 0.5 * TNEP_EPSILON_0 * volume() * uniform[a] * uniform[a];
  reduced = true;
}

double FixTnepField::compute_scalar()
{
  reduce();
  return responder().units.energy * total[ENERGY];
}

double FixTnepField::compute_vector(int k)
{
  reduce();
  const TnepUnits &units = responder().units;
  if (k < 3) return units.charge * units.length * total[DIPOLE + k];
  if (k < 6) return units.charge * units.length * total[INDUCED + k - 3];
  if (k < 9) return units.field * total[FIELD + k - 6] / std::max(total[COUNT], 1.0);
  return units.energy * total[WORK];
}

// The work so far, in eV.
void FixTnepField::write_restart(FILE *file)
{
  double done = 0.0;
  MPI_Reduce(&work, &done, 1, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me != 0) return;
  done += work_until_restart;
  const int size = sizeof(double);
  fwrite(&size, sizeof(int), 1, file);
  fwrite(&done, sizeof(double), 1, file);
}

void FixTnepField::restart(char *data)
{
  memcpy(&work_until_restart, data, sizeof(double));
}

double FixTnepField::memory_usage()
{
  return static_cast<double>(sites.capacity() * sizeof(Site) + fields.capacity() * sizeof(double) + felt.capacity());
}
