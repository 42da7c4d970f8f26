// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_DRIVER_H
#define TNEP_DRIVER_H

#include "pointers.h"

#include "shared/edges.h"
#include "shared/model.h"
#include "shared/units.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// A model as the pair style, the fix and the computes use it: the species of the atom types, the units, the evaluation.
class TnepDriver : protected Pointers {
 public:
  // `style` names the owner in messages, e.g. "Pair style tnep".
  TnepDriver(LAMMPS* lmp, std::string style);
  ~TnepDriver() override;  // logs the copies to and from the GPU

  // Load a model of the given kind ("": any); `elements` has one symbol, or NULL, per atom type.  `dtype` is the type
  // of the arithmetic, "float32" or "float64" ("": the one that the file was exported with).  A nep.txt of a potential
  // is converted to an artifact (float64 for "").  `device` is auto (cuda if there is one), cpu, cuda or "" (cpu).
  // Collective.
  void load(const std::string& file, const std::string& kind, int nelements, char** elements,
            const std::string& dtype = "", const std::string& device = "");

  // The next model on a GPU says again how ranks are distributed.  A pair style calls this for its models and those of
  // the styles that follow its device.
  static void announce_gpus() { gpus_announced = false; }

  // The dtype of a word "single" or "double" of an input; stops with an error for others.
  std::string dtype_of(const std::string& word) const;

  // Stop with an error if a setting of LAMMPS would make the results wrong; call from init() and setup().
  void check_units();
  void check_exclusions();
  void check_rebuilds() const;
  void check_minimization(const std::string& remedy) const;  // warns if the model is in single precision
  void check_ghosts(double cutoff) const;  // LAMMPS units; for styles that request their own neighbour list

  bool sees(int type) const { return species_of_type[type] >= 0; }
  const std::string& symbol(int type) const { return metadata().species[species_of_type[type]]; }  // if sees(type)
  int descriptor_length();     // number of descriptors per atom; evaluates the model on an isolated atom
  bigint count_atoms() const;  // number of atoms on all ranks that the model sees; collective
  const TnepMetadata& metadata() const { return model->metadata(); }
  double cutoff() const { return model->metadata().cutoff * units.length; }  // LAMMPS units

  // Evaluate the centres of the list that are in the group; does nothing if there are none.  Not collective.
  // `list` is the same list in every call, unless forget_list() is called in between.
  // `field` in V/Angstrom: null for no field, 3 numbers for all centres, or (`per_atom`) one row per local atom.
  void evaluate(const NeighList& list, int groupbit, const std::vector<std::string>& quantities,
                const double* field = nullptr, bool per_atom = false);
  void forget_list() { list_step = -1; }  // atom types, groups or the list itself may change: call from init()

  // Whether the last evaluation computed this quantity.
  bool has(const std::string& quantity) const { return model->has(quantity); }

  // Whether `other` has the same file content and the same species for every atom type.
  bool same_model(const TnepDriver& other) const {
    return fingerprint == other.fingerprint && species_of_type == other.species_of_type;
  }

  // Result of the last evaluation per local and ghost atom, (nall, columns), in units of the model; null if no centre
  // was evaluated, which means that all values are zero.
  const double* atom_result(const std::string& quantity, int columns);

  // Results of the last evaluation, in units of the model.  There are none if n_centers() is 0.
  int64_t n_centers() const { return edges.n_centers(); }
  int center(int64_t k) const { return edges.center(k); }
  const double* result(const std::string& quantity, int64_t size);

  // Warn, once in a run, if atoms of the last evaluation are outside the range of the training data.  Only every 100th
  // call checks this.  Collective.
  void watch_range();

  // Stop with an error that names the atom if one of the (n, columns) values is not finite.  Row k of `values` belongs
  // to centre k (`by_center`) or to local or ghost atom k.
  void require_finite(const double* values, int64_t n, int columns, const char* what, bool by_center);

  TnepUnits units{1.0, 1.0, 1.0, 1.0, 1.0};

 private:
  std::string style, file;
  std::unique_ptr<TnepModel> model;
  std::vector<int> species_of_type;  // index 1..ntypes; -1 for types that the model does not see
  TnepEdges edges;
  std::vector<double> center_field;
  bigint list_step = -1;  // time step at which the list of the last evaluation was built, -1 for none
  size_t fingerprint = 0;
  bigint range_calls = 0;
  bool range_warned = false;
  inline static bool gpus_announced = false;

  std::string read_on_all_ranks(const std::string& kind);
  void map_types(int nelements, char** elements);
  int choose_gpu(const std::string& device) const;
};

}  // namespace LAMMPS_NS

#endif
