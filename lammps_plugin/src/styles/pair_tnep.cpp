// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/pair_tnep.h"

#include "atom.h"
#include "comm.h"
#include "compute.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "update.h"
#include "utils.h"

#include "shared/deviation.h"
#include "shared/driver.h"

#include <algorithm>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr int EVERY_ATOM = 1;    // bit of group all

PairTnep::PairTnep(LAMMPS *lmp) :
    Pair(lmp), driver(std::make_unique<TnepDriver>(lmp, "Pair style tnep")), list_step(-1), evaluated(-1),
    field(nullptr), field_per_atom(false), spread(std::make_unique<TnepDeviation>(lmp)), deviation_every(0),
    threshold(-1.0), threshold_stops(false), deviated(-1)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;    // the model gives the virial
  centroidstressflag = CENTROID_AVAIL;
}

PairTnep::~PairTnep()
{
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

void PairTnep::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
}

void PairTnep::settings(int narg, char **arg)
{
  int k = 0;
  while (k < narg) {
    const std::string word = arg[k++];
    if (word == "precision" && k < narg) {
      const std::string value = arg[k++];
      if (value != "single" && value != "double")
        error->all(FLERR, "Pair style tnep: precision must be single or double, got '{}'", value);
      precision = value == "single" ? "float32" : "float64";
    } else if (word == "deviation" && k + 1 < narg) {
      deviation_file = arg[k++];
      deviation_every = utils::inumeric(FLERR, arg[k++], false, lmp);
      if (deviation_every < 1)
        error->all(FLERR, "Pair style tnep: deviation needs a positive number of steps, got {}", deviation_every);
    } else if (word == "threshold" && k + 1 < narg) {
      threshold = utils::numeric(FLERR, arg[k++], false, lmp);
      const std::string value = arg[k++];
      if (value != "warn" && value != "stop")
        error->all(FLERR, "Pair style tnep: expected 'threshold force warn|stop', got '{}'", value);
      threshold_stops = value == "stop";
    } else
      error->all(FLERR, "Pair style tnep: expected precision single|double, deviation file steps or threshold force "
                 "warn|stop, got '{}'; the model is named by pair_coeff * * file ...", word);
  }
  if (threshold >= 0.0 && deviation_every == 0)
    error->all(FLERR, "Pair style tnep: threshold needs 'deviation file steps', which says when to look");
}

void PairTnep::coeff(int narg, char **arg)
{
  if (narg < 4 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "Pair style tnep: expected 'pair_coeff * * file [more files] element1 element2 ...', one element "
               "(or NULL) for each of the {} atom types", atom->ntypes);
  if (!allocated) allocate();
  // Words before the elements are files: the first model, and others of an ensemble.
  int files = 1;
  while (2 + files + atom->ntypes < narg && platform::file_is_readable(arg[2 + files])) files++;
  const int nelements = narg - 2 - files;
  driver->load(arg[2], "potential", nelements, arg + 2 + files, precision);
  others.clear();
  for (int k = 1; k < files; k++) {
    others.push_back(std::make_unique<TnepDriver>(lmp, "Pair style tnep"));
    others.back()->load(arg[2 + k], "potential", nelements, arg + 2 + files, precision);
    if (others.back()->cutoff() > driver->cutoff() * (1.0 + 1e-12))
      error->all(FLERR, "Pair style tnep: {} has a longer cutoff than {}; name it first", arg[2 + k], arg[2]);
  }
  if (deviation_every > 0 && others.empty())
    error->all(FLERR, "Pair style tnep: deviation needs several models: pair_coeff * * a.pt b.pt ... element1 ...");
  comm_reverse = 3 * (1 + static_cast<int>(others.size()));
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++) setflag[i][j] = i <= j && driver->sees(i) && driver->sees(j);
}

