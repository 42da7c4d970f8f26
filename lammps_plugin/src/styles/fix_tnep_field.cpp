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
#include <map>

using namespace LAMMPS_NS;
using namespace FixConst;

// Positions in a row-major 3 x 3 matrix of xx yy zz xy xz yz, and of xx yy zz yx zx zy.
static constexpr int SIX[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};

FixTnepField::FixTnepField(LAMMPS* lmp, int narg, char** arg)
    : Fix(lmp, narg, arg),
      form(lmp, "Fix tnep/field"),
      pair(nullptr),
      list(nullptr),
      everywhere(true),
      susceptibility(false),
      uniform{},
      deferred(false),
      local{},
      total{},
      reduced(true),
      before{},
      work(0.0),
      work_until_restart(0.0),
      counted(-1) {
  int k = 3 + form.parse(narg - 3, arg + 3);
  std::map<std::string, int> files;  // dipole, polarizability -> place of the file in arg
  std::string dtype = PairTnep::requested_dtype(force);
  while (k < narg) {
    const std::string word = arg[k++];
    const int left = narg - k;
    if (word == "region" && left >= 1) {
      region = arg[k++];
      if (!domain->get_region_by_id(region)) error->all(FLERR, "Fix tnep/field: there is no region '{}'", region);
    } else if (word == "dipole" || word == "polarizability") {
      if (left < 1 + atom->ntypes)
        error->all(FLERR,
                   "Fix tnep/field: expected '{} file element1 element2 ...', one element (or NULL) for each of "
                   "the {} atom types",
                   word, atom->ntypes);
      files[word] = k;
      k += 1 + atom->ntypes;
    } else if (word == "precision" && left >= 1) {
      dtype = TnepDriver(lmp, "Fix tnep/field").dtype_of(arg[k++]);
    } else
      error->all(FLERR,
                 "Fix tnep/field: expected region ID, dipole|polarizability file element1 ... or precision "
                 "single|double, got '{}'",
                 word);
  }
  for (const auto& [word, place] : files) {
    auto& model = word == "dipole" ? dipole : polarizability;
    model = std::make_unique<TnepDriver>(lmp, "Fix tnep/field " + word);
    model->load(arg[place], word, atom->ntypes, arg + place + 1, dtype, PairTnep::requested_device(force));
    if (model->metadata().kind == "enthalpy")
      error->all(FLERR, "Fix tnep/field: {} is an enthalpy model; make it the pair style, and leave out '{}'",
                 arg[place], word);
  }
  if (polarizability && !dipole)
    error->all(FLERR, "Fix tnep/field: a polarizability model needs a dipole model, too: dipole file element1 ...");
  susceptibility = polarizability && polarizability->metadata().polarizability_unit == "N*chi";

  scalar_flag = vector_flag = extscalar = 1;
  size_vector = 10;
  extvector = -1;
  extlist = new int[size_vector];
  for (int i = 0; i < size_vector; i++) extlist[i] = i < 6 || i == 9;  // all but the field are extensive
  global_freq = 1;
  energy_global_flag = energy_peratom_flag = virial_global_flag = virial_peratom_flag = 1;
  thermo_energy = thermo_virial = 1;  // on by default, as the conserved energy includes the energy of the field
  centroidstressflag = CENTROID_AVAIL;
  restart_global = 1;
  comm_reverse = 9;
  dynamic_group_allow = 1;
}

FixTnepField::~FixTnepField() { delete[] extlist; }

int FixTnepField::setmask() { return PRE_FORCE | PRE_REVERSE | MIN_PRE_FORCE | MIN_PRE_REVERSE; }

