// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep_polarizability.h"

#include "domain.h"
#include "error.h"

#include "shared/driver.h"

using namespace LAMMPS_NS;

ComputeTnepPolarizability::ComputeTnepPolarizability(LAMMPS *lmp, int narg, char **arg) :
    ComputeTnep(lmp, narg, arg, "polarizability", "polarizabilities", {0, 4, 8, 1, 2, 5}),
    susceptibility(driver->metadata().polarizability_unit == "N*chi")
{
}

void ComputeTnepPolarizability::check()
{
  if (susceptibility && (domain->nonperiodic || domain->dimension != 3))
    error->all(FLERR, "Compute {}: a model of the susceptibility needs a volume, hence boundary p p p in three "
               "dimensions; use a model trained on polarizabilities instead", style);
}

// alpha = eps0 V chi, and the sum over all atoms that the model sees is N chi.
double ComputeTnepPolarizability::factor()
{
  const auto &u = driver->units;
  const double unit = u.charge * u.length * u.length / u.potential;
  if (!susceptibility) return unit;
  const bigint n = driver->count_atoms();
  const double volume = domain->xprd * domain->yprd * domain->zprd / (u.length * u.length * u.length);
  return n > 0 ? unit * TNEP_EPSILON_0 * volume / static_cast<double>(n) : 0.0;
}
