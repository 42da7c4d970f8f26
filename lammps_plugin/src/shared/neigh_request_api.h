// SPDX-License-Identifier: GPL-2.0-or-later
//
// neigh_request.h where LAMMPS ships it; elsewhere the one (non-virtual, exported) member function that we call on the
// object that Neighbor::add_request() returns.

#ifndef TNEP_NEIGH_REQUEST_API_H
#define TNEP_NEIGH_REQUEST_API_H

#if __has_include("neigh_request.h")
#include "neigh_request.h"    // IWYU pragma: export
#else
namespace LAMMPS_NS {
class NeighRequest {
 public:
  void set_cutoff(double cutoff);
};
}    // namespace LAMMPS_NS
#endif

#endif
