// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_GRADIENTS_H
#define LMP_COMPUTE_TNEP_GRADIENTS_H

#include "styles/compute_tnep.h"

namespace LAMMPS_NS {

// Derivatives of the dipole or polarizability with respect to the positions: a per-atom array that includes the shares
// of ghost atoms, and the sum over the atoms of the group as a global vector.  The sum is zero for group all (acoustic
// sum rule).
class ComputeTnepGradients : public ComputeTnep {
 public:
  void compute_vector() override;
  void compute_peratom() override;
  int pack_reverse_comm(int, int, double*) override;
  void unpack_reverse_comm(int, int*, double*) override;

 protected:
  // The model gives `stride` numbers per atom; column k of the array is number order[k].
  ComputeTnepGradients(class LAMMPS*, int, char**, const char* kind, std::string quantity, int stride,
                       std::vector<int> order);
  virtual double factor() = 0;  // from the unit of the model to that of LAMMPS; collective

 private:
  std::string quantity;
  int stride;
  std::vector<int> order;

  void evaluate();
};

// compute tnep/born/atom: dP_i/du_j, row-major (xx xy xz yx ... zz); units of charge.
class ComputeTnepBorn : public ComputeTnepGradients {
 public:
  ComputeTnepBorn(class LAMMPS*, int, char**);

 protected:
  double factor() override;
};

// compute tnep/raman/atom: d alpha/du_j for j = x, y, z, each xx yy zz xy xz yz; units of charge times length per
// potential.
class ComputeTnepRaman : public ComputeTnepGradients {
 public:
  ComputeTnepRaman(class LAMMPS*, int, char**);

 protected:
  void check() override;
  double factor() override;
};

// compute tnep/current: sum over the atoms of the group of Z v, which is dP/dt for group all; units of charge times
// velocity.
class ComputeTnepCurrent : public ComputeTnep {
 public:
  ComputeTnepCurrent(class LAMMPS*, int, char**);
  void compute_vector() override;
  int pack_forward_comm(int, int*, double*, int, int*) override;
  void unpack_forward_comm(int, int, double*) override;

 private:
  std::vector<double> velocities;  // (nall, 3); zero for atoms outside the group
};

// compute tnep/piezo: e_i,jk = dP_i/d(strain jk) / V for i = x, y, z, each xx yy zz xy xz yz; units of charge per area.
class ComputeTnepPiezo : public ComputeTnep {
 public:
  ComputeTnepPiezo(class LAMMPS*, int, char**);
  void compute_vector() override;

 protected:
  void check() override;
};

}  // namespace LAMMPS_NS

#endif
