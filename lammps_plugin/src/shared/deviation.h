// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_DEVIATION_H
#define TNEP_DEVIATION_H

#include "pointers.h"

#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// Deviation of an ensemble of models from its mean, as DeePMD-kit defines and writes it: of the force of an atom
// sqrt(<|F - <F>|^2>), of the components of the virial by the number of atoms, of the energy by the number of atoms.
class TnepDeviation : protected Pointers {
 public:
  explicit TnepDeviation(LAMMPS *lmp) : Pointers(lmp) {}
  ~TnepDeviation() override;
  TnepDeviation(const TnepDeviation &) = delete;
  TnepDeviation &operator=(const TnepDeviation &) = delete;

  // Results of each model on this rank: forces of local atoms (atom, model, 3), energies and virials per model.
  // Collective; LAMMPS units.
  void evaluate(int models, const std::vector<double> &forces, const std::vector<double> &energies,
                const std::vector<double> &virials);

  void write(const std::string &path);    // a line for this step; appends to what a previous run has written

  const std::vector<double> &per_atom() const { return force; }
  double max_force = 0.0, min_force = 0.0, mean_force = 0.0;

 private:
  std::vector<double> force;    // per local atom
  double max_virial = 0.0, min_virial = 0.0, mean_virial = 0.0, energy = 0.0;
  FILE *file = nullptr;
};

}    // namespace LAMMPS_NS

#endif
