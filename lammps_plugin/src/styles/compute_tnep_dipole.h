// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_DIPOLE_H
#define LMP_COMPUTE_TNEP_DIPOLE_H

#include "styles/compute_tnep.h"

namespace LAMMPS_NS {

// compute tnep/dipole: x, y, z; charge times length.
class ComputeTnepDipole : public ComputeTnep {
 public:
  ComputeTnepDipole(class LAMMPS *, int, char **);

 protected:
  double factor() override;
};

}    // namespace LAMMPS_NS

#endif
