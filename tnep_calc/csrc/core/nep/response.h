// Gradients of dipoles and polarizabilities with respect to atomic positions.
//
// A component mu_c = sum_i D_c U_i is the derivative of the site values along the pair field
//   v_j = -r_j^2 e_a (dipole),  -r_j,a e_b (polarizability),  -r_j^2 E (dipole in a field E),
//   -E (E.r_j) / 2 (polarizability in a field, E.alpha.E / 2).
// With the sums X (radial moments and angular sums A) and X' = dX along v, H = dU/dX and
// G_c = d(H . X')/dX (one forward-mode derivative of the reverse pass, by dual numbers):
//   d mu_c / d r_k = G_c . grad X(r_k) + Hess[H . X](r_k) v(r_k) + (dv/dr)^T grad[H . X](r_k).
// Each centre thus needs one Hessian, and one gradient per component, so the cost is linear in the number of atoms.
#pragma once

#include "core/nep/evaluate.h"
#include "core/nep/pair_derivatives.h"

TNEP_BEGIN

// Add a[c] T_k(x) and b[c] T_k(x), summed over N vectors of slots, to acc[c][k] and acc[C + c][k].
template <int N, int C, class R>
TNEP_HD void add_tangent_moments(const Vec<R> (*a)[C], const Vec<R> (*b)[C], const Vec<R>* x, int count,
                                 Vec<R> (*acc)[kMaxBasis]) {
  using V = Vec<R>;
  V before[N], now[N];
  TNEP_UNROLL(2)
  for (int i = 0; i < N; i++) {
    before[i] = x[i];  // T_-1 = T_1
    now[i] = fill<V>(R(1));
  }
  for (int k = 0; k < count; k++) {
    TNEP_UNROLL(6)
    for (int c = 0; c < C; c++) TNEP_UNROLL(2)
    for (int i = 0; i < N; i++) {
      acc[c][k] += a[i][c] * now[i];
      acc[C + c][k] += b[i][c] * now[i];
    }
    TNEP_UNROLL(2)
    for (int i = 0; i < N; i++) {
      const V next = (x[i] + x[i]) * now[i] - before[i];
      before[i] = now[i];
      now[i] = next;
    }
  }
}

// Compute the derivatives of the radial descriptor along the pair field: w.t_q[c][0..nr-1] (without the sign).  With
// a = fc' along and b = fc x' along (along: the change of the distance), the moments change by
// sum_j a T_k(x) + b T_k'(x), where T_k' = k U_k-1 and U_k = U_k-2 + 2 T_k.
template <class Field, class R>
TNEP_FUNCTION void radial_tangent(const Model<R>& m, int center, const Field& field, int q_stride, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components;
  for (int c = 0; c < C; c++) set_zero(w.t_q + c * q_stride, m.nr_pad);
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    V acc[2 * C][kMaxBasis], a[2][C], b[2][C], x[2];
    for (int c = 0; c < 2 * C; c++)
      for (int k = 0; k < m.kr; k++) acc[c][k] = fill<V>(R(0));
    const auto prepare = [&](int i, int s) TNEP_LAMBDA {
      const V r[3] = {load<V>(w.x + s), load<V>(w.y + s), load<V>(w.z + s)};
      const V d = load<V>(w.r + s), inverse = load<V>(w.inverse_r + s);
      V argument[2];
      chebyshev_argument<1>(d * inverse_cutoff, inverse_cutoff, argument);
      x[i] = argument[0];
      for (int c = 0; c < C; c++) {
        V v[3];
        field.pair(c, r, d * d, v);
        const V along = (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) * inverse;
        a[i][c] = load<V>(w.f[1] + s) * along;
        b[i][c] = load<V>(w.f[0] + s) * argument[1] * along;
      }
    };
    int first = 0;
    for (; first + 2 <= group.vectors; first += 2) {
      for (int i = 0; i < 2; i++) prepare(i, group.begin + (first + i) * W);
      add_tangent_moments<2, C, R>(a, b, x, m.kr, acc);
    }
    if (first < group.vectors) {
      prepare(0, group.begin + first * W);
      add_tangent_moments<1, C, R>(a, b, x, m.kr, acc);
    }
    const R* table = m.radial_by_k + int64_t(center * m.species + group.species) * m.kr * m.nr_pad;
    for (int c = 0; c < C; c++) {
      R of_slopes[kMaxBasis + kPad], u = R(0), above = R(0);  // U_k-1 and U_k-2 summed with b
      sum_lanes(acc[c], m.kr, w.moments);
      sum_lanes(acc[C + c], m.kr, of_slopes);
      for (int k = 1; k < m.kr; k++) {
        const R next = k == 1 ? of_slopes[0] : above + R(2) * of_slopes[k - 1];
        above = u;
        u = next;
        w.moments[k] += R(k) * u;
      }
      add_product(table, m.nr_pad, m.kr, w.moments, m.nr, w.t_q + c * q_stride);
    }
  }
}

