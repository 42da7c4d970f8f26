// Site values, forces, dipoles and polarizabilities: loops over centres.
#pragma once

#include "core/common/zbl.h"
#include "core/nep/angular_kernel.h"
#include "core/nep/network.h"

TNEP_BEGIN

// Compute the neighbour lists, the descriptor w.q and, if Order > 0, the quantities for the backward pass.  Returns the
// species of the centre, or -1 if a neighbour is not a valid atom.
template <int L, int Order, class R>
TNEP_HD int describe(const Model<R>& m, const Edges& e, int64_t c, Workspace<R>& w) {
  const int center = int(e.species[e.centers[c]]);
  w.watch.start();
  if (!collect(m, e, c, w)) return -1;
  w.watch.lap(kPartEdges);
  geometry<Order>(m, center, w);
  w.watch.lap(kPartGeometry);
  radial_forward(m, center, w);
  w.watch.lap(kPartRadial);
  angular_sums<L, Order, (Order > 0)>(m, center, w);
  angular_descriptor<L>(m, w);
  w.watch.lap(kPartInvariants);
  return center;
}

// Set w.partial to dU/dr_j of all slots.
template <int L, class R>
TNEP_HD void backward(const Model<R>& m, int center, Workspace<R>& w) {
  radial_backward(m, center, w);
  w.watch.lap(kPartRadialBackward);
  angular_backward<L>(m, w);
  w.watch.lap(kPartAngularBackward);
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

// Add forces to atoms: F_i += P_ij, F_j -= P_ij with the components p of P_ij for all slots; each atom is a row of four
// numbers.  Slots are processed in fours; the padding at the end of a group has P = 0.
template <class R>
TNEP_FUNCTION void scatter_forces(const Workspace<R>& w, const R* const* p, int64_t atom, double* atoms) {
  using Row = typename VectorOf<double, 4>::type;
  using Four = typename VectorOf<R, 4>::type;
  const auto get = [&](int a, int slot, Row& row) TNEP_LAMBDA {
    Four four;
    __builtin_memcpy(&four, p[a] + slot, sizeof four);
    row = __builtin_convertvector(four, Row);
  };
  Row total{};
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    for (int slot = group.begin; slot < group.begin + group.count; slot += 4) {
      Row x, y, z, rows[4];
      get(0, slot, x);
      get(1, slot, y);
      get(2, slot, z);
      // Transpose by interleaving twice with a row of zeros.
      const Row xz_low = __builtin_shufflevector(x, z, 0, 4, 1, 5), xz_high = __builtin_shufflevector(x, z, 2, 6, 3, 7);
      const Row y_low = __builtin_shufflevector(y, Row{}, 0, 4, 1, 5);
      const Row y_high = __builtin_shufflevector(y, Row{}, 2, 6, 3, 7);
      rows[0] = __builtin_shufflevector(xz_low, y_low, 0, 4, 1, 5);
      rows[1] = __builtin_shufflevector(xz_low, y_low, 2, 6, 3, 7);
      rows[2] = __builtin_shufflevector(xz_high, y_high, 0, 4, 1, 5);
      rows[3] = __builtin_shufflevector(xz_high, y_high, 2, 6, 3, 7);
      TNEP_UNROLL(4)
      for (int k = 0; k < 4; k++) {
        double* to = atoms + 4 * int64_t(w.atom[slot + k]);
        Row sum;
        __builtin_memcpy(&sum, to, sizeof sum);
        sum -= rows[k];
        __builtin_memcpy(to, &sum, sizeof sum);
        total += rows[k];
      }
    }
  }
  for (int a = 0; a < 3; a++) atoms[4 * atom + a] += total[a];
}

// Add the per-atom virials -r_a P_b to the neighbours.
template <class R>
TNEP_FUNCTION void scatter_virials(const Workspace<R>& w, const R* const* p, double* virials) {
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    for (int slot = group.begin; slot < group.begin + group.count; slot++) {
      const double r[3] = {w.x[slot], w.y[slot], w.z[slot]};
      double* to = virials + 9 * int64_t(w.atom[slot]);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) to[3 * a + b] -= r[a] * double(p[b][slot]);
    }
  }
}

// Call f(first slot) for every vector of slots.
template <class R, class F>
TNEP_HD void for_each_vector(const Workspace<R>& w, F&& f) {
  for (int i = 0; i < w.n_groups; i++)
    for (int b = 0; b < w.groups[i].vectors; b++) f(w.groups[i].begin + b * kLanes<R>);
}

// sum_j r_a P_b for ab = xx xy xz yy yz zz (symmetric for a rotationally invariant site value), separately in each
// lane.
template <class R>
TNEP_HD void moment_lanes(const Workspace<R>& w, Vec<R>* s) {
  using V = Vec<R>;
  for (int i = 0; i < 6; i++) s[i] = fill<V>(R(0));
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
}

template <class R>
using WideVec = typename VectorOf<double, kLanes<R>>::type;

