// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_POLARIZABILITY_H
#define LMP_COMPUTE_TNEP_POLARIZABILITY_H

#include "styles/compute_tnep.h"

namespace LAMMPS_NS {

// compute tnep/polarizability: xx, yy, zz, xy, xz, yz; charge times length squared by potential.
class ComputeTnepPolarizability : public ComputeTnep {
 public:
  ComputeTnepPolarizability(class LAMMPS *, int, char **);

 protected:
  void check() override;
  double factor() override;

 private:
  bool susceptibility;    // the model gives the susceptibility times the number of atoms
};

}    // namespace LAMMPS_NS

#endif
