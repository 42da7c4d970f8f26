// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_PAIR_TNEP_H
#define LMP_PAIR_TNEP_H

#include "pair.h"

#include <memory>

namespace LAMMPS_NS {

class TnepDriver;

// pair_style tnep: energies, forces and virials of an exported potential.
class PairTnep : public Pair {
 public:
  PairTnep(class LAMMPS *);
  ~PairTnep() override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  void setup() override;
  double init_one(int, int) override;
  void compute(int, int) override;

 private:
  std::unique_ptr<TnepDriver> driver;
  bigint list_step;    // time step at which the neighbour list of the last evaluation was built, -1 for none

  void allocate();
  void add_atom_virials();
};

}    // namespace LAMMPS_NS

#endif
