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

static constexpr int EVERY_ATOM = 1;  // bit of group all

PairTnep::PairTnep(LAMMPS* lmp)
    : Pair(lmp),
      driver(std::make_unique<TnepDriver>(lmp, "Pair style tnep")),
      evaluated(-1),
      field(nullptr),
      field_per_atom(false),
      spread(std::make_unique<TnepDeviation>(lmp)),
      deviation_every(0),
      threshold(-1.0),
      threshold_stops(false),
      mean(false),
      deviated(-1),
      others_evaluated(-1) {
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;  // the model gives the virial
  centroidstressflag = CENTROID_AVAIL;
}

PairTnep::~PairTnep() {
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

void PairTnep::allocate() {
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
}

void PairTnep::settings(int narg, char** arg) {
  TnepDriver::announce_gpus();
  int k = 0;
  while (k < narg) {
    const std::string word = arg[k++];
    if (word == "precision" && k < narg) {
      precision = driver->dtype_of(arg[k++]);
    } else if (word == "deviation" && k + 1 < narg) {
      deviation_file = arg[k++];
      deviation_every = utils::inumeric(FLERR, arg[k++], false, lmp);
      if (deviation_every < 1)
        error->all(FLERR, "Pair style tnep: deviation needs a positive number of steps, got {}", deviation_every);
    } else if (word == "threshold" && k + 1 < narg) {
      threshold = utils::numeric(FLERR, arg[k++], false, lmp);
      const std::string value = arg[k++];
      if (value != "warn" && value != "stop" && !(value == "write" && k < narg))
        error->all(FLERR, "Pair style tnep: expected 'threshold force warn|stop|write file', got '{}'", value);
      threshold_stops = value == "stop";
      snapshot_file = value == "write" ? arg[k++] : "";
    } else if (word == "device" && k < narg) {
      device = arg[k++];
      if (device != "auto" && device != "cpu" && device != "cuda")
        error->all(FLERR, "Pair style tnep: device must be auto, cpu or cuda, got '{}'", device);
    } else if (word == "mean") {
      mean = true;
    } else
      error->all(FLERR,
                 "Pair style tnep: expected precision single|double, device auto|cpu|cuda, mean, deviation file steps "
                 "or threshold force warn|stop|write file, got '{}'; the model is named by pair_coeff * * file ...",
                 word);
  }
  if (threshold >= 0.0 && deviation_every == 0)
    error->all(FLERR, "Pair style tnep: threshold needs 'deviation file steps', which sets the steps of the check");
}

void PairTnep::coeff(int narg, char** arg) {
  const bool one_type = narg == 3 && atom->ntypes == 1;  // the element may be left out if the model has only one
  if ((narg < 4 && !one_type) || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR,
               "Pair style tnep: expected 'pair_coeff * * file [more files] element1 element2 ...', one element "
               "(or NULL) for each of the {} atom types",
               atom->ntypes);
  if (!allocated) allocate();
  // Words before the elements are files: the first model and further models of an ensemble.
  int files = 1;
  while (!one_type && 2 + files + atom->ntypes < narg && platform::file_is_readable(arg[2 + files])) files++;
  const int nelements = narg - 2 - files;
  driver->load(arg[2], "potential", nelements, arg + 2 + files, precision, device);
  others.clear();
  for (int k = 1; k < files; k++) {
    others.push_back(std::make_unique<TnepDriver>(lmp, "Pair style tnep"));
    others.back()->load(arg[2 + k], "potential", nelements, arg + 2 + files, precision, device);
    if (others.back()->cutoff() > driver->cutoff() * (1.0 + 1e-12))
      error->all(FLERR, "Pair style tnep: {} has a longer cutoff than {}; name it first", arg[2 + k], arg[2]);
  }
  if (deviation_every > 0 && others.empty())
    error->all(FLERR, "Pair style tnep: deviation needs several models: pair_coeff * * a.pt b.pt ... element1 ...");
  if (mean && others.empty())
    error->all(FLERR, "Pair style tnep: mean needs several models: pair_coeff * * a.pt b.pt ... element1 ...");
  if (mean && is_enthalpy())
    error->all(FLERR,
               "Pair style tnep: the mean of enthalpy models is a model itself: tnep export a.pt b.pt mean.pt, then "
               "pair_coeff * * mean.pt element1 ...");
  comm_reverse = 3 * (1 + static_cast<int>(others.size()));
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++) setflag[i][j] = i <= j && driver->sees(i) && driver->sees(j);
}

