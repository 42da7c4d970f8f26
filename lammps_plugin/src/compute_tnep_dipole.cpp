// SPDX-License-Identifier: GPL-2.0-or-later

#include "compute_tnep_dipole.h"

#include "tnep_driver.h"

using namespace LAMMPS_NS;

ComputeTnepDipole::ComputeTnepDipole(LAMMPS *lmp, int narg, char **arg) :
    ComputeTnep(lmp, narg, arg, "dipole", "dipoles", {0, 1, 2})
{
}

double ComputeTnepDipole::factor()
{
  return driver->units.charge * driver->units.length;
}