// Compute the derivatives of the angular sums along the pair field: w.t_sums[c] (without the sign).
template <int L, class Field, class R>
TNEP_FUNCTION void angular_tangent(const Model<R>& m, const Field& field, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, K = kComponents<L>;
  const int N = row_of_n(m);
  set_zero(w.t_sums, Field::components * K * N);
  for (int c = 0; c < Field::components; c++) {
    for (int b = 0; b < w.n_blocks; b++) {
      const V u[3] = {load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W)};
      const V d = load<V>(w.ar + b * W), inverse = load<V>(w.a_inverse_r + b * W);
      const V r[3] = {u[0] * d, u[1] * d, u[2] * d};
      V v[3], change[K];
      field.pair(c, r, d * d, v);
      const V along = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
      for (int a = 0; a < 3; a++) v[a] = (v[a] - along * u[a]) * inverse;
      harmonics_along<L>(u[0], u[1], u[2], v, change);
      TNEP_UNROLL(80)
      for (int s = 0; s < K; s++) {
        store<V>(w.t_harmonics[0] + (b * K + s) * W, change[s]);
        store<V>(w.t_harmonics[1] + (b * K + s) * W, along * load<V>(w.harmonics + (b * K + s) * W));
      }
    }
    for (int d = 0; d < 2; d++) add_all_sums<L>(w.t_harmonics[d], w.g[d], w.n_angular, N, w.t_sums + c * K * N);
  }
}

// Load the angular sums and their derivatives along a component of the field as dual numbers.
template <int K, class R>
TNEP_HD void load_dual_sums(const R* sums, const R* t_sums, int N, int n, Dual<ShortVec<R>>* a) {
  using S = ShortVec<R>;
  TNEP_UNROLL(80)
  for (int s = 0; s < K; s++) a[s] = {load<S>(sums + s * N + n), load<S>(t_sums + s * N + n)};
}

// Compute the angular part of t_q, the derivatives of the invariants.
template <int L, class R>
TNEP_FUNCTION void invariants_tangent(const Model<R>& m, const R* t_sums, R* t_q, Workspace<R>& w) {
  using S = ShortVec<R>;
  const int N = row_of_n(m);
  for (int n = 0; n < N; n += kShortLanes<R>) {
    Dual<S> a[kComponents<L>];
    load_dual_sums<kComponents<L>>(w.sums, t_sums, N, n, a);
    invariants<L>(a, m.extra, [&](int block, Dual<S> q) TNEP_LAMBDA {
      R* to = t_q + m.nr + block * m.na + n;
      for (int i = 0; i < kShortLanes<R> && i < m.na - n; i++) to[i] = q.d[i];
    });
  }
}

// Compute G for the angular sums from dU/dq (w.d_q) and its derivative along the component (t_d_q).
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
    for (int s = 0; s < K; s++) store<S>(t_d_sums + s * N + n, d[s].d);
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

// Set the gradients of all slots to their radial part.
template <class Field, class R>
TNEP_FUNCTION void radial_response(const Model<R>& m, int center, const Field& field, int q_stride, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components;
  const int count = m.kr > 1 ? m.kr : 2;
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    R a[C + 1][kMaxBasis + kPad], d[C + 1][kMaxBasis], dd[kMaxBasis];  // set C: dU/dq itself
    for (int c = 0; c <= C; c++) {
      radial_expansion(m, center, group.species, c < C ? w.t_d_q + c * q_stride : w.d_q, a[c]);
      chebyshev_derivative(a[c], count, d[c]);
    }
    chebyshev_derivative(d[C], count, dd);
    for (int b = 0; b < group.vectors; b++) {
      const int s = group.begin + b * W;
      const V inverse = load<V>(w.inverse_r + s), r1 = load<V>(w.r + s);
      const V r[3] = {load<V>(w.x + s), load<V>(w.y + s), load<V>(w.z + s)};
      const V u[3] = {r[0] * inverse, r[1] * inverse, r[2] * inverse};
      V x[3];
      chebyshev_argument<2>(r1 * inverse_cutoff, inverse_cutoff, x);
      V before = fill<V>(R(1)), now = x[0], p[C + 1], dp[C + 1];
      for (int c = 0; c <= C; c++) {
        p[c] = a[c][0] + a[c][1] * now;
        dp[c] = d[c][0] + d[c][1] * now;
      }
      V ddp = dd[0] + dd[1] * now;
      for (int k = 2; k < m.kr; k++) {
        const V next = R(2) * x[0] * now - before;
        before = now;
        now = next;
        for (int c = 0; c <= C; c++) {
          p[c] += a[c][k] * now;
          dp[c] += d[c][k] * now;
        }
        ddp += dd[k] * now;
      }
      const V f0 = load<V>(w.f[0] + s), f1 = load<V>(w.f[1] + s), f2 = load<V>(w.f[2] + s);
      const V slope = f1 * p[C] + f0 * x[1] * dp[C], transverse = slope * inverse;
      const V curvature = f2 * p[C] + R(2) * f1 * x[1] * dp[C] + f0 * (x[1] * x[1] * ddp + x[2] * dp[C]);
      const V gradient[3] = {slope * u[0], slope * u[1], slope * u[2]};
      for (int c = 0; c < C; c++) {
        V v[3], out[3];
        field.pair(c, r, r1 * r1, v);
        const V along = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
        const V outward = f1 * p[c] + f0 * x[1] * dp[c] + (curvature - transverse) * along;
        for (int e = 0; e < 3; e++) out[e] = outward * u[e] + transverse * v[e];
        field.add_rest(c, r, gradient, out);
        for (int e = 0; e < 3; e++) store<V>(w.gradients + (3 * c + e) * w.slot_stride + s, out[e]);
      }
    }
  }
}