void PairTnep::init_style() {
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style tnep needs newton pair on: remove 'newton off' from the input");
  driver->check_units();
  driver->forget_list();
  for (auto& other : others) {
    other->check_units();
    other->forget_list();
  }
  driver->check_minimization("pair_style tnep precision double");
  deviated = others_evaluated = -1;
  evaluated = -1;
  requests.clear();
  set_field("", nullptr, false);
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

void PairTnep::setup() {
  driver->check_exclusions();
  driver->check_rebuilds();
}

double PairTnep::init_one(int /*i*/, int /*j*/) { return driver->cutoff(); }

bool PairTnep::is_enthalpy() const { return driver->metadata().kind == "enthalpy"; }

std::vector<PairTnep*> PairTnep::all(Force* force) {
  std::vector<PairTnep*> found;
  for (const char* name : {"tnep", "nep"}) {
    Pair* before = nullptr;
    for (int k = 0;; k++) {  // 0: matches only if there is a single one; 1, 2, ...: the k-th in a hybrid style
      Pair* next = force->pair_match(name, 1, k);
      PairTnep* pair = dynamic_cast<PairTnep*>(next);
      if (pair && std::find(found.begin(), found.end(), pair) == found.end()) found.push_back(pair);
      if (k > 0 && (!next || next == before)) break;
      before = next;
    }
  }
  return found;
}

std::string PairTnep::requested_dtype(Force* force) {
  for (PairTnep* pair : all(force))
    if (!pair->precision.empty()) return pair->precision;
  return "";
}

std::string PairTnep::requested_device(Force* force) {
  for (PairTnep* pair : all(force))
    if (!pair->device.empty()) return pair->device;
  return "";
}

PairTnep* PairTnep::find(Force* force, const TnepDriver& other) {
  for (PairTnep* pair : all(force))
    if (pair->driver->same_model(other)) return pair;
  return nullptr;
}

void PairTnep::set_field(const std::string& fix, const double* values, bool per_atom) {
  field_fix = fix;
  field = values;
  field_per_atom = per_atom;
}

void PairTnep::announce(const std::string& id, const std::vector<std::string>& quantities) {
  requests.push_back({id, quantities});
}

static void add_missing(std::vector<std::string>& to, const std::vector<std::string>& names) {
  for (const auto& name : names)
    if (std::find(to.begin(), to.end(), name) == to.end()) to.push_back(name);
}

void PairTnep::evaluate(const std::vector<std::string>& quantities) {
  driver->evaluate(*list, EVERY_ATOM, quantities, field, field_per_atom);
}

TnepDriver& PairTnep::results(const std::vector<std::string>& quantities) {
  bool there = evaluated == update->ntimestep;
  for (const auto& name : quantities) there = there && (driver->n_centers() == 0 || driver->has(name));
  if (there) return *driver;
  std::vector<std::string> all{"energies", "forces"};  // so that other callers need not evaluate again
  add_missing(all, quantities);
  evaluate(all);
  evaluated = update->ntimestep;
  return *driver;
}

TnepDriver& PairTnep::results_without_field(const std::vector<std::string>& quantities) {
  const double* kept = field;
  field = nullptr;
  evaluate(quantities);
  field = kept;
  evaluated = -1;
  return *driver;
}

// Set field_energy to H_i(E) - H_i(0), which is -E.P_i(E) + E.alpha_i.E / 2 for a model of second order in the field.
// For models of higher order, `without_field` holds H_i(0).
void PairTnep::split_energy(const std::vector<double>& without_field) {
  field_energy.assign(driver->n_centers(), 0.0);
  if (!field || driver->n_centers() == 0) return;
  const int64_t n = driver->n_centers();
  if (!without_field.empty()) {
    const double* energies = driver->result("energies", n);
    for (int64_t c = 0; c < n; c++) field_energy[c] = energies[c] - without_field[c];
    return;
  }
  const double *dipoles = driver->result("dipoles", 3 * n), *alphas = driver->result("polarizabilities", 9 * n);
  for (int64_t c = 0; c < n; c++) {
    const double* e = field_per_atom ? field + 3 * static_cast<int64_t>(driver->center(c)) : field;
    double w = 0.0;
    for (int i = 0; i < 3; i++) {
      w -= e[i] * dipoles[3 * c + i];
      for (int j = 0; j < 3; j++) w += 0.5 * e[i] * alphas[9 * c + 3 * i + j] * e[j];
    }
    field_energy[c] = w;
  }
}

void PairTnep::compute(int eflag, int vflag) {
  ev_init(eflag, vflag);
  deviated = others_evaluated = -1;

  const bool atom_virials = vflag_atom || cvflag_atom;
  std::vector<std::string> quantities{"energies", "forces"};
  if (vflag_global) quantities.emplace_back("virial");
  if (atom_virials) quantities.emplace_back("virials");
  if (deviation_is_due()) add_missing(quantities, ensemble_quantities());
  if (field && !modify->get_fix_by_id(field_fix)) field = nullptr;
  if (field) add_missing(quantities, {"dipoles", "polarizabilities"});
  std::vector<double> without_field;
  if (field && driver->metadata().gives("hyperpolarizability")) {
    results_without_field({"energies"});
    if (const double* e = driver->n_centers() > 0 ? driver->result("energies", driver->n_centers()) : nullptr)
      without_field.assign(e, e + driver->n_centers());
  }
  const std::vector<std::string> of_pair = quantities;
  for (const auto& request : requests) {
    Compute* who = modify->get_compute_by_id(request.id);
    if (who && who->matchstep(update->ntimestep)) add_missing(quantities, request.quantities);
  }
  evaluate(quantities);
  evaluated = update->ntimestep;
  driver->watch_range();
  if (mean) evaluate_others(of_pair);
  split_energy(without_field);
  watch_deviation();
  const int64_t n = driver->n_centers();
  if (n == 0) return;

  const int nall = atom->nlocal + atom->nghost;
  const double* energies = value("energies", n);
  const double* forces = value("forces", 3 * int64_t(nall));
  driver->require_finite(energies, n, 1, "the energy", true);
  driver->require_finite(forces, nall, 3, "the force", false);

  // Forces on ghost atoms are added too; LAMMPS sends them to their owners.
  double** f = atom->f;
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
    const double* w = value("virial", 9);  // row-major
    // Positions of xx yy zz xy xz yz and of xx yy zz yx zx zy; LAMMPS takes the symmetric part.
    static constexpr int ORDER[6] = {0, 4, 8, 1, 2, 5}, TRANSPOSED[6] = {0, 4, 8, 3, 6, 7};
    for (int k = 0; k < 6; k++) virial[k] += driver->units.energy * 0.5 * (w[ORDER[k]] + w[TRANSPOSED[k]]);
  }
  if (atom_virials) add_atom_virials();
}

// The virial of a pair is attributed to the neighbour, as heat currents require: W_j = sum_i r_ij (x) f_j(i).
void PairTnep::add_atom_virials() {
  static constexpr int ORDER[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};  // xx yy zz xy xz yz yx zx zy
  const int nall = atom->nlocal + atom->nghost;
  const double* virials = value("virials", 9 * int64_t(nall));
  for (int i = 0; i < nall; i++) {
    const double* w = virials + 9 * i;
    if (cvflag_atom)
      for (int k = 0; k < 9; k++) cvatom[i][k] += driver->units.energy * w[ORDER[k]];
    if (vflag_atom) {
      for (int k = 0; k < 3; k++) vatom[i][k] += driver->units.energy * w[ORDER[k]];
      for (int k = 3; k < 6; k++) vatom[i][k] += driver->units.energy * 0.5 * (w[ORDER[k]] + w[ORDER[k + 3]]);
    }
  }
}
