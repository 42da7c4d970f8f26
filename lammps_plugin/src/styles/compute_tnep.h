// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_H
#define LMP_COMPUTE_TNEP_H

#include "compute.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class TnepDriver;

// What compute tnep/dipole and compute tnep/polarizability have in common: a sum over the atoms of a group of a tensor
// per atom, given as a global vector and as a per-atom array.  The model does not depend on the pair style.
class ComputeTnep : public Compute {
 public:
  ~ComputeTnep() override;
  void init() override;
  void init_list(int, class NeighList *) override;
  void setup() override;
  void compute_vector() override;
  void compute_peratom() override;
  double memory_usage() override;

 protected:
  // `quantity` is the tensor per atom that the model gives, `order` picks its components.
  ComputeTnep(class LAMMPS *, int, char **, const char *kind, std::string quantity, std::vector<int> order);

  std::unique_ptr<TnepDriver> driver;

  virtual void check() {}            // of settings, at init
  virtual double factor() = 0;       // from the unit of the model to that of LAMMPS; collective

 private:
  std::string quantity;
  std::vector<int> order;
  int stride;    // numbers per atom in the model's tensor
  NeighList *list;
  bigint evaluated;    // time step of the stored results, -1 for none
  int nmax;

  void evaluate();
};

}    // namespace LAMMPS_NS

#endif
