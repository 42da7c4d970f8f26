// Gradients of dipoles and polarizabilities with respect to atomic positions.
//
// A component mu_c = sum_i D_c U_i is the derivative of the site values along the pair field
//   v_j = -r_j^2 e_a (dipole),  -r_j,a e_b (polarizability),  -r_j^2 E (dipole in a field E),
//   -E (E.r_j) / 2 (polarizability in a field, E.alpha.E / 2).
// With the sums X (radial moments and angular sums A) and X' = dX along v, H = dU/dX and
// G_c = d(H . X')/dX (one forward-mode derivative of the reverse pass, by dual numbers):
//   d mu_c / d r_k = G_c . grad X(r_k) + Hess[H . X](r_k) v(r_k) + (dv/dr)^T grad[H . X](r_k).
// The second term is the change of grad[H . X] along v, without a Hessian.  The cost is linear in the number of atoms.
#pragma once

#include "core/nep/response_descriptor.h"

TNEP_BEGIN

// Compute dU/dA (w.d_sums) and G for the angular sums from dU/dq (w.d_q) and its derivative along the component
// (t_d_q).
template <int L, class R>
TNEP_FUNCTION void sums_tangent_backward(const Model<R>& m, const R* t_sums, const R* t_d_q, R* t_d_sums,
                                         Workspace<R>& w) {
  using S = ShortVec<R>;
  constexpr int K = kComponents<L>;
  const int N = row_of_n(m);
  for (int n = 0; n < N; n += kShortLanes<R>) {
    Dual<S> a[K], d[K];
    load_dual_sums<K>(w.sums, t_sums, N, n, a);
    invariants_backward<L>(
        a, m.extra,
        [&](int block) TNEP_LAMBDA {
          const int at = m.nr + block * m.na + n;
          return Dual<S>{load<S>(w.d_q + at), load<S>(t_d_q + at)};
        },
        d);
    TNEP_UNROLL(80)
    for (int s = 0; s < K; s++) {
      store<S>(w.d_sums + s * N + n, d[s].v);
      store<S>(t_d_sums + s * N + n, d[s].d);
    }
  }
}

// Compute t_d_q, the derivative of dU/dq along t_q: delta = w1 (1 - t^2), d delta = -2 t delta (w0 t_q).
template <class R>
TNEP_FUNCTION void network_tangent(const Model<R>& m, const Net<R>& net, const R* t_q, const R* hidden, const R* delta,
                                   R* scratch, R* t_d_q) {
  using V = Vec<R>;
  product(net.columns, m.neurons_pad, m.dim, t_q, m.neurons, scratch);
  for (int i = 0; i < m.neurons; i += kLanes<R>)
    store<V>(scratch + i, R(-2) * load<V>(hidden + i) * load<V>(delta + i) * load<V>(scratch + i));
  network_gradient(m, net, scratch, t_d_q);
}

// Coefficients of polynomials sum_k a[k] T_k(x): for every component c, dU/d(fc T_k) and its derivative d; set C is
// that of dU/dq itself, with the second derivative dd.
template <int C, class R>
struct RadialExpansions {
  R a[C + 1][kMaxBasis + kPad], d[C + 1][kMaxBasis], dd[kMaxBasis];
};

