// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_FIELD_FORM_H
#define TNEP_FIELD_FORM_H

#include "pointers.h"

#include "shared/units.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

// An electric field as a function of time and position, or a prescribed electric displacement: parses the words of the
// input and evaluates them.  Values are in V/Angstrom (field) or e/Angstrom^2 (displacement), positions and times in
// LAMMPS units.
class TnepFieldForm : protected Pointers {
 public:
  TnepFieldForm(LAMMPS* lmp, std::string style) : Pointers(lmp), style(std::move(style)) {}

  // Read the form that begins at arg[0]; returns the number of words used.
  int parse(int narg, char** arg);

  // Stop with an error unless the variables exist with a usable style and the box has the boundaries that the form
  // needs.  Call from init(); collective.
  void check(const TnepUnits& units);

  bool is_displacement() const { return kind == DISPLACEMENT; }
  bool is_uniform() const { return kind != ATOM && kind != WAVE && kind != GRADIENT; }
  bool is_gradient_known() const { return kind != ATOM; }
  bool is_constant() const { return kind == NUMBERS; }
  bool varies_in_time() const;  // rotating, pulse, or wave with a period; variables do not count
  bool strains_with_box() const { return kind == WAVE; }
  double time() const;  // simulation time, LAMMPS units

  // Evaluate the form and its variables for the present step; atom-style variables only for atoms of the group.
  void refresh(int igroup);

  // After refresh(): the uniform field, or the displacement (only the components that are given()).
  const double* value() const { return now; }
  bool given(int component) const { return present[component]; }

  // After refresh(): the field at local atom i, its gradient g[component][direction] in V/Angstrom^2, and its time
  // derivative (V/Angstrom per LAMMPS time unit; zero except for a wave).
  void at_atom(int i, double* e) const;
  void gradient_at_atom(int i, double (*g)[3]) const;
  void rate_at_atom(int i, double* rate) const;

  void box_centre(double* centre) const;  // where the field of the form gradient is Ex Ey Ez

 private:
  enum Kind { NUMBERS, EQUAL, ATOM, ROTATING, PULSE, WAVE, GRADIENT, DISPLACEMENT };

  std::string style;
  Kind kind = NUMBERS;
  TnepUnits units{};
  double amount[3] = {};  // as given in the input, LAMMPS units
  double now[3] = {};     // at the present step, model units
  bool present[3] = {true, true, true};
  std::string variable[3];
  int index[3] = {-1, -1, -1};
  bool by_atom[3] = {};
  std::vector<double> per_atom;  // [local atom][3]
  double period = 0.0, start = 0.0, width = 0.0, frequency = 0.0;
  int axis = 2, waves[3] = {};
  double slope[3][3] = {};  // LAMMPS units

  double unit() const { return kind == DISPLACEMENT ? units.charge / (units.length * units.length) : units.field; }
  double phase_at_atom(int i) const;
  double number(const char* word) const;
  void component(int k, const char* word);
  void expect(int narg, int needed, const char* usage) const;
};

}  // namespace LAMMPS_NS

#endif
