// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_DEVIATION_H
#define TNEP_DEVIATION_H

#include "pointers.h"

#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// Deviation of an ensemble of models from its mean, defined and written as in DeePMD-kit: sqrt(<|F - <F>|^2>) for the
// force on an atom, and the standard deviations of the energy per atom and of each component of the virial per atom.
// For enthalpy models also sqrt(<|P - <P>|^2>) for the dipole of all atoms.
class TnepDeviation : protected Pointers {
 public:
  explicit TnepDeviation(LAMMPS* lmp) : Pointers(lmp) {}
  ~TnepDeviation() override;
  TnepDeviation(const TnepDeviation&) = delete;
  TnepDeviation& operator=(const TnepDeviation&) = delete;

  struct Totals {  // of one model, in LAMMPS units
    double energy = 0.0, virial[9] = {}, dipole[3] = {};
  };

  // Compute the deviations from the forces on this rank (local atom, model, 3) in LAMMPS units, and from the totals of
  // this rank per model, with their dipoles if `with_dipole`.  Collective.
  void evaluate(const std::vector<double>& forces, const std::vector<Totals>& totals, bool with_dipole);

  // Append one line for the present step to the file (rank 0 only); a new file gets a header.
  void write(const std::string& path);

  const std::vector<double>& per_atom() const { return force; }  // deviation of the force on each local atom
  double max_force = 0.0, min_force = 0.0, mean_force = 0.0, energy = 0.0, dipole = 0.0;

 private:
  std::vector<double> force;  // per local atom
  double max_virial = 0.0, min_virial = 0.0, mean_virial = 0.0;
  bool has_dipole = false;
  FILE* file = nullptr;
};

}  // namespace LAMMPS_NS

#endif