// Add the same in each lane to `sums`, in float64.
template <class R>
TNEP_FUNCTION void add_moments_wide(const Workspace<R>& w, WideVec<R>* sums) {
  Vec<R> s[6];
  moment_lanes(w, s);
  for (int i = 0; i < 6; i++) sums[i] += __builtin_convertvector(s[i], WideVec<R>);
}

// Compute dipole or polarizability of a centre from w.d_q: out[a] = sum_j r_j^2 P_j,a or, if RankTwo, out[ab] = sum_j
// r_j,a P_j,b for xx xy xz yy yz zz, with P_j = dU/dr_j.  Gradients of neighbours are summed at once and not stored.
template <int L, bool RankTwo, class R>
TNEP_FUNCTION void tensor_moments(const Model<R>& m, int center, Workspace<R>& w, R* out) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, count = RankTwo ? 6 : 3;
  V s[count] = {};
  const auto add = [&](const V* r, V r2, const V* p) TNEP_LAMBDA {
    if constexpr (RankTwo) {
      int at = 0;
      for (int a = 0; a < 3; a++)
        for (int b = a; b < 3; b++) s[at++] += r[a] * p[b];
    } else
      for (int a = 0; a < 3; a++) s[a] += r2 * p[a];
  };
  for_each_slope(m, center, w, [&](int slot, V slope) TNEP_LAMBDA {
    const V r[3] = {load<V>(w.x + slot), load<V>(w.y + slot), load<V>(w.z + slot)}, d = load<V>(w.r + slot);
    const V p[3] = {slope * r[0], slope * r[1], slope * r[2]};
    add(r, d * d, p);
  });
  w.watch.lap(kPartRadialBackward);
  sums_backward<L>(m, w);
  w.watch.lap(kPartInvariants);
  for (int b = 0; b < w.n_blocks; b++) {
    V p[3];
    block_gradient<L>(m, w.d_sums, b, w, p);
    const V d = load<V>(w.ar + b * W);
    const V r[3] = {load<V>(w.ax + b * W) * d, load<V>(w.ay + b * W) * d, load<V>(w.az + b * W) * d};
    add(r, d * d, p);
  }
  w.watch.lap(kPartAngularBackward);
  sum_lanes(s, count, out);
  w.watch.lap(kPartScatter);
}

template <int L, class R>
bool evaluate_energy(const Model<R>& m, bool forces, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                     Workspace<R>& w) {
  WideVec<R> virial[6] = {};
  for (int64_t c = begin; c < end; c++) {
    const int center = forces ? describe<L, 1>(m, e, c, w) : describe<L, 0>(m, e, c, w);
    if (center < 0) return false;
    const Net<R> net = find_net(m, 0, center);
    double energy = network_value(m, net, w.q, w.hidden, w.delta);
    if (forces) {
      network_gradient(m, net, w.delta, w.d_q);
      w.watch.lap(kPartNetwork);
      backward<L>(m, center, w);
    }
    if (m.zbl) energy += add_zbl(m, center, forces, w);
    out.sites[c] = energy;
    if (!forces) continue;
    scatter_forces(w, w.partial, e.centers[c], out.atoms);
    add_moments_wide(w, virial);
    if (out.virials) scatter_virials(w, w.partial, out.virials);
    w.watch.lap(kPartScatter);
  }
  if (forces)
    for (int i = 0; i < 9; i++)
      for (int lane = 0; lane < kLanes<R>; lane++) out.virial[i] -= virial[kSix[i]][lane];
  return true;
}

template <int L, class R>
bool evaluate_tensor(const Model<R>& m, bool rank_two, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                     Workspace<R>& w) {
  for (int64_t c = begin; c < end; c++) {
    const int center = describe<L, 1>(m, e, c, w);
    if (center < 0) return false;
    const Net<R> net = find_net(m, 0, center);
    network_value(m, net, w.q, w.hidden, w.delta);
    network_gradient(m, net, w.delta, w.d_q);
    w.watch.lap(kPartNetwork);
    R sums[kPad];
    if (!rank_two) {
      tensor_moments<L, false>(m, center, w, sums);
      for (int a = 0; a < 3; a++) out.sites[3 * c + a] = -double(sums[a]);
      continue;
    }
    tensor_moments<L, true>(m, center, w, sums);
    const double scalar = network_value(m, find_net(m, 1, center), w.q, w.hidden, w.delta);
    w.watch.lap(kPartNetwork);
    for (int i = 0; i < 9; i++) out.sites[9 * c + i] = (i % 4 == 0 ? scalar : 0.0) - double(sums[kSix[i]]);
  }
  return true;
}

template <int L, class R>
bool evaluate_descriptors(const Model<R>& m, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                          Workspace<R>& w) {
  for (int64_t c = begin; c < end; c++) {
    if (describe<L, 0>(m, e, c, w) < 0) return false;
    for (int d = 0; d < m.dim; d++) out.sites[c * m.dim + d] = double(w.q[d]) * double(m.q_scaler[d]);
  }
  return true;
}

TNEP_END
