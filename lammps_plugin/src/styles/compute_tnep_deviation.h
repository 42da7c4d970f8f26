// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_DEVIATION_H
#define LMP_COMPUTE_TNEP_DEVIATION_H

#include "compute.h"

namespace LAMMPS_NS {

// compute tnep/deviation/atom: sqrt(<|F - <F>|^2>) of the models of pair style tnep per atom, and over all atoms the
// largest, smallest and mean as a global vector; force.
class ComputeTnepDeviation : public Compute {
 public:
  ComputeTnepDeviation(class LAMMPS *, int, char **);
  ~ComputeTnepDeviation() override;
  void init() override;
  void compute_vector() override;
  void compute_peratom() override;
  double memory_usage() override;

 private:
  class PairTnep *pair;
  int nmax;
};

}    // namespace LAMMPS_NS

#endif
