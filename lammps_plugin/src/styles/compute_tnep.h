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

// Base class of the computes that evaluate a model, at most once per step.  If the pair style has the same model, it
// evaluates the quantities together with the forces, in the field if there is one.  Otherwise the model is independent
// of the pair style and has its own neighbour list.
class ComputeTnep : public Compute {
 public:
  ~ComputeTnep() override;
  void init() override;
  void init_list(int, class NeighList*) override;
  void setup() override;
  double memory_usage() override;

 protected:
  // results() will hold the `quantities` of the model.
  ComputeTnep(class LAMMPS*, int, char**, const char* kind, std::vector<std::string> quantities);

  std::unique_ptr<TnepDriver> driver;  // units and metadata; evaluated unless the pair style has the same model
  int columns;                         // number of columns of array_atom, 0 for no array

  void use_vector(int size);
  void use_array(int size);

  virtual void check() {}  // called by init() to check the settings of LAMMPS
  TnepDriver& results();   // the evaluated model: that of the pair style, or this compute's own
  bool is_new_step();      // true at the first call of each step, when the results must be computed
  void clear_array();      // grows array_atom to all local and ghost atoms and sets it to zero

  // Factor from the unit of the polarizability model to that of LAMMPS.  For models of the susceptibility, whose sum
  // over all atoms that the model sees is N chi, it includes eps0 V / N.  Collective.
  double polarizability_factor();
  void check_susceptibility();

 private:
  std::vector<std::string> quantities;
  std::string precision;  // dtype that the keyword asks for, or empty
  PairTnep* shared;       // the pair style if it has the same model, else null
  NeighList* list;
  bigint evaluated;  // time step of the stored results, -1 for none
  int nmax;
};

}  // namespace LAMMPS_NS

#endif
