// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep_deviation.h"

#include "atom.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "update.h"

#include "shared/deviation.h"
#include "styles/pair_tnep.h"

using namespace LAMMPS_NS;

ComputeTnepDeviation::ComputeTnepDeviation(LAMMPS* lmp, int narg, char** arg)
    : Compute(lmp, narg, arg), pair(nullptr), nmax(0) {
  if (narg != 3) error->all(FLERR, "Compute {}: expected 'compute ID group {}', got '{}'", style, style, arg[3]);
  peratom_flag = vector_flag = 1;
  size_peratom_cols = 0;
  size_vector = 5;
  extvector = 0;
  timeflag = 1;
  vector = new double[5]();
}

ComputeTnepDeviation::~ComputeTnepDeviation() {
  delete[] vector;
  memory->destroy(vector_atom);
}

void ComputeTnepDeviation::init() {
  pair = nullptr;
  for (PairTnep* each : PairTnep::all(force))
    if (!pair && each->several()) pair = each;
  if (!pair)
    error->all(FLERR,
               "Compute {}: needs pair style tnep with several models: pair_coeff * * a.pt b.pt ... element1 ...",
               style);
}

void ComputeTnepDeviation::compute_vector() {
  invoked_vector = update->ntimestep;
  const TnepDeviation& found = pair->deviation();
  vector[0] = found.max_force;
  vector[1] = found.min_force;
  vector[2] = found.mean_force;
  vector[3] = found.energy;
  vector[4] = found.dipole;
}

void ComputeTnepDeviation::compute_peratom() {
  invoked_peratom = update->ntimestep;
  const TnepDeviation& found = pair->deviation();
  if (atom->nmax > nmax) {
    nmax = atom->nmax;
    memory->destroy(vector_atom);
    memory->create(vector_atom, nmax, "tnep:deviation");
  }
  for (int i = 0; i < atom->nlocal; i++) vector_atom[i] = atom->mask[i] & groupbit ? found.per_atom()[i] : 0.0;
}

double ComputeTnepDeviation::memory_usage() { return static_cast<double>(nmax) * sizeof(double); }
