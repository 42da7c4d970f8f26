// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/compute_tnep_dipole.h"

#include "shared/driver.h"

using namespace LAMMPS_NS;

ComputeTnepDipole::ComputeTnepDipole(LAMMPS *lmp, int narg, char **arg) :
    ComputeTnep(lmp, narg, arg, "dipole", "dipoles", {0, 1, 2})
{
}

double ComputeTnepDipole::factor()
{
  return driver->units.charge * driver->units.length;
}
