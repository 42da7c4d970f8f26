// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/edges.h"

#include "neigh_list.h"

#include <algorithm>

using namespace LAMMPS_NS;

template <typename T>
static void grow(std::vector<T>& buffer, size_t size) {
  if (buffer.size() < size) buffer.resize(size + size / 8 + 16);
}

static bool sees_all(const std::vector<int>& species_of_type) {
  return *std::min_element(species_of_type.begin() + 1, species_of_type.end()) >= 0;
}

// Grow the buffers of atoms and centres; returns the number of pairs in the list.
size_t TnepEdges::reserve(const NeighList& list, int nall) {
  size_t edges = 0;
  for (int ii = 0; ii < list.inum; ii++) edges += list.numneigh[list.ilist[ii]];
  grow(species, nall);
  grow(centers, list.inum);
  grow(offsets, list.inum + 1);
  return edges;
}

// Atoms without a species get 0, which no edge refers to.
void TnepEdges::find_species(const TnepAtoms& atoms, const std::vector<int>& species_of_type) {
  for (int i = 0; i < atoms.nall; i++) species[i] = std::max(0, species_of_type[atoms.type[i]]);
}

void TnepEdges::copy_list(const NeighList& list, const TnepAtoms& atoms, int groupbit,
                          const std::vector<int>& species_of_type) {
  grow(short_list, reserve(list, atoms.nall));
  const bool all_seen = sees_all(species_of_type);
  int64_t c = 0;
  int* to = short_list.data();
  for (int ii = 0; ii < list.inum; ii++) {
    const int i = list.ilist[ii];
    if (species_of_type[atoms.type[i]] < 0 || !(atoms.mask[i] & groupbit)) continue;
    centers[c] = i;
    offsets[c++] = to - short_list.data();
    const int* jlist = list.firstneigh[i];
    const int jnum = list.numneigh[i];
    if (all_seen) {
      for (int jj = 0; jj < jnum; jj++) to[jj] = jlist[jj] & NEIGHMASK;
      to += jnum;
    } else
      for (int jj = 0; jj < jnum; jj++) {
        const int j = jlist[jj] & NEIGHMASK;
        *to = j;
        to += species_of_type[atoms.type[j]] >= 0;
      }
  }
  const int64_t e = to - short_list.data();
  offsets[c] = e;
  view = {atoms.nall,        c,       e,       nullptr, centers.data(), offsets.data(), nullptr, nullptr,
          short_list.data(), nullptr, ++copies};
}

void TnepEdges::build_list(const NeighList& list, const TnepAtoms& atoms, int groupbit,
                           const std::vector<int>& species_of_type, double length, bool fresh) {
  // If some types are not seen, the copied list depends on the atom types, which may change between neighbour lists.
  // The last call may have been build().
  if (fresh || !view.list || !sees_all(species_of_type)) copy_list(list, atoms, groupbit, species_of_type);
  find_species(atoms, species_of_type);
  view.species = species.data();
  view.positions = atoms.nall > 0 ? const_cast<double*>(atoms.x[0]) : nullptr;  // rows of atom->x are contiguous
  if (length == 1.0 || atoms.nall == 0) return;
  const size_t n = 3 * static_cast<size_t>(atoms.nall);
  grow(scaled, n);
  const double angstrom = 1.0 / length;
  for (size_t k = 0; k < n; k++) scaled[k] = view.positions[k] * angstrom;
  view.positions = scaled.data();
}

void TnepEdges::build(const NeighList& list, const TnepAtoms& atoms, int groupbit,
                      const std::vector<int>& species_of_type, double cutoff, double length) {
  const size_t pairs = reserve(list, atoms.nall);
  grow(neighbors, pairs);
  grow(vectors, 3 * pairs);
  find_species(atoms, species_of_type);

  const double cutsq = cutoff * cutoff, angstrom = 1.0 / length;
  const bool all_seen = sees_all(species_of_type);
  const double* x = atoms.nall > 0 ? atoms.x[0] : nullptr;  // rows of atom->x are contiguous
  int64_t c = 0, e = 0;
  for (int ii = 0; ii < list.inum; ii++) {
    const int i = list.ilist[ii];
    if (species_of_type[atoms.type[i]] < 0 || !(atoms.mask[i] & groupbit)) continue;
    centers[c] = i;
    offsets[c++] = e;
    const double xi[3] = {x[3 * i], x[3 * i + 1], x[3 * i + 2]};
    const int* jlist = list.firstneigh[i];
    const int jnum = list.numneigh[i];
    // Every pair is written, and e advances only if it is kept: a branch would be mispredicted for a third of the list.
    for (int jj = 0; jj < jnum; jj++) {
      const int64_t j = jlist[jj] & NEIGHMASK;
      double* v = &vectors[3 * e];
      const double dx = (x[3 * j] - xi[0]) * angstrom;
      const double dy = (x[3 * j + 1] - xi[1]) * angstrom;
      const double dz = (x[3 * j + 2] - xi[2]) * angstrom;
      v[0] = dx;
      v[1] = dy;
      v[2] = dz;
      neighbors[e] = j;
      const bool seen = all_seen || species_of_type[atoms.type[j]] >= 0;
      e += (dx * dx + dy * dy + dz * dz < cutsq) & seen;
    }
  }
  offsets[c] = e;
  view = {atoms.nall,     c,       e,       species.data(), centers.data(), offsets.data(), neighbors.data(),
          vectors.data(), nullptr, nullptr, copies};
}
