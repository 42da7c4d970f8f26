// SPDX-License-Identifier: GPL-2.0-or-later
//
// Includes neigh_request.h if this LAMMPS ships it.  Otherwise declares the one member function (non-virtual, exported)
// that the styles call on the object returned by Neighbor::add_request().

#ifndef TNEP_NEIGH_REQUEST_API_H
#define TNEP_NEIGH_REQUEST_API_H

#if __has_include("neigh_request.h")
#include "neigh_request.h"  // IWYU pragma: export
#else
namespace LAMMPS_NS {
class NeighRequest {
 public:
  void set_cutoff(double cutoff);
};
}  // namespace LAMMPS_NS
#endif

#endif
