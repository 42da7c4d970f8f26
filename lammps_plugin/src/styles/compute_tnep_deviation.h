// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_DEVIATION_H
#define LMP_COMPUTE_TNEP_DEVIATION_H

#include "compute.h"

namespace LAMMPS_NS {

// compute tnep/deviation/atom: per atom sqrt(<|F - <F>|^2>) over the models of pair style tnep, and a global vector
// with the largest, smallest and mean value over all atoms, in units of force, the deviation of the energy per atom,
// and for enthalpy models that of the dipole.
class ComputeTnepDeviation : public Compute {
 public:
  ComputeTnepDeviation(class LAMMPS*, int, char**);
  ~ComputeTnepDeviation() override;
  void init() override;
  void compute_vector() override;
  void compute_peratom() override;
  double memory_usage() override;

 private:
  class PairTnep* pair;
  int nmax;
};

}  // namespace LAMMPS_NS

#endif
