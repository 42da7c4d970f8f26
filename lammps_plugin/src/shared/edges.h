// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_EDGES_H
#define TNEP_EDGES_H

#include "shared/model.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

class NeighList;

// The arrays of LAMMPS for the atoms of this rank.
struct TnepAtoms {
  int nall;  // number of local and ghost atoms
  const double* const* x;
  const int *type, *mask;
};

// Turns a full neighbour list into the edges of the centres that a model sees.  The buffers are reused and only grow.
// Centres are the atoms of the list that are in the group and whose type has a species; neighbours are all atoms with a
// species.  `species_of_type` is -1 for types that the model does not see.  `length` is 1 Angstrom in LAMMPS units.
class TnepEdges {
 public:
  // Build the edges as vectors, only those shorter than `cutoff` (in Angstrom).
  void build(const NeighList& list, const TnepAtoms& atoms, int groupbit, const std::vector<int>& species_of_type,
             double cutoff, double length);

  // Build the edges as positions and a list, without a cutoff.  The list is copied only if `fresh`, which must be true
  // if the neighbour list, the atoms or their groups have changed since the last call.
  void build_list(const NeighList& list, const TnepAtoms& atoms, int groupbit, const std::vector<int>& species_of_type,
                  double length, bool fresh);

  TnepGraph graph() { return view; }
  int64_t n_centers() const { return view.n_centers; }
  int center(int64_t k) const { return static_cast<int>(centers[k]); }

 private:
  std::vector<int64_t> species, centers, offsets, neighbors;
  std::vector<int> short_list;
  std::vector<double> vectors, scaled;
  TnepGraph view{};
  int64_t copies = 0;  // of a list

  size_t reserve(const NeighList& list, int nall);
  void find_species(const TnepAtoms& atoms, const std::vector<int>& species_of_type);
  void copy_list(const NeighList& list, const TnepAtoms& atoms, int groupbit, const std::vector<int>& species_of_type);
};

}  // namespace LAMMPS_NS

#endif
