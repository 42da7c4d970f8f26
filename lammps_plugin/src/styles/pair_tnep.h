// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_PAIR_TNEP_H
#define LMP_PAIR_TNEP_H

#include "pair.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class TnepDeviation;
class TnepDriver;

// pair_style tnep: energies, forces and virials of an exported potential, or of an electric-enthalpy model.
class PairTnep : public Pair {
 public:
  PairTnep(class LAMMPS*);
  ~PairTnep() override;
  void settings(int, char**) override;
  void coeff(int, char**) override;
  void init_style() override;
  void setup() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  int pack_reverse_comm(int, int, double*) override;
  void unpack_reverse_comm(int, int*, double*) override;

  // Functions for the fix and the computes that use the evaluations of this style; see also find().
  TnepDriver& model() { return *driver; }
  bool is_enthalpy() const;

  // Set the field of the following evaluations (enthalpy models), in V/Angstrom: null for none, 3 numbers for all
  // atoms, or (`per_atom`) one row per local atom.  The array belongs to the fix `fix` and must stay valid until its
  // next call. The field is dropped when the fix is deleted.
  void set_field(const std::string& fix, const double* field, bool per_atom);

  // Register the quantities that compute `id` needs on the steps on which it will be invoked; cleared by init_style().
  void announce(const std::string& id, const std::vector<std::string>& quantities);

  // The model with these quantities at the present positions and field; evaluated now unless compute() has done so.
  TnepDriver& results(const std::vector<std::string>& quantities);

  // The same without a field.
  TnepDriver& results_without_field(const std::vector<std::string>& quantities);

  // Energy of the field per centre (eV) after an evaluation in a field, H_i(E) - H_i(0).
  const std::vector<double>& field_energies() const { return field_energy; }

  // Deviation of the models of this style at the present step; collective, needs several().
  const TnepDeviation& deviation();
  bool several() const { return !others.empty(); }

  // All pair styles tnep: one alone, or those of a hybrid style.
  static std::vector<PairTnep*> all(class Force* force);

  // The dtype that their keyword `precision` asks for, or "".
  static std::string requested_dtype(class Force* force);

  // The device that their keyword `device` asks for, or "" (the CPU).
  static std::string requested_device(class Force* force);

  // The one whose model is the same as that of `other`, or null.
  static PairTnep* find(class Force* force, const TnepDriver& other);

 private:
  std::unique_ptr<TnepDriver> driver;
  bigint evaluated;  // time step of the last compute(), -1 for none
  std::string field_fix;
  const double* field;
  bool field_per_atom;
  std::vector<double> field_energy;

  // The models of an ensemble after the first one, which drives the dynamics unless the mean does.
  std::vector<std::unique_ptr<TnepDriver>> others;
  std::unique_ptr<TnepDeviation> spread;
  std::string precision, device, deviation_file, snapshot_file;  // requested dtype, or empty; device; paths or empty
  int deviation_every;  // number of steps between lines of the file; 0: no file
  double threshold;     // for the deviation of a force, LAMMPS units; negative: none
  bool threshold_stops, mean;
  bigint deviated, others_evaluated;  // time steps of the last deviation and of the other models, -1 for none
  std::map<std::string, std::vector<double>> means;
  std::vector<double> ensemble_forces;  // (local and ghost atom, model, 3)

  struct Request {
    std::string id;
    std::vector<std::string> quantities;
  };
  std::vector<Request> requests;

  void allocate();
  void evaluate(const std::vector<std::string>& quantities);
  void split_energy(const std::vector<double>& without_field);
  void add_atom_virials();
  void watch_deviation();
  bool deviation_is_due() const;
  std::vector<std::string> ensemble_quantities() const;
  void evaluate_others(const std::vector<std::string>& quantities);
  const double* value(const std::string& quantity, int64_t size);
};

}  // namespace LAMMPS_NS

#endif