void PairTnep::init_style()
{
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style tnep needs newton pair on: remove 'newton off' from the input");
  driver->check_units();
  for (auto &other : others) other->check_units();
  deviated = -1;
  list_step = evaluated = -1;
  requests.clear();
  set_field("", nullptr, false);
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

void PairTnep::setup()
{
  driver->check_exclusions();
}

double PairTnep::init_one(int /*i*/, int /*j*/)
{
  return driver->cutoff();
}

bool PairTnep::is_enthalpy() const
{
  return driver->metadata().kind == "enthalpy";
}

PairTnep *PairTnep::find(Force *force, const TnepDriver *other)
{
  for (const char *name : {"tnep", "nep"}) {
    Pair *before = nullptr;
    for (int k = 0;; k++) {    // 0: the only one; 1, 2, ...: one of several in a hybrid style
      Pair *next = force->pair_match(name, 1, k);
      PairTnep *pair = dynamic_cast<PairTnep *>(next);
      if (pair && (!other || pair->driver->same_model(*other))) return pair;
      if (k > 0 && (!next || next == before)) break;
      before = next;
    }
  }
  return nullptr;
}

void PairTnep::set_field(const std::string &fix, const double *values, bool per_atom)
{
  field_fix = fix;
  field = values;
  field_per_atom = per_atom;
}

void PairTnep::announce(const std::string &id, const std::vector<std::string> &quantities)
{
  requests.push_back({id, quantities});
}

static void add_missing(std::vector<std::string> &to, const std::vector<std::string> &names)
{
  for (const auto &name : names)
    if (std::find(to.begin(), to.end(), name) == to.end()) to.push_back(name);
}

void PairTnep::evaluate(const std::vector<std::string> &quantities)
{
  const bool fresh = neighbor->ago == 0 || neighbor->lastcall != list_step;
  list_step = neighbor->lastcall;
  driver->evaluate(*list, EVERY_ATOM, quantities, fresh, field, field_per_atom);
}

TnepDriver &PairTnep::results(const std::vector<std::string> &quantities)
{
  bool there = evaluated == update->ntimestep;
  for (const auto &name : quantities) there = there && (driver->n_centers() == 0 || driver->has(name));
  if (there) return *driver;
  std::vector<std::string> all{"energies", "forces"};    // so that nobody else has to evaluate again
  add_missing(all, quantities);
  evaluate(all);
  evaluated = update->ntimestep;
  return *driver;
}

TnepDriver &PairTnep::results_without_field(const std::vector<std::string> &quantities)
{
  const double *kept = field;
  field = nullptr;
  evaluate(quantities);
  field = kept;
  evaluated = -1;
  return *driver;
}

// H_i(E) - H_i(0), which is -E.P_i(E) + E.alpha_i.E / 2 for a model of second order in the field.
void PairTnep::split_energy(const std::vector<double> &without_field)
{
  field_energy.assign(driver->n_centers(), 0.0);
  if (!field || driver->n_centers() == 0) return;
  const int64_t n = driver->n_centers();
  if (!without_field.empty()) {
    const double *energies = driver->result("energies", n);
    for (int64_t c = 0; c < n; c++) field_energy[c] = energies[c] - without_field[c];
    return;
  }
  const double *dipoles = driver->result("dipoles", 3 * n), *alphas = driver->result("polarizabilities", 9 * n);
  for (int64_t c = 0; c < n; c++) {
    const double *e = field_per_atom ? field + 3 * static_cast<int64_t>(driver->center(c)) : field;
    double w = 0.0;
    for (int i = 0; i < 3; i++) {
      w -= e[i] * dipoles[3 * c + i];
      for (int j = 0; j < 3; j++) w += 0.5 * e[i] * alphas[9 * c + 3 * i + j] * e[j];
    }
    field_energy[c] = w;
  }
}

void PairTnep::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);

  const bool atom_virials = vflag_atom || cvflag_atom;
  std::vector<std::string> quantities{"energies", "forces"};
  if (vflag_global) quantities.emplace_back("virial");
  if (atom_virials) quantities.emplace_back("virials");
  if (deviation_every > 0 && update->ntimestep % deviation_every == 0) add_missing(quantities, {"virial"});
  if (field && !modify->get_fix_by_id(field_fix)) field = nullptr;
  if (field) add_missing(quantities, {"dipoles", "polarizabilities"});
  for (const auto &request : requests) {
    Compute *who = modify->get_compute_by_id(request.id);
    if (who && who->matchstep(update->ntimestep)) add_missing(quantities, request.quantities);
  }
  std::vector<double> without_field;
  if (field && driver->metadata().gives("hyperpolarizability")) {
    results_without_field({"energies"});
    if (const double *e = driver->n_centers() > 0 ? driver->result("energies", driver->n_centers()) : nullptr)
      without_field.assign(e, e + driver->n_centers());
  }
  evaluate(quantities);
  evaluated = update->ntimestep;
  split_energy(without_field);
  watch_deviation();
  const int64_t n = driver->n_centers();
  if (n == 0) return;

  const int nall = atom->nlocal + atom->nghost;
  const double *energies = driver->result("energies", n);
  const double *forces = driver->result("forces", 3 * int64_t(nall));
  driver->require_finite(energies, n, 1, "the energy", true);
  driver->require_finite(forces, nall, 3, "the force", false);

  // Ghosts get their share too; LAMMPS sends it to their owners.
  double **f = atom->f;
  const double per_length = driver->units.energy / driver->units.length;
  for (int i = 0; i < nall; i++)
    for (int k = 0; k < 3; k++) f[i][k] += per_length * forces[3 * i + k];

  if (eflag_either)
    for (int64_t k = 0; k < n; k++) {
      const double e = driver->units.energy * (energies[k] - (field ? field_energy[k] : 0.0));
      if (eflag_global) eng_vdwl += e;
      if (eflag_atom) eatom[driver->center(k)] += e;
    }
  if (vflag_global) {
    const double *w = driver->result("virial", 9);    // row-major; xx yy zz xy xz yz of the symmetric tensor
    static constexpr int ORDER[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};
    for (int k = 0; k < 6; k++) virial[k] += driver->units.energy * 0.5 * (w[ORDER[k]] + w[TRANSPOSED[k]]);
  }
  if (atom_virials) add_atom_virials();
}

