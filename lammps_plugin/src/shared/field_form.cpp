// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/field_form.h"

#include "atom.h"
#include "domain.h"
#include "error.h"
#include "input.h"
#include "modify.h"
#include "update.h"
#include "utils.h"
#include "variable.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr double TWO_PI = 6.283185307179586476925;
static constexpr int PERIODIC = 0, FIXED = 1;  // codes of domain->boundary

void TnepFieldForm::expect(int narg, int needed, const char* usage) const {
  if (narg < needed) error->all(FLERR, "{}: expected '{}'", style, usage);
}

double TnepFieldForm::number(const char* word) const {
  const double value = utils::numeric(FLERR, word, false, lmp);
  if (!std::isfinite(value)) error->all(FLERR, "{}: expected a finite number, got '{}'", style, word);
  return value;
}

void TnepFieldForm::component(int k, const char* word) {
  if (utils::strmatch(word, "^v_")) variable[k] = word + 2;
  else if (kind == DISPLACEMENT && strcmp(word, "NULL") == 0) present[k] = false;
  else amount[k] = number(word);
}

int TnepFieldForm::parse(int narg, char** arg) {
  const std::string word = narg > 0 ? arg[0] : "";
  if (word == "rotating") {
    expect(narg, 4, "rotating E period x|y|z");
    kind = ROTATING;
    amount[0] = number(arg[1]);
    period = number(arg[2]);
    if (period == 0.0) error->all(FLERR, "{}: the period of a rotating field must not be 0", style);
    const std::string name = arg[3];
    if (name != "x" && name != "y" && name != "z")
      error->all(FLERR, "{}: the axis of a rotating field must be x, y or z, got '{}'", style, name);
    axis = name[0] - 'x';
    return 4;
  }
  if (word == "pulse") {
    expect(narg, 7, "pulse Ex Ey Ez t0 width frequency");
    kind = PULSE;
    for (int k = 0; k < 3; k++) amount[k] = number(arg[1 + k]);
    start = number(arg[4]);
    width = number(arg[5]);
    frequency = number(arg[6]);
    if (width <= 0.0) error->all(FLERR, "{}: the width of a pulse must be positive, got {}", style, arg[5]);
    return 7;
  }
  if (word == "wave") {
    expect(narg, 8, "wave Ex Ey Ez nx ny nz period");
    kind = WAVE;
    for (int k = 0; k < 3; k++) amount[k] = number(arg[1 + k]);
    for (int k = 0; k < 3; k++) waves[k] = utils::inumeric(FLERR, arg[4 + k], false, lmp);
    period = number(arg[7]);
    return 8;
  }
  if (word == "gradient") {
    expect(narg, 13, "gradient Ex Ey Ez dEx/dx dEx/dy dEx/dz dEy/dx ... dEz/dz");
    kind = GRADIENT;
    for (int k = 0; k < 3; k++) amount[k] = number(arg[1 + k]);
    for (int k = 0; k < 9; k++) slope[k / 3][k % 3] = number(arg[4 + k]);
    return 13;
  }
  int first = 0;
  if (word == "displacement") {
    expect(narg, 4, "displacement Dx Dy Dz");
    kind = DISPLACEMENT;
    first = 1;
  } else
    expect(narg, 3,
           "fix ID group tnep/field Ex Ey Ez ...' or one of the forms rotating, pulse, wave, gradient, "
           "displacement instead of 'Ex Ey Ez");
  for (int k = 0; k < 3; k++) component(k, arg[first + k]);
  if (kind == DISPLACEMENT && !present[0] && !present[1] && !present[2])
    error->all(FLERR, "{}: all components of the displacement are NULL", style);
  return first + 3;
}

bool TnepFieldForm::varies_in_time() const {
  return kind == ROTATING || kind == PULSE || (kind == WAVE && period != 0.0);
}

void TnepFieldForm::check(const TnepUnits& in) {
  units = in;
  for (int k = 0; k < 3; k++) {
    if (variable[k].empty()) continue;
    index[k] = input->variable->find(variable[k].c_str());
    if (index[k] < 0) error->all(FLERR, "{}: there is no variable '{}'", style, variable[k]);
    by_atom[k] = input->variable->atomstyle(index[k]);
    if (!by_atom[k] && !input->variable->equalstyle(index[k]))
      error->all(FLERR, "{}: variable '{}' must be of style equal or atom", style, variable[k]);
    if (by_atom[k] && kind == DISPLACEMENT)
      error->all(FLERR, "{}: a displacement is the same everywhere; variable '{}' must be of style equal", style,
                 variable[k]);
    if (kind == DISPLACEMENT) continue;
    if (by_atom[k]) kind = ATOM;
    else if (kind == NUMBERS) kind = EQUAL;
  }
  if (kind == GRADIENT)
    for (int b = 0; b < 3; b++)
      for (int a = 0; a < 3; a++)
        if (slope[a][b] != 0.0 && (domain->boundary[b][0] != FIXED || domain->boundary[b][1] != FIXED))
          error->all(FLERR,
                     "{}: a field that rises along {} needs a boundary f there; use the form wave in a periodic "
                     "direction",
                     style, "xyz"[b]);
  if (kind == DISPLACEMENT && (domain->nonperiodic || domain->dimension != 3))
    error->all(FLERR, "{}: a displacement needs a volume, hence boundary p p p in three dimensions", style);
}