// Gradient and Hessian (xx xy xz yy yz zz) with respect to r_j of sum_sn dU/dA_sn g_n(r_j) Z_s(u_j).
template <int L, class R>
TNEP_FUNCTION void block_hessian(const Model<R>& m, int b, const Workspace<R>& w, Vec<R>* gradient, Vec<R>* hess) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const V u[3] = {load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W)};
  const V inverse = load<V>(w.a_inverse_r + b * W);
  V h[3][kComponents<L>], p[9], pr[4], prr[1];
  expand<L, 2>(m, w.d_sums, b, w, h);
  contract<L, 2>(u[0], u[1], u[2], h[0], p);
  contract<L, 1>(u[0], u[1], u[2], h[1], pr);
  contract<L, 0>(u[0], u[1], u[2], h[2], prr);
  angular_derivatives(u, inverse, p, pr, prr[0], gradient, hess);
}

// Add the angular part of the gradients.
template <int L, class Field, class R>
TNEP_FUNCTION void angular_response(const Model<R>& m, const Field& field, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components, K = kComponents<L>;
  const int N = row_of_n(m);
  for (int b = 0; b < w.n_blocks; b++) {
    const V d = load<V>(w.ar + b * W);
    const V r[3] = {load<V>(w.ax + b * W) * d, load<V>(w.ay + b * W) * d, load<V>(w.az + b * W) * d};
    V first[C][3], out[C][3], gradient[3], hess[6];
    for (int c = 0; c < C; c++) block_gradient<L>(m, w.t_d_sums + c * K * N, b, w, first[c]);
    block_hessian<L>(m, b, w, gradient, hess);
    assemble(field, r, d * d, hess, gradient, first, out);
    for (int c = 0; c < C; c++) {
      R* to[3];
      for (int e = 0; e < 3; e++) to[e] = w.gradients + (3 * c + e) * w.slot_stride;
      add_to_slots(out[c], b, w, to);
    }
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
    const int center = describe<L, 2>(m, e, c, w);
    if (center < 0) return false;
    if constexpr (Field::scalar_network) {  // dV/dq
      const Net<R> scalar = find_net(m, 1, center);
      network_value(m, scalar, w.q, w.hidden, w.delta);
      network_gradient(m, scalar, w.delta, w.scalar_d_q);
    }
    const Net<R> net = find_net(m, 0, center);
    network_value(m, net, w.q, w.hidden, w.delta);
    network_gradient(m, net, w.delta, w.d_q);
    sums_backward<L>(m, w);
    radial_tangent(m, center, field, q_stride, w);
    angular_tangent<L>(m, field, w);
    for (int k = 0; k < C; k++) {
      R *t_sums = w.t_sums + k * K * N, *t_q = w.t_q + k * q_stride, *t_d_q = w.t_d_q + k * q_stride;
      invariants_tangent<L>(m, t_sums, t_q, w);
      network_tangent(m, net, t_q, w.hidden, w.delta, w.scratch, t_d_q);
      if constexpr (Field::scalar_network) {  // minus, because the sign of the pair field is left out
        const R weight = field.scalar_weight(k);
        for (int d = 0; d < m.dim; d++) t_d_q[d] -= weight * w.scalar_d_q[d];
      }
      sums_tangent_backward<L>(m, t_sums, t_d_q, w.t_d_sums + k * K * N, w);
    }
    radial_response(m, center, field, q_stride, w);
    angular_response<L>(m, field, w);
    if constexpr (C == 1) {  // an energy -E.mu or -E.alpha.E / 2
      const R* const forces[3] = {w.gradients, w.gradients + w.slot_stride, w.gradients + 2 * w.slot_stride};
      scatter_forces(w, forces, e.centers[c], out.atoms);
      if (out.virials) scatter_virials(w, forces, out.virials);
    } else scatter_gradients<3 * C>(w, e.centers[c], 3 * C, out.atoms);
  }
  return true;
}

TNEP_END
