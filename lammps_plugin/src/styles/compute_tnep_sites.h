// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_SITES_H
#define LMP_COMPUTE_TNEP_SITES_H

#include "styles/compute_tnep.h"

namespace LAMMPS_NS {

// A quantity that the model gives for each centre, as a per-atom array.  If the sum is meaningful, a global vector
// holds the sum over the atoms of the group.
class ComputeTnepSites : public ComputeTnep {
 public:
  void compute_vector() override;
  void compute_peratom() override;

 protected:
  ComputeTnepSites(class LAMMPS*, int, char**, const char* kind, std::string quantity);

  // The model gives `stride` numbers per centre; column k of the array is number order[k].
  void set_order(int stride, std::vector<int> order, bool summed);

  virtual double factor() = 0;  // from the unit of the model to that of LAMMPS; collective

 private:
  std::string quantity;
  std::vector<int> order;
  int stride;

  void evaluate();
};

// compute tnep/dipole: x, y, z; units of charge times length.
class ComputeTnepDipole : public ComputeTnepSites {
 public:
  ComputeTnepDipole(class LAMMPS*, int, char**);

 protected:
  double factor() override;
};

// compute tnep/polarizability: xx, yy, zz, xy, xz, yz; units of charge times length squared per potential.
class ComputeTnepPolarizability : public ComputeTnepSites {
 public:
  ComputeTnepPolarizability(class LAMMPS*, int, char**);

 protected:
  void check() override;
  double factor() override;
};

// compute tnep/descriptor/atom: the scaled descriptors of a model of the NEP family.
class ComputeTnepDescriptor : public ComputeTnepSites {
 public:
  ComputeTnepDescriptor(class LAMMPS*, int, char**);

 protected:
  double factor() override;
};

}  // namespace LAMMPS_NS

#endif
