// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_FIX_TNEP_FIELD_H
#define LMP_FIX_TNEP_FIELD_H

#include "fix.h"

#include "shared/field_form.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairTnep;
class TnepDriver;

// fix tnep/field: an electric field, or a constant displacement, that acts on an electric-enthalpy pair style, or on
// dipole and polarizability models of the fix.  H = U + sum_i w_i, w_i = -E.p_i - E.a_i.E / 2 with the field E at atom
// i.
//
// An enthalpy pair style evaluates H itself: the fix passes the field to it before the forces are computed.  The pair
// style leaves the energy of the field out of its energy, because the fix reports it.  With models of its own, the fix
// adds their forces before the reverse communication.
class FixTnepField : public Fix {
 public:
  FixTnepField(class LAMMPS*, int, char**);
  ~FixTnepField() override;
  int setmask() override;
  void init() override;
  void init_list(int, class NeighList*) override;
  void setup_pre_force(int) override;
  void pre_force(int) override;
  void min_pre_force(int) override;
  void setup_pre_reverse(int, int) override;
  void pre_reverse(int, int) override;
  void min_pre_reverse(int, int) override;
  double compute_scalar() override;
  double compute_vector(int) override;
  void write_restart(FILE*) override;
  void restart(char*) override;
  int pack_reverse_comm(int, int, double*) override;
  void unpack_reverse_comm(int, int*, double*) override;
  double memory_usage() override;

 private:
  TnepFieldForm form;
  std::unique_ptr<TnepDriver> dipole, polarizability;  // null with an enthalpy pair style
  PairTnep* pair;
  class NeighList* list;
  std::string region;
  bool everywhere;      // whether all atoms feel the same field
  bool susceptibility;  // whether the polarizability model gives N chi

  double uniform[3];           // V/Angstrom
  std::vector<double> fields;  // (local atom, 3), V/Angstrom; used unless everywhere
  std::vector<char> felt;      // per local atom: whether it is in the group and the region; used unless everywhere
  struct Site {                // response of one centre in its field; model units
    int atom;
    double p[3], a[9], w;  // dipole (with the induced one), polarizability, energy of the field
  };
  std::vector<Site> sites;
  bool deferred;               // whether the sites of this step are computed only if they are asked for
  std::vector<double> shares;  // virials of local and ghost atoms, (nall, 9)

  enum { ENERGY, DIPOLE, INDUCED = DIPOLE + 3, FIELD = INDUCED + 3, COUNT = FIELD + 3, WORK, SUMS };
  double local[SUMS], total[SUMS];
  bool reduced;

  // State at the last step from which the work is integrated (this rank only): the uniform field or displacement, its
  // conjugate (minus the sum of the dipoles in the field, or V E), the power of a wave, and the time.
  struct Rate {
    double driven[3], conjugate[3], power, time;
  } before;
  double work;                // work of this rank since the last restart, eV
  double work_until_restart;  // work of all ranks before the restart, eV
  bigint counted;             // time step up to which work is counted, -1 for none

  void check_group();
  TnepDriver& responder() const;
  void find_field();
  void solve_displacement();
  void collect_from_pair();
  void collect_from_models();
  void collect_sites(bool with_forces);
  std::vector<std::string> force_quantities() const;
  void sum_sites();
  void add_forces(TnepDriver& model, double factor);
  void add_atom_virial(int i, const double* w, double factor);
  double alpha_factor();
  double volume() const;
  const double* field_of(int i) const { return everywhere ? uniform : &fields[3 * static_cast<size_t>(i)]; }
  void add_site_terms();
  void count_work();
  void reduce();
};

}  // namespace LAMMPS_NS

#endif
