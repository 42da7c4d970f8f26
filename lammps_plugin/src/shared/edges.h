// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_EDGES_H
#define TNEP_EDGES_H

#include "shared/model.h"

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
// Centres are the atoms of the list whose type has a species and that are in the group; neighbours are all atoms with a
// species.  `species_of_type` has -1 for types that the model does not see; `length` is the LAMMPS length of 1 Angstrom.
class TnepEdges {
 public:
  // Edges as vectors, those within `cutoff` (in Angstrom).
  void build(const NeighList &list, const TnepAtoms &atoms, int groupbit, const std::vector<int> &species_of_type,
             double cutoff, double length);

  // Edges as positions and a list, all of them.  The list is copied if `fresh`: the neighbour list, the atoms or their
  // groups are not those of the last call.
  void build_list(const NeighList &list, const TnepAtoms &atoms, int groupbit, const std::vector<int> &species_of_type,
                  double length, bool fresh);

  TnepGraph graph() { return view; }
  int64_t n_centers() const { return view.n_centers; }
  int center(int64_t k) const { return static_cast<int>(centers[k]); }

 private:
  std::vector<int64_t> species, centers, offsets, neighbors;
  std::vector<int> short_list;
  std::vector<double> vectors, scaled;
  TnepGraph view{};

  size_t reserve(const NeighList &list, int nall);
  void find_species(const TnepAtoms &atoms, const std::vector<int> &species_of_type);
  void copy_list(const NeighList &list, const TnepAtoms &atoms, int groupbit, const std::vector<int> &species_of_type);
};

}    // namespace LAMMPS_NS

#endif
