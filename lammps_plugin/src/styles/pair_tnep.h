// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_PAIR_TNEP_H
#define LMP_PAIR_TNEP_H

#include "pair.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class TnepDeviation;
class TnepDriver;

// pair_style tnep: energies, forces and virials of an exported potential, or of an electric-enthalpy model.
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
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

  // For the fix and the computes that use the evaluations of this style; see also find().
  TnepDriver &model() { return *driver; }
  bool is_enthalpy() const;

  // The field of the next evaluations (enthalpy models): null for none, one for all atoms, or a row for every local
  // atom; V/Angstrom.  The array belongs to the fix and must stay until its next call; with the fix the field is gone.
  void set_field(const std::string &fix, const double *field, bool per_atom);

  // Quantities that compute `id` wants on the steps for which it is announced; forgotten in init_style().
  void announce(const std::string &id, const std::vector<std::string> &quantities);

  // The model with these quantities at the present positions and field: what compute() left, or else evaluated now.
  TnepDriver &results(const std::vector<std::string> &quantities);

  // The same without a field.
  TnepDriver &results_without_field(const std::vector<std::string> &quantities);

  // Energy of the field per centre (eV) after an evaluation in a field, H_i(E) - H_i(0).
  const std::vector<double> &field_energies() const { return field_energy; }

  // Deviation of the models of this style at the present step; collective, needs several().
  const TnepDeviation &deviation();
  bool several() const { return !others.empty(); }

  // The pair style tnep in use, alone or as part of a hybrid style, whose model is that of `other` (null: any); or null.
  static PairTnep *find(class Force *force, const TnepDriver *other = nullptr);

 private:
  std::unique_ptr<TnepDriver> driver;
  bigint list_step;    // time step at which the neighbour list of the last evaluation was built, -1 for none
  bigint evaluated;    // time step of the last compute(), -1 for none
  std::string field_fix;
  const double *field;
  bool field_per_atom;
  std::vector<double> field_energy;

  // Ensemble: models besides the first, which drives the dynamics.
  std::vector<std::unique_ptr<TnepDriver>> others;
  std::unique_ptr<TnepDeviation> spread;
  std::string precision, deviation_file;    // dtype asked for, or empty
  int deviation_every;                      // 0: no file
  double threshold;                         // of the force, LAMMPS units; negative: none
  bool threshold_stops;
  bigint deviated;                          // time step of the present deviation, -1 for none
  std::vector<double> ensemble_forces;      // (local and ghost atom, model, 3)

  struct Request {
    std::string id;
    std::vector<std::string> quantities;
  };
  std::vector<Request> requests;

  void allocate();
  void evaluate(const std::vector<std::string> &quantities);
  void split_energy(const std::vector<double> &without_field);
  void add_atom_virials();
  void watch_deviation();
};

}    // namespace LAMMPS_NS

#endif