void FixTnepField::init() {
  if (utils::strmatch(update->integrate_style, "^respa"))
    error->all(FLERR,
               "Fix tnep/field: run_style respa is not supported, as the field acts within the forces of the "
               "model; use run_style verlet");
  if (modify->get_fix_by_style("^tnep/field$").size() > 1)
    error->all(FLERR,
               "Fix tnep/field: more than one fix of this style; the energy is not additive in the fields, so give "
               "one fix the sum of the fields (by variables or forms)");
  if (force->newton_pair == 0)
    error->all(FLERR, "Fix tnep/field needs newton pair on: remove 'newton off' from the input");
  const bool minimising = update->whichflag == 2;
  if (minimising && form.varies_in_time())
    error->all(FLERR,
               "Fix tnep/field: a field that changes with time has no minimum energy; minimise in a constant one");
  if (minimising && !thermo_energy)
    error->all(FLERR, "Fix tnep/field: minimisation needs the energy of the field: remove 'fix_modify {} energy no'",
               id);
  if (!region.empty() && !domain->get_region_by_id(region))
    error->all(FLERR, "Fix tnep/field: there is no region '{}'", region);

  std::vector<PairTnep*> enthalpies;
  for (PairTnep* each : PairTnep::all(force))
    if (each->is_enthalpy()) enthalpies.push_back(each);
  pair = nullptr;
  if (dipole) {
    for (auto* model : {dipole.get(), polarizability.get()}) {
      if (!model) continue;
      model->check_units();
      model->check_minimization("fix ... tnep/field ... precision double");
      model->forget_list();
    }
    double cutoff = dipole->cutoff();
    if (polarizability) cutoff = std::max(cutoff, polarizability->cutoff());
    dipole->check_ghosts(cutoff);
    neighbor->add_request(this, NeighConst::REQ_FULL)->set_cutoff(cutoff);
    if (!enthalpies.empty())
      error->all(FLERR,
                 "Fix tnep/field: the enthalpy model of pair style tnep responds to the field itself; leave out "
                 "'dipole' and 'polarizability'");
    if (susceptibility && (domain->nonperiodic || domain->dimension != 3))
      error->all(FLERR,
                 "Fix tnep/field: a model of the susceptibility needs a volume, hence boundary p p p in three "
                 "dimensions; use a model trained on polarizabilities instead");
  } else {
    if (enthalpies.empty())
      error->all(FLERR,
                 "Fix tnep/field: nothing responds to the field: use pair style tnep with an enthalpy model, or "
                 "name a model here: dipole file element1 element2 ...");
    if (enthalpies.size() > 1)
      error->all(FLERR,
                 "Fix tnep/field: the pair style has {} enthalpy models, and the field would act on one of them only; "
                 "use one",
                 enthalpies.size());
    pair = enthalpies[0];
    if (utils::strmatch(force->pair_style, "^hybrid/scaled"))
      error->all(FLERR,
                 "Fix tnep/field: pair style hybrid/scaled would scale the forces in the field, but not their energy; "
                 "use hybrid or hybrid/overlay");
    if (!thermo_virial)
      error->all(FLERR,
                 "Fix tnep/field: the pressure of an enthalpy model always includes the field; remove 'fix_modify {} "
                 "virial no'",
                 id);
  }
  TnepDriver& model = responder();
  form.check(model.units);
  everywhere = igroup == 0 && region.empty() && form.is_uniform();
  if (form.is_displacement() && (igroup != 0 || !region.empty()))
    error->all(FLERR, "Fix tnep/field: a displacement applies to the whole cell: use group all and no region");
  check_group();
  if (comm->me == 0 && !form.is_gradient_known())
    error->warning(FLERR,
                   "Fix tnep/field: the gradient of a field from atom-style variables is not known; energy is "
                   "conserved only if the variables do not depend on positions or time");
  if (comm->me == 0 && !region.empty())
    error->warning(FLERR, "Fix tnep/field: energy is not conserved when atoms cross the surface of region {}", region);
}

// Stop with an error if the group is empty or has atoms that do not respond to the field.  Collective.
void FixTnepField::check_group() {
  const TnepDriver& model = responder();
  bigint mine[2] = {0, 0}, all[2];
  for (int i = 0; i < atom->nlocal; i++) {
    if (!(atom->mask[i] & groupbit)) continue;
    mine[0]++;
    mine[1] += !model.sees(atom->type[i]);
  }
  MPI_Allreduce(mine, all, 2, MPI_LMP_BIGINT, MPI_SUM, world);
  if (all[0] == 0) error->all(FLERR, "Fix tnep/field: group {} has no atoms", group->names[igroup]);
  if (all[1] > 0)
    error->all(FLERR,
               "Fix tnep/field: {} of the {} atoms of group {} have types that the model does not see (NULL), so "
               "the field would not act on them; use a group without them",
               all[1], all[0], group->names[igroup]);
}

