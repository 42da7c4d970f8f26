// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_FIELD_FORM_H
#define TNEP_FIELD_FORM_H

#include "pointers.h"

#include "shared/units.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

// An electric field as a function of time and position, or a given electric displacement: what the user wrote, and its
// values.  Fields are in V/Angstrom, displacements in e/Angstrom^2, positions and times in LAMMPS units.
class TnepFieldForm : protected Pointers {
 public:
  TnepFieldForm(LAMMPS *lmp, std::string style) : Pointers(lmp), style(std::move(style)) {}

  // Reads the form that begins at arg[0]; returns the number of words used.
  int parse(int narg, char **arg);

  // Collective checks at init: variables exist and have a usable style, the box has the boundaries that the form needs.
  void check(const TnepUnits &units);

  bool is_displacement() const { return kind == DISPLACEMENT; }
  bool is_uniform() const { return kind != ATOM && kind != WAVE && kind != GRADIENT; }
  bool is_gradient_known() const { return kind != ATOM; }
  bool varies_in_time() const;    // of itself: rotating, pulse, wave with a period
  bool strains_with_box() const { return kind == WAVE; }
  double time() const;            // of the simulation, LAMMPS units

  // Evaluate variables for the present step; for atom-style variables those of the group.
  void refresh(int igroup);

  // After refresh(): the uniform field, or the displacement (components with `given` only).
  const double *value() const { return now; }
  bool given(int component) const { return present[component]; }

  // After refresh(): field at local atom i, its derivative [component][direction] in V/Angstrom^2, and that by the time
  // (wave only; V/Angstrom per LAMMPS time unit).
  void at_atom(int i, double *e) const;
  void gradient_at_atom(int i, double (*g)[3]) const;
  void rate_at_atom(int i, double *rate) const;

  void box_centre(double *centre) const;    // the point where a gradient form has its constant part

 private:
  enum Kind { NUMBERS, EQUAL, ATOM, ROTATING, PULSE, WAVE, GRADIENT, DISPLACEMENT };

  std::string style;
  Kind kind = NUMBERS;
  TnepUnits units{};
  double amount[3] = {}, now[3] = {};    // as given, LAMMPS units; at the present step
  bool present[3] = {true, true, true};
  std::string variable[3];
  int index[3] = {-1, -1, -1};
  bool by_atom[3] = {};
  std::vector<double> per_atom;    // [local atom][3]
  double period = 0.0, start = 0.0, width = 0.0, frequency = 0.0;
  int axis = 2, waves[3] = {};
  double slope[3][3] = {};    // LAMMPS units

  double unit() const
  {
    return kind == DISPLACEMENT ? units.charge / (units.length * units.length) : units.field;
  }
  double phase_at_atom(int i) const;
  double number(const char *word) const;
  void component(int k, const char *word);
  void expect(int narg, int needed, const char *usage) const;
};

}    // namespace LAMMPS_NS

#endif
