// How the threads of a block read edges.
#pragma once

#include "core/common/elementary.h"
#include "core/cuda/block.h"
#include "core/cuda/device.h"

TNEP_BEGIN

struct Site {
  int64_t index, atom, begin;  // index of the centre, of its atom, and of its first edge
  int count, species;
};

TNEP_DEVICE Site find_site(const DeviceEdges& e, int64_t c, int n_species) {
  const int64_t atom = e.centers[c], begin = e.offsets[c];
  const Site site = {c, atom, begin, int(e.offsets[c + 1] - begin), int(e.species[atom])};
  require(site.species >= 0 && site.species < n_species);
  return site;
}

template <class R>
struct Neighbor {
  int species;
  R r[3], u[3], distance, inverse;  // vector, unit vector, length and its inverse
};

TNEP_DEVICE int64_t neighbor_of(const DeviceEdges& e, int64_t edge) {
  return e.list ? int64_t(e.list[edge]) : e.neighbors[edge];
}

TNEP_DEVICE double component(const DeviceEdges& e, int64_t atom, int64_t edge, int a) {
  return e.list ? e.positions[3 * neighbor_of(e, edge) + a] - e.positions[3 * atom + a] : e.vectors[3 * edge + a];
}

template <class R>
TNEP_DEVICE Neighbor<R> read_edge(const DeviceEdges& e, const Site& site, int i, int n_species) {
  const int64_t edge = site.begin + i, j = neighbor_of(e, edge);
  require(j >= 0 && j < e.n_atoms);
  Neighbor<R> n;
  n.species = int(e.species[j]);
  require(n.species >= 0 && n.species < n_species);
  for (int a = 0; a < 3; a++) n.r[a] = R(component(e, site.atom, edge, a));
  const R r2 = n.r[0] * n.r[0] + n.r[1] * n.r[1] + n.r[2] * n.r[2], tiny = R(1e-24);
  n.distance = square_root(r2 > tiny ? r2 : tiny);
  n.inverse = R(1) / n.distance;
  for (int a = 0; a < 3; a++) n.u[a] = n.r[a] * n.inverse;
  return n;
}

TNEP_END