// Look at the ensemble where it is time to; the results of the first model stay.
void PairTnep::watch_deviation()
{
  if (deviation_every == 0 || update->ntimestep % deviation_every != 0) return;
  deviation();
  spread->write(deviation_file);
  if (threshold < 0.0 || spread->max_force <= threshold) return;
  const std::string text =
      fmt::format("Pair style tnep: the models deviate by {:.4g} in the force on an atom on step {}, more than {:.4g}",
                  spread->max_force, update->ntimestep, threshold);
  if (threshold_stops) error->all(FLERR, "{}", text);
  if (comm->me == 0) error->warning(FLERR, "{}", text);
}

const TnepDeviation &PairTnep::deviation()
{
  if (deviated == update->ntimestep) return *spread;
  deviated = update->ntimestep;
  const int models = 1 + static_cast<int>(others.size()), nall = atom->nlocal + atom->nghost;
  ensemble_forces.assign(3 * static_cast<size_t>(models) * std::max(nall, 1), 0.0);
  std::vector<double> energies(models, 0.0), virials(9 * models, 0.0);
  for (int m = 0; m < models; m++) {
    TnepDriver &model = m == 0 ? *driver : *others[m - 1];
    if (m == 0) results({"energies", "forces", "virial"});
    else model.evaluate(*list, EVERY_ATOM, {"energies", "forces", "virial"}, true, field, field_per_atom);
    const int64_t n = model.n_centers();
    if (n == 0) continue;
    const double *e = model.result("energies", n), *w = model.result("virial", 9);
    const double *f = model.atom_result("forces", 3);
    for (int64_t c = 0; c < n; c++) energies[m] += driver->units.energy * e[c];
    for (int k = 0; k < 9; k++) virials[9 * m + k] = driver->units.energy * w[k];
    const double per_length = driver->units.energy / driver->units.length;
    for (int64_t i = 0; i < nall; i++)
      for (int k = 0; k < 3; k++) ensemble_forces[3 * (models * i + m) + k] = per_length * f[3 * i + k];
  }
  comm->reverse_comm(this);
  spread->evaluate(models, ensemble_forces, energies, virials);
  return *spread;
}

int PairTnep::pack_reverse_comm(int n, int first, double *buffer)
{
  std::copy_n(&ensemble_forces[static_cast<size_t>(comm_reverse) * first], comm_reverse * n, buffer);
  return comm_reverse * n;
}

void PairTnep::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int i = 0; i < n; i++)
    for (int k = 0; k < comm_reverse; k++)
      ensemble_forces[static_cast<size_t>(comm_reverse) * atoms[i] + k] += *buffer++;
}

// The virial of a pair belongs to the neighbour, as heat currents need it: W_j = sum_i r_ij (x) f_j.
void PairTnep::add_atom_virials()
{
  static constexpr int ORDER[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};    // xx yy zz xy xz yz yx zx zy
  const int nall = atom->nlocal + atom->nghost;
  const double *virials = driver->result("virials", 9 * int64_t(nall));
  for (int i = 0; i < nall; i++) {
    const double *w = virials + 9 * i;
    if (cvflag_atom)
      for (int k = 0; k < 9; k++) cvatom[i][k] += driver->units.energy * w[ORDER[k]];
    if (vflag_atom) {
      for (int k = 0; k < 3; k++) vatom[i][k] += driver->units.energy * w[ORDER[k]];
      for (int k = 3; k < 6; k++) vatom[i][k] += driver->units.energy * 0.5 * (w[ORDER[k]] + w[ORDER[k + 3]]);
    }
  }
}