// Set the gradients of N vectors of slots to their radial part.
template <int N, class Field, class R>
TNEP_HD void radial_gradients(const RadialExpansions<Field::components, R>& of, const Field& field, int slot,
                              R inverse_cutoff, int count, const Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components;
  V x[N][3], before[N], now[N], p[N][C + 1], dp[N][C + 1], ddp[N];
  TNEP_UNROLL(2)
  for (int i = 0; i < N; i++) {
    chebyshev_argument<2>(load<V>(w.r + slot + i * W) * inverse_cutoff, inverse_cutoff, x[i]);
    before[i] = fill<V>(R(1));
    now[i] = x[i][0];
    TNEP_UNROLL(7)
    for (int c = 0; c <= C; c++) {
      p[i][c] = of.a[c][0] + of.a[c][1] * now[i];
      dp[i][c] = of.d[c][0] + of.d[c][1] * now[i];
    }
    ddp[i] = of.dd[0] + of.dd[1] * now[i];
  }
  for (int k = 2; k < count; k++) {
    TNEP_UNROLL(2)
    for (int i = 0; i < N; i++) {
      const V next = (x[i][0] + x[i][0]) * now[i] - before[i];
      before[i] = now[i];
      now[i] = next;
      TNEP_UNROLL(7)
      for (int c = 0; c <= C; c++) {
        p[i][c] += of.a[c][k] * next;
        dp[i][c] += of.d[c][k] * next;
      }
      ddp[i] += of.dd[k] * next;
    }
  }
  TNEP_UNROLL(2)
  for (int i = 0; i < N; i++) {
    const int s = slot + i * W;
    const V inverse = load<V>(w.inverse_r + s), r1 = load<V>(w.r + s);
    const V r[3] = {load<V>(w.x + s), load<V>(w.y + s), load<V>(w.z + s)};
    const V u[3] = {r[0] * inverse, r[1] * inverse, r[2] * inverse};
    const V f0 = load<V>(w.f[0] + s), f1 = load<V>(w.f[1] + s), f2 = load<V>(w.f[2] + s);
    const V slope = f1 * p[i][C] + f0 * x[i][1] * dp[i][C], transverse = slope * inverse;
    const V bend = x[i][1] * x[i][1] * ddp[i] + x[i][2] * dp[i][C];
    const V curvature = f2 * p[i][C] + R(2) * f1 * x[i][1] * dp[i][C] + f0 * bend;
    const V gradient[3] = {slope * u[0], slope * u[1], slope * u[2]};
    for (int c = 0; c < C; c++) {
      V v[3], out[3];
      field.pair(c, r, r1 * r1, v);
      const V along = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
      const V outward = f1 * p[i][c] + f0 * x[i][1] * dp[i][c] + (curvature - transverse) * along;
      for (int e = 0; e < 3; e++) out[e] = outward * u[e] + transverse * v[e];
      field.add_rest(c, r, gradient, out);
      for (int e = 0; e < 3; e++) store<V>(w.gradients + (3 * c + e) * w.slot_stride + s, out[e]);
    }
  }
}

// The same for all slots.
template <class Field, class R>
TNEP_FUNCTION void radial_response(const Model<R>& m, int center, const Field& field, int q_stride, Workspace<R>& w) {
  constexpr int W = kLanes<R>, C = Field::components;
  const int count = m.kr > 1 ? m.kr : 2;
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    RadialExpansions<C, R> of;
    for (int c = 0; c <= C; c++) {
      radial_expansion(m, center, group.species, c < C ? w.t_d_q + c * q_stride : w.d_q, of.a[c]);
      chebyshev_derivative(of.a[c], count, of.d[c]);
    }
    chebyshev_derivative(of.d[C], count, of.dd);
    int b = 0;
    if constexpr (C == 1)
      for (; b + 2 <= group.vectors; b += 2)
        radial_gradients<2>(of, field, group.begin + b * W, inverse_cutoff, m.kr, w);
    for (; b < group.vectors; b++) radial_gradients<1>(of, field, group.begin + b * W, inverse_cutoff, m.kr, w);
  }
}

// For F = sum_sn dU/dA_sn g_n(r_j) Z_s(u_j) and block b: set slopes[s] = dh_s/dr with h_s = sum_n dU/dA_sn g_n, p and
// pr as in angular_change(), and the gradient; return prr.  This function and the next one are inlined, so that the
// polynomials of u are evaluated once for both.
template <int L, class R>
TNEP_HD Vec<R> block_terms(const Model<R>& m, int b, const Workspace<R>& w, Vec<R>* slopes, Vec<R>* p, Vec<R>* pr,
                           Vec<R>* gradient) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, K = kComponents<L>;
  const V x = load<V>(w.ax + b * W), y = load<V>(w.ay + b * W), z = load<V>(w.az + b * W);
  V h[2][K];
  const V prr = expand<L, 2>(m, w.d_sums, b, w, h);
  contract<L, 2>(x, y, z, h[0], p);
  contract<L, 1>(x, y, z, h[1], pr);
  angular_gradient(x, y, z, load<V>(w.a_inverse_r + b * W), p, pr[0], gradient);
  TNEP_UNROLL(80)
  for (int s = 0; s < K; s++) slopes[s] = h[1][s];
  return prr;
}

// For the function with coefficients G instead of dU/dA: set pt as in angular_change(); return ptr.
template <int L, class R>
TNEP_HD Vec<R> block_change(const Model<R>& m, const R* coefficients, Vec<R> along, const Vec<R>* slopes, int b,
                            const Workspace<R>& w, Vec<R>* pt) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, K = kComponents<L>;
  V t[1][K];
  const V ptr = expand<L, 1>(m, coefficients, b, w, t);
  TNEP_UNROLL(80)
  for (int s = 0; s < K; s++) t[0][s] += along * slopes[s];
  contract<L, 1>(load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W), t[0], pt);
  return ptr;
}