void FixTnepField::init_list(int /*id*/, NeighList* ptr) { list = ptr; }

TnepDriver& FixTnepField::responder() const { return dipole ? *dipole : pair->model(); }

double FixTnepField::volume() const {
  const double length = responder().units.length;
  return domain->xprd * domain->yprd * (domain->dimension == 3 ? domain->zprd : 1.0) / (length * length * length);
}

void FixTnepField::find_field() {
  form.refresh(igroup);
  if (form.is_displacement()) solve_displacement();
  else std::copy_n(form.value(), 3, uniform);
  if (everywhere) return;
  Region* where = region.empty() ? nullptr : domain->get_region_by_id(region);
  if (where) where->prematch();
  fields.assign(3 * static_cast<size_t>(std::max(atom->nlocal, 1)), 0.0);
  felt.assign(std::max(atom->nlocal, 1), 0);
  for (int i = 0; i < atom->nlocal; i++) {
    if (!(atom->mask[i] & groupbit)) continue;
    const double* x = atom->x[i];
    if (where && !where->match(x[0], x[1], x[2])) continue;
    felt[i] = 1;
    form.at_atom(i, &fields[3 * static_cast<size_t>(i)]);
  }
}

void FixTnepField::setup_pre_force(int vflag) {
  for (auto* model : {dipole.get(), polarizability.get()}) {
    if (!model) continue;
    model->check_exclusions();
    model->check_rebuilds();
  }
  pre_force(vflag);
}

void FixTnepField::min_pre_force(int vflag) { pre_force(vflag); }

void FixTnepField::pre_force(int /*vflag*/) {
  if (pair) pair->set_field(id, nullptr, false);
  find_field();
  if (pair) pair->set_field(id, everywhere ? uniform : fields.data(), !everywhere);
}

void FixTnepField::setup_pre_reverse(int eflag, int vflag) { pre_reverse(eflag, vflag); }

void FixTnepField::min_pre_reverse(int eflag, int vflag) { pre_reverse(eflag, vflag); }

void FixTnepField::pre_reverse(int eflag, int vflag) {
  ev_init(eflag, vflag);
  sites.clear();
  if (pair) collect_from_pair();
  else collect_from_models();
  add_site_terms();
  count_work();
}

// Compute the sums for the output.
void FixTnepField::sum_sites() {
  std::fill_n(local, SUMS, 0.0);
  for (const Site& site : sites) {
    if (!(atom->mask[site.atom] & groupbit)) continue;
    const double* e = field_of(site.atom);
    local[ENERGY] += site.w;
    local[COUNT] += 1.0;
    for (int a = 0; a < 3; a++) {
      local[DIPOLE + a] += site.p[a];
      local[FIELD + a] += e[a];
      for (int b = 0; b < 3; b++) local[INDUCED + a] += site.a[3 * a + b] * e[b];
    }
  }
}

