// Site values, forces, dipoles and polarizabilities: loops over centres.
#pragma once

#include "angular_kernel.h"
#include "network.h"
#include "zbl.h"

TNEP_BEGIN

// Lists, descriptor w.q and (Order > 0) everything the backward pass needs.
template <int L, int Order, class R>
TNEP_HD int describe(const Model<R>& m, const Edges& e, int64_t c, Workspace<R>& w) {
  const int center = int(e.species[e.centers[c]]);
  collect(m, e, c, w);
  geometry<Order>(m, center, w);
  radial_forward(m, center, w);
  angular_forward<L, Order, (Order > 0)>(m, center, w);
  return center;
}

// dU/dr_j of all slots: w.partial.
template <int L, class R>
TNEP_HD void backward(const Model<R>& m, int center, Workspace<R>& w) {
  radial_backward(m, center, w);
  angular_backward<L>(m, w);
}

// Add the ZBL energy of the angular neighbours (and its derivatives to w.partial); return the energy.
template <class R>
TNEP_FUNCTION double add_zbl(const Model<R>& m, int center, bool gradient, Workspace<R>& w) {
  double total = 0;
  for (int j = 0; j < w.n_angular; j++) {
    R energy, slope;
    zbl(w.ar[j], m.zbl + int64_t(center * m.species + w.angular_species[j]) * kPad, energy, slope);
    total += energy;
    if (!gradient || slope == R(0)) continue;
    const int slot = w.angular_slot[j];
    w.partial[0][slot] += slope * w.ax[j];
    w.partial[1][slot] += slope * w.ay[j];
    w.partial[2][slot] += slope * w.az[j];
  }
  return total;
}

// Forces: F_i += P_ij, F_j -= P_ij with P_ij = w.partial; atoms are rows of four.
template <class R>
TNEP_FUNCTION void scatter_forces(const Workspace<R>& w, int64_t atom, double* atoms) {
  double total[3] = {0, 0, 0};
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    for (int slot = group.begin; slot < group.begin + group.count; slot++) {
      double* to = atoms + 4 * int64_t(w.atom[slot]);
#pragma GCC unroll 3
      for (int a = 0; a < 3; a++) {
        const double p = w.partial[a][slot];
        to[a] -= p;
        total[a] += p;
      }
    }
  }
  for (int a = 0; a < 3; a++) atoms[4 * atom + a] += total[a];
}

// Per-atom virials -r_a P_b of the neighbours.
template <class R>
TNEP_FUNCTION void scatter_virials(const Workspace<R>& w, double* virials) {
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    for (int slot = group.begin; slot < group.begin + group.count; slot++) {
      const double r[3] = {w.x[slot], w.y[slot], w.z[slot]};
      double* to = virials + 9 * int64_t(w.atom[slot]);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) to[3 * a + b] -= r[a] * double(w.partial[b][slot]);
    }
  }
}

// Call f(first slot) for every vector of slots.
template <class R, class F>
TNEP_HD void for_each_vector(const Workspace<R>& w, F&& f) {
  for (int i = 0; i < w.n_groups; i++)
    for (int b = 0; b < w.groups[i].vectors; b++) f(w.groups[i].begin + b * kLanes<R>);
}

// sum_j r_a P_b for ab = xx xy xz yy yz zz (symmetric for a rotationally invariant site value).
template <class R>
TNEP_FUNCTION void moment_tensor(const Workspace<R>& w, double* six) {
  using V = Vec<R>;
  V s[6];
  for (V& v : s) v = fill<V>(R(0));
  for_each_vector(w, [&](int slot) TNEP_LAMBDA {
    const V x = load<V>(w.x + slot), y = load<V>(w.y + slot), z = load<V>(w.z + slot);
    const V px = load<V>(w.partial[0] + slot), py = load<V>(w.partial[1] + slot), pz = load<V>(w.partial[2] + slot);
    s[0] += x * px;
    s[1] += x * py;
    s[2] += x * pz;
    s[3] += y * py;
    s[4] += y * pz;
    s[5] += z * pz;
  });
  for (int i = 0; i < 6; i++) six[i] = sum(s[i]);
}

constexpr int kSix[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};  // 3x3 entry -> xx xy xz yy yz zz

// sum_j r^2 P_j.
template <class R>
TNEP_FUNCTION void dipole_moment(const Workspace<R>& w, double* three) {
  using V = Vec<R>;
  V s[3];
  for (V& v : s) v = fill<V>(R(0));
  for_each_vector(w, [&](int slot) TNEP_LAMBDA {
    const V r = load<V>(w.r + slot), r2 = r * r;
    for (int a = 0; a < 3; a++) s[a] += r2 * load<V>(w.partial[a] + slot);
  });
  for (int a = 0; a < 3; a++) three[a] = sum(s[a]);
}

template <int L, class R>
void evaluate_energy(const Model<R>& m, bool forces, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                     Workspace<R>& w) {
  double virial[6] = {};
  for (int64_t c = begin; c < end; c++) {
    const int center = forces ? describe<L, 1>(m, e, c, w) : describe<L, 0>(m, e, c, w);
    const Net<R> net = find_net(m, 0, center);
    double energy = network_value(m, net, w.q, w.hidden, w.delta);
    if (forces) {
      network_gradient(m, net, w.delta, w.d_q);
      backward<L>(m, center, w);
    }
    if (m.zbl) energy += add_zbl(m, center, forces, w);
    out.sites[c] = energy;
    if (!forces) continue;
    scatter_forces(w, e.centers[c], out.atoms);
    double six[6];
    moment_tensor(w, six);
    for (int i = 0; i < 6; i++) virial[i] -= six[i];
    if (out.virials) scatter_virials(w, out.virials);
  }
  if (forces)
    for (int i = 0; i < 9; i++) out.virial[i] += virial[kSix[i]];
}

template <int L, class R>
void evaluate_tensor(const Model<R>& m, bool rank_two, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                     Workspace<R>& w) {
  for (int64_t c = begin; c < end; c++) {
    const int center = describe<L, 1>(m, e, c, w);
    const Net<R> net = find_net(m, 0, center);
    network_value(m, net, w.q, w.hidden, w.delta);
    network_gradient(m, net, w.delta, w.d_q);
    backward<L>(m, center, w);
    if (!rank_two) {
      double three[3];
      dipole_moment(w, three);
      for (int a = 0; a < 3; a++) out.sites[3 * c + a] = -three[a];
      continue;
    }
    double six[6];
    moment_tensor(w, six);
    const double scalar = network_value(m, find_net(m, 1, center), w.q, w.hidden, w.delta);
    for (int i = 0; i < 9; i++) out.sites[9 * c + i] = (i % 4 == 0 ? scalar : 0.0) - six[kSix[i]];
  }
}

template <int L, class R>
void evaluate_descriptors(const Model<R>& m, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                          Workspace<R>& w) {
  for (int64_t c = begin; c < end; c++) {
    describe<L, 0>(m, e, c, w);
    for (int d = 0; d < m.dim; d++) out.sites[c * m.dim + d] = double(w.q[d]) * double(m.q_scaler[d]);
  }
}

TNEP_END
