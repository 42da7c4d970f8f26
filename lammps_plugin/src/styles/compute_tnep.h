// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_COMPUTE_TNEP_H
#define LMP_COMPUTE_TNEP_H

#include "compute.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairTnep;
class TnepDriver;

// What the computes have in common: a model, and one evaluation of it per step.  Where the pair style has the same model,
// it evaluates the quantities together with the forces, in the field if there is one; else the model is independent of the
// pair style and has a neighbour list of its own.
class ComputeTnep : public Compute {
 public:
  ~ComputeTnep() override;
  void init() override;
  void init_list(int, class NeighList *) override;
  void setup() override;
  double memory_usage() override;

 protected:
  // `quantities` of the model are what results() must hold.
  ComputeTnep(class LAMMPS *, int, char **, const char *kind, std::vector<std::string> quantities);

  std::unique_ptr<TnepDriver> driver;    // for units and metadata
  int columns;                           // of array_atom, 0 for none

  void use_vector(int size);
  void use_array(int size);

  virtual void check() {}      // of settings, at init
  TnepDriver &results();       // evaluates unless the pair style has
  bool is_new_step();          // whether results for this step are still to be made; true once per step
  void clear_array();          // grown to all local and ghost atoms, and zero

  // From the unit of a polarizability model to that of LAMMPS: alpha = eps0 V chi, and the sum over all atoms that the
  // model sees is N chi.  Collective.
  double polarizability_factor();
  void check_susceptibility();

 private:
  std::vector<std::string> quantities;
  PairTnep *shared;
  NeighList *list;
  bigint evaluated;    // time step of the stored results, -1 for none
  int nmax;
};

}    // namespace LAMMPS_NS

#endif