// Add the energies of the sites, the force p.grad E on the centres and the virials that do not follow from forces.
void FixTnepField::add_site_terms() {
  const TnepUnits& units = responder().units;
  sum_sites();
  reduced = false;
  const bool slopes = !form.is_uniform() && form.is_gradient_known();
  double centre[3] = {};
  if (slopes) form.box_centre(centre);
  for (const Site& site : sites) {
    const int i = site.atom;
    if (!(atom->mask[i] & groupbit)) continue;
    if (eflag_atom) eatom[i] += units.energy * site.w;
    if (slopes && felt[i]) {
      double g[3][3], force[3] = {}, w[9];
      form.gradient_at_atom(i, g);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) force[b] += units.energy / units.length * site.p[a] * g[a][b];
      for (int b = 0; b < 3; b++) atom->f[i][b] += force[b];
      // A wave is fixed to the box and strained with it, so it adds no virial; a gradient form is fixed in space.
      if (form.strains_with_box()) continue;
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) w[3 * a + b] = (atom->x[i][a] - centre[a]) * force[b];
      if (vflag_global)
        for (int k = 0; k < 6; k++) virial[k] += 0.5 * (w[SIX[k]] + w[TRANSPOSED[k]]);
      add_atom_virial(i, w, 1.0);
    }
  }
  if (!vflag_either) return;
  // The polarizability from a model of the susceptibility is proportional to the volume, which gives a virial.
  if (susceptibility)
    for (const Site& site : sites) {
      const double* e = field_of(site.atom);
      double quadratic = 0.0;
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) quadratic += 0.5 * units.energy * e[a] * site.a[3 * a + b] * e[b];
      if (!(atom->mask[site.atom] & groupbit)) continue;
      const double w[9] = {quadratic, 0, 0, 0, quadratic, 0, 0, 0, quadratic};
      if (vflag_global)
        for (int k = 0; k < 3; k++) virial[k] += quadratic;
      add_atom_virial(site.atom, w, 1.0);
    }
  // So does the volume in V D for a displacement.
  if (form.is_displacement() && vflag_global) {
    double added = 0.0;
    for (int a = 0; a < 3; a++) added += uniform[a] * local[DIPOLE + a];
    if (comm->me == 0)
      for (int a = 0; a < 3; a++) added += 0.5 * TNEP_EPSILON_0 * volume() * uniform[a] * uniform[a];
    for (int k = 0; k < 3; k++) virial[k] -= units.energy * added;
  }
}

// Add the work of the external field since the last step: -P.dE, or -P.(dE/dt) dt for a wave, or V E.dD for a
// displacement, by the trapezoid rule.
void FixTnepField::count_work() {
  if (update->whichflag != 1) {
    counted = -1;
    return;
  }
  Rate now{{}, {}, 0.0, form.time()};
  const bool displacement = form.is_displacement();
  if (form.is_uniform()) std::copy_n(form.value(), 3, now.driven);
  for (int a = 0; displacement && a < 3; a++) now.conjugate[a] = comm->me == 0 ? volume() * uniform[a] : 0.0;
  for (const Site& site : sites) {
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

void FixTnepField::reduce() {
  if (reduced) return;
  if (deferred) {
    collect_sites(false);
    sum_sites();
  }
  local[WORK] = work;
  MPI_Allreduce(local, total, SUMS, MPI_DOUBLE, MPI_SUM, world);
  total[WORK] += work_until_restart;
  if (form.is_displacement())
    for (int a = 0; a < 3; a++)
      total[ENERGY] += uniform[a] * total[DIPOLE + a] + 0.5 * TNEP_EPSILON_0 * volume() * uniform[a] * uniform[a];
  reduced = true;
}

double FixTnepField::compute_scalar() {
  reduce();
  return responder().units.energy * total[ENERGY];
}

double FixTnepField::compute_vector(int k) {
  reduce();
  const TnepUnits& units = responder().units;
  if (k < 3) return units.charge * units.length * total[DIPOLE + k];
  if (k < 6) return units.charge * units.length * total[INDUCED + k - 3];
  if (k < 9) return units.field * total[FIELD + k - 6] / std::max(total[COUNT], 1.0);
  return units.energy * total[WORK];
}

// Write the work done so far, in eV.
void FixTnepField::write_restart(FILE* file) {
  double done = 0.0;
  MPI_Reduce(&work, &done, 1, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me != 0) return;
  done += work_until_restart;
  const int size = sizeof(double);
  fwrite(&size, sizeof(int), 1, file);
  fwrite(&done, sizeof(double), 1, file);
}

void FixTnepField::restart(char* data) { memcpy(&work_until_restart, data, sizeof(double)); }

double FixTnepField::memory_usage() {
  return static_cast<double>(sites.capacity() * sizeof(Site) + fields.capacity() * sizeof(double) + felt.capacity());
}
