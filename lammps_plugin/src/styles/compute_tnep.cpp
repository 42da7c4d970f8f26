// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep.h"

#include "atom.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"

#include "shared/driver.h"
#include "shared/neigh_request_api.h"
#include "styles/pair_tnep.h"

#include <algorithm>
#include <cstring>
#include <utility>

using namespace LAMMPS_NS;

static constexpr int EVERY_ATOM = 1;  // bit of group all

ComputeTnep::ComputeTnep(LAMMPS* lmp, int narg, char** arg, const char* kind, std::vector<std::string> wanted)
    : Compute(lmp, narg, arg),
      driver(std::make_unique<TnepDriver>(lmp, std::string("Compute ") + arg[2])),
      columns(0),
      quantities(std::move(wanted)),
      shared(nullptr),
      list(nullptr),
      evaluated(-1),
      nmax(0) {
  if (narg < 5)
    error->all(FLERR,
               "Compute {}: expected 'compute ID group {} file element1 element2 ... [precision single|double]', one "
               "element (or NULL) for each of the {} atom types",
               style, style, atom->ntypes);
  int nelements = narg - 4;
  if (nelements > 2 && strcmp(arg[narg - 2], "precision") == 0) {
    precision = driver->dtype_of(arg[narg - 1]);
    nelements -= 2;
  }
  dynamic_group_allow = 1;
  timeflag = 1;  // so that the pair style can ask on which steps this compute is needed
  driver->load(arg[3], kind, nelements, arg + 4, precision.empty() ? PairTnep::requested_dtype(force) : precision,
               PairTnep::requested_device(force));
  for (const auto& name : quantities)
    if (!driver->metadata().gives(name))
      error->all(FLERR, "Compute {}: {} is a {} {} model, which has no {}", style, arg[3], driver->metadata().family,
                 driver->metadata().kind, name);
}

ComputeTnep::~ComputeTnep() {
  delete[] vector;
  memory->destroy(array_atom);
}

void ComputeTnep::use_vector(int size) {
  vector_flag = extvector = 1;
  size_vector = size;
  vector = new double[size]();
}

void ComputeTnep::use_array(int size) {
  peratom_flag = 1;
  size_peratom_cols = columns = size;
}

void ComputeTnep::init() {
  driver->check_units();
  check();
  evaluated = -1;
  driver->forget_list();
  shared = PairTnep::find(force, *driver);
  if (shared && !precision.empty() && shared->model().metadata().dtype != precision) shared = nullptr;
  if (shared) {
    shared->announce(id, quantities);
    return;
  }
  driver->check_ghosts(driver->cutoff());
  // An occasional list is built on demand and kept until atoms are exchanged, so it needs the skin.  LAMMPS adds the
  // skin to the cutoffs of other lists, but not to those of occasional ones.
  neighbor->add_request(this, NeighConst::REQ_FULL | NeighConst::REQ_OCCASIONAL)
      ->set_cutoff(driver->cutoff() + neighbor->skin);
}

void ComputeTnep::init_list(int /*id*/, NeighList* ptr) { list = ptr; }

void ComputeTnep::setup() { driver->check_exclusions(); }

TnepDriver& ComputeTnep::results() {
  if (shared) return shared->results(quantities);
  neighbor->build_one(list);  // does nothing if the list has been built since atoms were last exchanged
  driver->evaluate(*list, EVERY_ATOM, quantities);
  driver->watch_range();
  return *driver;
}

bool ComputeTnep::is_new_step() {
  const bool is_new = evaluated != update->ntimestep;
  evaluated = update->ntimestep;
  return is_new;
}

void ComputeTnep::clear_array() {
  if (atom->nmax > nmax || !array_atom) {
    nmax = atom->nmax;
    memory->destroy(array_atom);
    memory->create(array_atom, nmax, columns, "tnep:array_atom");
  }
  const int nall = atom->nlocal + atom->nghost;
  for (int i = 0; i < nall; i++) std::fill_n(array_atom[i], columns, 0.0);
}

void ComputeTnep::check_susceptibility() {
  if (driver->metadata().polarizability_unit == "N*chi" && (domain->nonperiodic || domain->dimension != 3))
    error->all(FLERR,
               "Compute {}: a model of the susceptibility needs a volume, hence boundary p p p in three "
               "dimensions; use a model trained on polarizabilities instead",
               style);
}

double ComputeTnep::polarizability_factor() {
  const auto& u = driver->units;
  const double unit = u.charge * u.length * u.length / u.potential;
  if (driver->metadata().polarizability_unit != "N*chi") return unit;
  const bigint n = driver->count_atoms();
  const double volume = domain->xprd * domain->yprd * domain->zprd / (u.length * u.length * u.length);
  return n > 0 ? unit * TNEP_EPSILON_0 * volume / static_cast<double>(n) : 0.0;
}

double ComputeTnep::memory_usage() { return static_cast<double>(nmax) * columns * sizeof(double); }
