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

// What the pair style and the computes share: a model, the species of the atom types, units, and one evaluation.
class TnepDriver : protected Pointers {
 public:
  // `style` names the owner in messages, e.g. "Pair style tnep".
  TnepDriver(LAMMPS *lmp, std::string style);

  // Collective. Loads a model of the given kind ("": any); `elements` has one symbol, or NULL, per atom type.
  // `dtype` is the arithmetic asked for ("": that of the file; a nep.txt of a potential is converted, to float64).
  void load(const std::string &file, const std::string &kind, int nelements, char **elements,
            const std::string &dtype = "");

  // Errors for settings of LAMMPS under which the results would be wrong; call from init() and setup().
  void check_units();
  void check_exclusions();
  void check_ghosts(double cutoff) const;    // LAMMPS units; models with a neighbour list of their own

  bool sees(int type) const { return species_of_type[type] >= 0; }
  int descriptor_length();
  bigint count_atoms() const;    // collective: atoms of all ranks that the model sees
  const TnepMetadata &metadata() const { return model->metadata(); }
  double cutoff() const { return model->metadata().cutoff * units.length; }    // LAMMPS units

  // Not collective. Evaluates the centres of the list that are in the group; does nothing where there are none.
  // `fresh`: the list was built after the last evaluation.
  // `field` in V/Angstrom: null for none, one for all centres, or (`per_atom`) a row for every local atom.
  void evaluate(const NeighList &list, int groupbit, const std::vector<std::string> &quantities, bool fresh,
                const double *field = nullptr, bool per_atom = false);

  // Whether the results of the last evaluation hold this quantity.
  bool has(const std::string &quantity) const { return model->has(quantity); }

  // The same file content and the same species for every atom type.
  bool same_model(const TnepDriver &other) const
  {
    return fingerprint == other.fingerprint && species_of_type == other.species_of_type;
  }

  // Results per local and ghost atom; null where no centre was evaluated (all are zero then).
  const double *atom_result(const std::string &quantity, int columns);

  // Results of the last evaluation, in units of the model; `n_centers` = 0 means that there are none.
  int64_t n_centers() const { return edges.n_centers(); }
  int center(int64_t k) const { return edges.center(k); }
  const double *result(const std::string &quantity, int64_t size);

  // Stops with a message that names the atom; row k of `values` belongs to centre k or to local atom k.
  void require_finite(const double *values, int64_t n, int columns, const char *what, bool by_center);

  TnepUnits units{1.0, 1.0, 1.0, 1.0, 1.0};

 private:
  std::string style, file;
  std::unique_ptr<TnepModel> model;
  std::vector<int> species_of_type;    // index 1..ntypes; -1 = not seen
  TnepEdges edges;
  std::vector<double> center_field;
  bool takes_positions;
  size_t fingerprint = 0;

  std::string read_on_all_ranks(const std::string &kind, const std::string &dtype);
  void map_types(int nelements, char **elements);
};

}    // namespace LAMMPS_NS

#endif
