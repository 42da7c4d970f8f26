// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_UNITS_H
#define TNEP_UNITS_H

#include <string>

namespace LAMMPS_NS {

// Factors from model units to the units of a LAMMPS "units" style: 1 Angstrom is `length` LAMMPS length units, etc.
struct TnepUnits {
  double length;     // 1 Angstrom
  double energy;     // 1 eV
  double charge;     // 1 e
  double potential;  // 1 V (in statvolt for cgs, in V for all others)
  double field;      // 1 V/Angstrom (in V/cm for electron, in statvolt/cm for cgs)
};

// Set the factors for a style; returns false if it has no fixed units (lj) or is not known.  Constants of CODATA 2018.
inline bool tnep_units(const std::string& style, TnepUnits& out) {
  constexpr double E = 1.602176634e-19;  // C
  constexpr double BOHR = 0.529177210903, HARTREE = 27.211386245988;
  constexpr double KCAL = 4184.0 / 6.02214076e23;  // J per kcal/mol
  constexpr double STATC_PER_C = 2.99792458e9, V_PER_STATV = 299.792458;
  if (style == "metal") out = {1.0, 1.0, 1.0, 1.0, 1.0};
  else if (style == "real") out = {1.0, E / KCAL, 1.0, 1.0, 1.0};
  else if (style == "electron") out = {1.0 / BOHR, 1.0 / HARTREE, 1.0, 1.0, 1e8};
  else if (style == "si") out = {1e-10, E, E, 1.0, 1e10};
  else if (style == "cgs") out = {1e-8, E * 1e7, E * STATC_PER_C, 1.0 / V_PER_STATV, 1e8 / V_PER_STATV};
  else if (style == "micro") out = {1e-4, E * 1e15, E * 1e12, 1.0, 1e4};  // um, pg um^2/us^2, pC
  else if (style == "nano") out = {0.1, E * 1e21, 1.0, 1.0, 10.0};        // nm, ag nm^2/ns^2, e
  else return false;
  return true;
}

inline constexpr double TNEP_EPSILON_0 = 8.8541878128e-12 / 1.602176634e-19 * 1e-10;  // e/(V Angstrom)

}  // namespace LAMMPS_NS

#endif
