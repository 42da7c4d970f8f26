// From the edges of one centre to slots: filter by the cutoff, sort by species, distances, cutoff function.
#pragma once

#include "radial.h"
#include "workspace.h"

TNEP_BEGIN

// Fill groups, coordinates and atoms of centre c.
template <class R>
TNEP_FUNCTION void collect(const Model<R>& m, const Edges& e, int64_t c, Workspace<R>& w) {
  constexpr int W = kLanes<R>;
  const int64_t begin = e.offsets[c], count = e.offsets[c + 1] - begin;
  const int64_t* neighbors = e.neighbors + begin;
  const double* v = e.vectors + 3 * begin;
  const int T = m.species, center = int(e.species[e.centers[c]]);
  const R* rc_radial = m.radial_cutoffs + center * T;
  const R* rc_angular = m.angular_cutoffs + center * T;

  const auto inside = [&](int64_t k, int t) TNEP_LAMBDA {
    const double rc = rc_radial[t] > rc_angular[t] ? rc_radial[t] : rc_angular[t];
    return v[3 * k] * v[3 * k] + v[3 * k + 1] * v[3 * k + 1] + v[3 * k + 2] * v[3 * k + 2] < rc * rc;
  };
  for (int t = 0; t < T; t++) w.groups[t].count = 0;
  if (T == 1) {
    int n = 0;
    for (int64_t k = 0; k < count; k++) {
      w.by_species[n] = int32_t(k);
      n += inside(k, 0);
    }
    w.groups[0].count = n;
  } else {
    for (int64_t k = 0; k < count; k++) {
      const int t = int(e.species[neighbors[k]]);
      w.by_species[t * w.max_edges + w.groups[t].count] = int32_t(k);
      w.groups[t].count += inside(k, t);
    }
  }
  int slot = 0, n_groups = 0;
  for (int t = 0; t < T; t++) {
    const int n = w.groups[t].count;
    if (n == 0) continue;
    const int32_t* list = w.by_species + t * w.max_edges;
    Group& group = w.groups[n_groups++];  // n_groups <= t: already read
    group = {t, slot, n, (n + W - 1) / W};
    for (int k = 0; k < n; k++, slot++) {
      const int64_t edge = list[k];
      w.x[slot] = R(v[3 * edge]);
      w.y[slot] = R(v[3 * edge + 1]);
      w.z[slot] = R(v[3 * edge + 2]);
      w.atom[slot] = int32_t(neighbors[edge]);
    }
    for (; slot < group.begin + group.vectors * W; slot++) {
      w.x[slot] = R(2) * rc_radial[t] + R(2) * rc_angular[t];
      w.y[slot] = w.z[slot] = 0;
      w.atom[slot] = 0;
    }
  }
  w.n_groups = n_groups;
  w.n_slots = slot;
}

// Distances, cutoff function and Chebyshev argument of all slots; list of angular neighbours.
template <int Order, class R>
TNEP_FUNCTION void geometry(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const V tiny = fill<V>(R(1e-24));  // coincident atoms: zero unit vector instead of 0/0
  int n_angular = 0;
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    const R angular_cutoff = m.angular_cutoffs[center * m.species + group.species];
    const int first = n_angular;
    for (int b = 0; b < group.vectors; b++) {
      const int slot = group.begin + b * W;
      const V x = load<V>(w.x + slot), y = load<V>(w.y + slot), z = load<V>(w.z + slot);
      V r2 = x * x + y * y + z * z;
      r2 = r2 > tiny ? r2 : tiny;
      const V r = square_root(r2), t = r * inverse_cutoff;
      store<V>(w.r + slot, r);
      store<V>(w.inverse_r + slot, R(1) / r);
      V f[3], c[3];
      cutoff_function<Order>(t, inverse_cutoff, f);
      chebyshev_argument<0>(t, inverse_cutoff, c);
      for (int d = 0; d <= Order; d++) store<V>(w.f[d] + slot, f[d]);
      store<V>(w.cheb + slot, c[0]);
      n_angular += append_below<V>(r, angular_cutoff, slot, w.angular_slot + n_angular);
    }
    const R inverse_angular = R(1) / angular_cutoff;
    for (int k = first; k < n_angular; k++) {
      const int slot = w.angular_slot[k];
      w.angular_species[k] = group.species;
      w.ax[k] = w.x[slot] * w.inverse_r[slot];
      w.ay[k] = w.y[slot] * w.inverse_r[slot];
      w.az[k] = w.z[slot] * w.inverse_r[slot];
      w.ar[k] = w.r[slot];
      w.a_inverse_r[k] = w.inverse_r[slot];
      w.a_inverse_cutoff[k] = inverse_angular;
    }
  }
  w.n_angular = n_angular;
  w.n_blocks = (n_angular + W - 1) / W;
  for (int k = n_angular; k < w.n_blocks * W; k++) {
    w.ax[k] = w.ay[k] = w.az[k] = w.a_inverse_r[k] = 0;
    w.ar[k] = 2;
    w.a_inverse_cutoff[k] = 1;
  }
}

TNEP_END
