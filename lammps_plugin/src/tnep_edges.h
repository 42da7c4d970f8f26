// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_EDGES_H
#define TNEP_EDGES_H

#include "tnep_model.h"

#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

class NeighList;

// What LAMMPS knows about the atoms of this rank.
struct TnepAtoms {
  int nall;               // owned and ghost
  const double *const *x;
  const int *type, *mask;
};

// Turns a full neighbour list into the edges of the centres that a model sees.  The buffers grow and are kept.
class TnepEdges {
 public:
  // Centres are the atoms of the list whose type has a species and that are in the group; neighbours are all atoms
  // with a species.  `species_of_type` has -1 for types that the model does not see.  `cutoff` in Angstrom; `length`
  // is the LAMMPS length of 1 Angstrom.
  void build(const NeighList &list, const TnepAtoms &atoms, int groupbit, const std::vector<int> &species_of_type,
             double cutoff, double length);

  TnepGraph graph() { return view; }
  int64_t n_centers() const { return view.n_centers; }
  int center(int64_t k) const { return static_cast<int>(centers[k]); }

 private:
  std::vector<int64_t> species, centers, offsets, neighbors;
  std::vector<double> vectors;
  TnepGraph view{};

  void reserve(const NeighList &list, int nall);
};

}    // namespace LAMMPS_NS

#endif