// Add the angular part of the gradients of block b.
template <int L, class Field, class R>
TNEP_FUNCTION void block_response(const Model<R>& m, const Field& field, int b, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components, K = kComponents<L>;
  const int N = row_of_n(m);
  const V u[3] = {load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W)};
  const V inverse = load<V>(w.a_inverse_r + b * W), d = load<V>(w.ar + b * W);
  const V r[3] = {u[0] * d, u[1] * d, u[2] * d};
  V slopes[K], p[9], pr[4], pt[4], gradient[3];
  const V prr = block_terms<L>(m, b, w, slopes, p, pr, gradient);
  for (int c = 0; c < C; c++) {
    V v[3], out[3];
    field.pair(c, r, d * d, v);
    const V along = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
    const V ptr = block_change<L>(m, w.t_d_sums + c * K * N, along, slopes, b, w, pt);
    angular_change(u, inverse, v, along, p, pr, prr, pt, ptr, out);
    field.add_rest(c, r, gradient, out);
    R* to[3];
    for (int e = 0; e < 3; e++) to[e] = w.gradients + (3 * c + e) * w.slot_stride;
    add_to_slots(out, b, w, to);
  }
}

// Add the gradients to the atoms: with a minus sign for neighbours, because the pair field has a minus sign, and with a
// plus sign for the centre.
template <int Count, class R>
TNEP_FUNCTION void scatter_gradients(const Workspace<R>& w, int64_t atom, int stride, double* atoms) {
  double total[Count] = {};
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    for (int slot = group.begin; slot < group.begin + group.count; slot++) {
      double* to = atoms + stride * int64_t(w.atom[slot]);
      TNEP_UNROLL(18)
      for (int k = 0; k < Count; k++) {
        const double value = w.gradients[k * w.slot_stride + slot];
        to[k] -= value;
        total[k] += value;
      }
    }
  }
  for (int k = 0; k < Count; k++) atoms[stride * atom + k] += total[k];
}

template <int L, class Field, class R>
bool evaluate_response(const Model<R>& m, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                       Workspace<R>& w) {
  constexpr int C = Field::components, K = kComponents<L>;
  const int N = row_of_n(m), q_stride = int(m.dim_pad + kPad);
  for (int64_t c = begin; c < end; c++) {
    const Field field(out.field + out.field_stride * c);
    const int center = int(e.species[e.centers[c]]);
    if (!collect(m, e, c, w)) return false;
    geometry<2>(m, center, w);
    radial_tangent(m, center, field, q_stride, w);
    angular_factors<L, 2, true>(m, center, w);
    angular_tangent<L>(m, field, w);
    for (int k = 0; k < C; k++) invariants_tangent<L>(m, w.t_sums + k * K * N, w.t_q + k * q_stride, w);
    if constexpr (Field::scalar_network) {  // dV/dq
      const Net<R> scalar = find_net(m, 1, center);
      network_value(m, scalar, w.q, w.hidden, w.delta);
      network_gradient(m, scalar, w.delta, w.scalar_d_q);
    }
    const Net<R> net = find_net(m, 0, center);
    network_value(m, net, w.q, w.hidden, w.delta);
    network_gradient(m, net, w.delta, w.d_q);
    for (int k = 0; k < C; k++) {
      R* t_d_q = w.t_d_q + k * q_stride;
      network_tangent(m, net, w.t_q + k * q_stride, w.hidden, w.delta, w.scratch, t_d_q);
      if constexpr (Field::scalar_network) {  // minus, because the sign of the pair field is left out
        const R weight = field.scalar_weight(k);
        for (int d = 0; d < m.dim; d++) t_d_q[d] -= weight * w.scalar_d_q[d];
      }
      sums_tangent_backward<L>(m, w.t_sums + k * K * N, t_d_q, w.t_d_sums + k * K * N, w);
    }
    radial_response(m, center, field, q_stride, w);
    for (int b = 0; b < w.n_blocks; b++) block_response<L>(m, field, b, w);
    if constexpr (C == 1) {  // an energy -E.mu or -E.alpha.E / 2
      const R* const forces[3] = {w.gradients, w.gradients + w.slot_stride, w.gradients + 2 * w.slot_stride};
      scatter_forces(w, forces, e.centers[c], out.atoms);
      if (out.virials) scatter_virials(w, forces, out.virials);
    } else scatter_gradients<3 * C>(w, e.centers[c], 3 * C, out.atoms);
  }
  return true;
}

TNEP_END
