// The neighbours of one centre: sorted edges, distances, cutoff function, angular neighbours.
#pragma once

#include "core/nep/radial.h"
#include "core/nep/workspace.h"

TNEP_BEGIN

// Fill the groups, coordinates and atoms of centre c; returns false if a neighbour is not a valid atom.
template <class R>
TNEP_FUNCTION bool collect(const Model<R>& m, const Edges& e, int64_t c, Workspace<R>& w) {
  constexpr int W = kLanes<R>, step = W < 4 ? 4 : W;  // forces are scattered in fours
  const int T = m.species, center = int(e.species[e.centers[c]]);
  const R* rc_radial = m.radial_cutoffs + center * T;
  const R* rc_angular = m.angular_cutoffs + center * T;
  for (int t = 0; t < T; t++) {
    const double rc = rc_radial[t] > rc_angular[t] ? rc_radial[t] : rc_angular[t];
    w.cutoff2[t] = rc * rc;
    w.filled[t] = t * w.species_stride;
  }
  const int64_t begin = e.offsets[c], end = e.offsets[c + 1];
  if (e.list) {
    if (!all_atoms(e.list, begin, end, e.n_atoms)) return false;
    const AtomRow& at = e.rows[e.centers[c]];
    sort_edges(ListSource{e, {at.x, at.y, at.z}}, begin, end, w);
  } else {
    if (!all_atoms(e.neighbors, begin, end, e.n_atoms)) return false;
    sort_edges(VectorSource{e, T == 1}, begin, end, w);
  }
  prefetch_next(e, c);

  w.n_groups = 0;
  for (int t = 0; t < T; t++) {
    const int begin = t * w.species_stride, count = w.filled[t] - begin;
    if (count == 0) continue;
    w.groups[w.n_groups++] = {t, begin, count, int(round_up(count, step)) / W};
    // Padding: points beyond the cutoff.  They contribute nothing, so any atom index will do.
    for (int i = 0; i < step; i++) w.atom[w.filled[t] + i] = int32_t(e.centers[c]);
    const Vec<R> far = fill<Vec<R>>(R(2) * rc_radial[t] + R(2) * rc_angular[t]);
    for (int slot = w.filled[t]; slot < w.filled[t] + step; slot += W) {
      store<Vec<R>>(w.x + slot, far);
      store<Vec<R>>(w.y + slot, far);
      store<Vec<R>>(w.z + slot, far);
    }
  }
  return true;
}

// Compute distances, cutoff function and Chebyshev argument of all slots, and the list of angular neighbours.
template <int Order, class R>
TNEP_FUNCTION void geometry(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const V tiny = fill<V>(R(1e-24));  // gives coincident atoms a zero unit vector instead of 0/0
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