double TnepFieldForm::time() const {
  return update->atime + static_cast<double>(update->ntimestep - update->atimestep) * update->dt;
}

void TnepFieldForm::refresh(int igroup) {
  const double t = time(), to_model = 1.0 / unit();
  for (int k = 0; k < 3; k++) now[k] = amount[k] * to_model;
  if (kind == ROTATING) {
    const double angle = TWO_PI * t / period, e = now[0];
    for (double& component : now) component = 0.0;
    now[(axis + 1) % 3] = e * cos(angle);
    now[(axis + 2) % 3] = e * sin(angle);
  } else if (kind == PULSE) {
    const double x = (t - start) / width, shape = exp(-0.5 * x * x) * cos(TWO_PI * frequency * (t - start));
    for (double& component : now) component *= shape;
  }
  bool any = false;
  for (int k = 0; k < 3; k++) any = any || index[k] >= 0;
  if (!any) return;
  modify->clearstep_compute();
  if (kind == ATOM) per_atom.assign(3 * static_cast<size_t>(std::max(atom->nlocal, 1)), 0.0);
  for (int k = 0; k < 3; k++) {
    if (index[k] >= 0 && !by_atom[k]) now[k] = input->variable->compute_equal(index[k]) * to_model;
    if (!std::isfinite(now[k])) error->all(FLERR, "{}: variable '{}' is not finite", style, variable[k]);
    if (kind != ATOM) continue;
    if (by_atom[k]) input->variable->compute_atom(index[k], igroup, &per_atom[k], 3, 0);
    for (int i = 0; i < atom->nlocal; i++) per_atom[3 * i + k] = by_atom[k] ? per_atom[3 * i + k] * to_model : now[k];
  }
  modify->addstep_compute(update->ntimestep + 1);
}

void TnepFieldForm::box_centre(double* centre) const {
  double half[3] = {0.5, 0.5, 0.5};
  domain->lamda2x(half, centre);
}

// 2 pi (n.s - t / period) with the fractional coordinates s.
double TnepFieldForm::phase_at_atom(int i) const {
  double s[3];
  domain->x2lamda(atom->x[i], s);
  const double turns = waves[0] * s[0] + waves[1] * s[1] + waves[2] * s[2];
  return TWO_PI * (turns - (period != 0.0 ? time() / period : 0.0));
}

void TnepFieldForm::at_atom(int i, double* e) const {
  if (kind == ATOM) {
    for (int k = 0; k < 3; k++) e[k] = per_atom[3 * static_cast<size_t>(i) + k];
  } else if (kind == WAVE) {
    const double c = cos(phase_at_atom(i));
    for (int k = 0; k < 3; k++) e[k] = now[k] * c;
  } else {
    for (int k = 0; k < 3; k++) e[k] = now[k];
    if (kind != GRADIENT) return;
    double centre[3];
    box_centre(centre);
    for (int k = 0; k < 3; k++)
      for (int b = 0; b < 3; b++) e[k] += slope[k][b] * (atom->x[i][b] - centre[b]) / units.field;
  }
}

void TnepFieldForm::gradient_at_atom(int i, double (*g)[3]) const {
  const double* inverse = domain->h_inv;
  double k[3] = {};
  if (kind == WAVE) {  // 2 pi ds/dx in 1/Angstrom
    k[0] = waves[0] * inverse[0];
    k[1] = waves[0] * inverse[5] + waves[1] * inverse[1];
    k[2] = waves[0] * inverse[4] + waves[1] * inverse[3] + waves[2] * inverse[2];
  }
  const double s = kind == WAVE ? -sin(phase_at_atom(i)) * TWO_PI * units.length : 0.0;
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      g[a][b] = kind == GRADIENT ? slope[a][b] * units.length / units.field : now[a] * s * k[b];
}

void TnepFieldForm::rate_at_atom(int i, double* rate) const {
  const double s = kind == WAVE && period != 0.0 ? sin(phase_at_atom(i)) * TWO_PI / period : 0.0;
  for (int k = 0; k < 3; k++) rate[k] = now[k] * s;
}
