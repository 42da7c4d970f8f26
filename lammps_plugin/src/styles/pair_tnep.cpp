// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/pair_tnep.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"

#include "shared/driver.h"

#include <cstring>

using namespace LAMMPS_NS;

static constexpr int EVERY_ATOM = 1;    // bit of group all

PairTnep::PairTnep(LAMMPS *lmp) :
    Pair(lmp), driver(std::make_unique<TnepDriver>(lmp, "Pair style tnep")), list_step(-1)
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
  if (narg > 0)
    error->all(FLERR, "Pair style tnep takes no arguments, got '{}'; the model is named by pair_coeff * * file ...",
               arg[0]);
}

void PairTnep::coeff(int narg, char **arg)
{
  if (narg < 4 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "Pair style tnep: expected 'pair_coeff * * file element1 element2 ...', one element (or NULL) "
               "for each of the {} atom types", atom->ntypes);
  if (!allocated) allocate();
  driver->load(arg[2], "potential", narg - 3, arg + 3);
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = 1; j <= atom->ntypes; j++) setflag[i][j] = i <= j && driver->sees(i) && driver->sees(j);
}

void PairTnep::init_style()
{
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style tnep needs newton pair on: remove 'newton off' from the input");
  driver->check_units();
  list_step = -1;
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

void PairTnep::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);

  const bool atom_virials = vflag_atom || cvflag_atom;
  std::vector<std::string> quantities{"energies", "forces"};
  if (vflag_global) quantities.emplace_back("virial");
  if (atom_virials) quantities.emplace_back("virials");
  const bool fresh = neighbor->ago == 0 || neighbor->lastcall != list_step;
  list_step = neighbor->lastcall;
  driver->evaluate(*list, EVERY_ATOM, quantities, fresh);
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
      const double e = driver->units.energy * energies[k];
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
