// Gradients of dipoles and polarizabilities with respect to atomic positions.
//
// A component mu_c = sum_i D_c U_i is the derivative of the site values along the pair field
//   v_j = -r_j^2 e_a (dipole),  -r_j,a e_b (polarizability),  -r_j^2 E (dipole in a field E),
//   -E (E.r_j) / 2 (polarizability in a field, E.alpha.E / 2).
// With the sums X (radial moments and angular sums A) and X' = dX along v, H = dU/dX and
// G_c = d(H . X')/dX (one forward-mode derivative of the reverse pass, by dual numbers):
//   d mu_c / d r_k = G_c . grad X(r_k) + Hess[H . X](r_k) v(r_k) + (dv/dr)^T grad[H . X](r_k).
// So each centre costs one Hessian and one gradient per component: linear in the number of atoms.
#pragma once

#include "core/nep/evaluate.h"
#include "core/nep/pair_derivatives.h"

TNEP_BEGIN

// Derivatives of the radial descriptor along the pair field: w.t_q[c][0..nr-1] (without the sign).
template <class Field, class R>
TNEP_FUNCTION void radial_tangent(const Model<R>& m, int center, const Field& field, int q_stride, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components;
  for (int c = 0; c < C; c++) set_zero(w.t_q + c * q_stride, m.nr_pad);
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    V acc[C][kMaxBasis];
    for (int c = 0; c < C; c++)
      for (int k = 0; k < m.kr; k++) acc[c][k] = fill<V>(R(0));
    for (int b = 0; b < group.vectors; b++) {
      const int s = group.begin + b * W;
      const V r[3] = {load<V>(w.x + s), load<V>(w.y + s), load<V>(w.z + s)};
      const V d = load<V>(w.r + s), inverse = load<V>(w.inverse_r + s);
      V along[C], f[3], x[3];
      for (int c = 0; c < C; c++) {
        V v[3];
        field.pair(c, r, d * d, v);
        along[c] = (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) * inverse;
      }
      for (int o = 0; o < 2; o++) f[o] = load<V>(w.f[o] + s);
      chebyshev_argument<1>(d * inverse_cutoff, inverse_cutoff, x);
      R terms[2][kMaxBasis * W];
      R* rows[2] = {terms[0], terms[1]};
      chebyshev_terms<1>(f, x, m.kr, rows, W);
      for (int k = 0; k < m.kr; k++)
        for (int c = 0; c < C; c++) acc[c][k] += load<V>(terms[1] + k * W) * along[c];
    }
    const R* table = m.radial_by_k + int64_t(center * m.species + group.species) * m.kr * m.nr_pad;
    for (int c = 0; c < C; c++) {
      sum_lanes(acc[c], m.kr, w.moments);
      add_product(table, m.nr_pad, m.kr, w.moments, m.nr, w.t_q + c * q_stride);
    }
  }
}

// Derivatives of the angular sums along the pair field: w.t_sums[c] (without the sign).
template <int L, class Field, class R>
TNEP_FUNCTION void angular_tangent(const Model<R>& m, const Field& field, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, K = kComponents<L>;
  const int N = row_of_n(m);
  set_zero(w.t_sums, Field::components * K * N);
  for (int b = 0; b < w.n_blocks; b++) {
    const V u[3] = {load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W)};
    const V d = load<V>(w.ar + b * W), inverse = load<V>(w.a_inverse_r + b * W);
    const V r[3] = {u[0] * d, u[1] * d, u[2] * d};
    const int size = block_size(w, b);
    for (int c = 0; c < Field::components; c++) {
      V v[3], change[K];
      field.pair(c, r, d * d, v);
      const V along = u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
      for (int a = 0; a < 3; a++) v[a] = (v[a] - along * u[a]) * inverse;
      harmonics_along<L>(u[0], u[1], u[2], v, change);
      R radial[K * W], tangential[K * W];
      for (int s = 0; s < K; s++) {
        store<V>(radial + s * W, along * load<V>(w.harmonics + (b * K + s) * W));
        store<V>(tangential + s * W, change[s]);
      }
      R* sums = w.t_sums + c * K * N;
      add_all_sums<L>(radial, w.g[1] + b * W * N, size, N, sums);
      add_all_sums<L>(tangential, w.g[0] + b * W * N, size, N, sums);
    }
  }
}

// Dual numbers of the angular sums and their derivative along component c.
template <int K, class R>
TNEP_HD void load_dual_sums(const R* sums, const R* t_sums, int N, int n, Dual<ShortVec<R>>* a) {
  using S = ShortVec<R>;
  TNEP_UNROLL(80)
  for (int s = 0; s < K; s++) a[s] = {load<S>(sums + s * N + n), load<S>(t_sums + s * N + n)};
}

// The rest of w.t_q: derivatives of the invariants.
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

// G for the angular sums, from dU/dq (w.d_q) and its derivative along the component (t_d_q).
template <int L, class R>
TNEP_FUNCTION void sums_tangent_backward(const Model<R>& m, const R* t_sums, const R* t_d_q, R* t_d_sums,
                                         Workspace<R>& w) {
  using S = ShortVec<R>;
  constexpr int K = kComponents<L>;
  const int N = row_of_n(m);
  for (int n = 0; n < N; n += kShortLanes<R>) {
    Dual<S> a[K], d[K];
    load_dual_sums<K>(w.sums, t_sums, N, n, a);
    invariants_backward<L>(a, m.extra, [&](int block) TNEP_LAMBDA {
      const int at = m.nr + block * m.na + n;
      return Dual<S>{load<S>(w.d_q + at), load<S>(t_d_q + at)};
    }, d);
    TNEP_UNROLL(80)
    for (int s = 0; s < K; s++) store<S>(t_d_sums + s * N + n, d[s].d);
  }
}

// t_d_q = d(dU/dq) along t_q: delta = w1 (1 - t^2), d delta = -2 t delta (w0 t_q).
template <class R>
TNEP_FUNCTION void network_tangent(const Model<R>& m, const Net<R>& net, const R* t_q, const R* hidden, const R* delta,
                             R* scratch, R* t_d_q) {
  using V = Vec<R>;
  product(net.columns, m.neurons_pad, m.dim, t_q, m.neurons, scratch);
  for (int i = 0; i < m.neurons; i += kLanes<R>)
    store<V>(scratch + i, R(-2) * load<V>(hidden + i) * load<V>(delta + i) * load<V>(scratch + i));
  network_gradient(m, net, scratch, t_d_q);
}

// Radial part of the gradients of all slots (set).
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
      V first[C][3], out[C][3], hess[6], gradient[3];
      for (int c = 0; c < C; c++) {
        const V slope = f1 * p[c] + f0 * x[1] * dp[c];
        for (int e = 0; e < 3; e++) first[c][e] = slope * u[e];
      }
      const V slope = f1 * p[C] + f0 * x[1] * dp[C];
      const V curvature = f2 * p[C] + R(2) * f1 * x[1] * dp[C] + f0 * (x[1] * x[1] * ddp + x[2] * dp[C]);
      radial_derivatives(u, inverse, slope, curvature, gradient, hess);
      assemble(field, r, r1 * r1, hess, gradient, first, out);
      for (int c = 0; c < C; c++)
        for (int e = 0; e < 3; e++) store<V>(w.gradients + (3 * c + e) * w.slot_stride + s, out[c][e]);
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

// Angular part of the gradients (added).
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

// Atoms: minus the sum of w.gradients (the pair field carries a minus) for neighbours, plus for the centre.  Virials, of
// one component only: r (x) force on the neighbour, the force being the gradient (that of minus the quantity as energy).
template <int Count, class R>
TNEP_FUNCTION void scatter_gradients(const Workspace<R>& w, int64_t atom, int stride, double* atoms, double* virials) {
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
      if (Count != 3 || !virials) continue;
      const double r[3] = {w.x[slot], w.y[slot], w.z[slot]};
      double* virial = virials + 9 * int64_t(w.atom[slot]);
      for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) virial[3 * a + b] -= r[a] * double(w.gradients[b * w.slot_stride + slot]);
    }
  }
  for (int k = 0; k < Count; k++) atoms[stride * atom + k] += total[k];
}

template <int L, class Field, class R>
bool evaluate_response(const Model<R>& m, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                       Workspace<R>& w) {
  constexpr int C = Field::components, K = kComponents<L>;
  const int N = row_of_n(m), q_stride = int(m.dim_pad + kPad);
  const int stride = C == 1 ? 4 : 3 * C;
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
      if constexpr (Field::scalar_network) {  // the sign is that of the pair field
        const R weight = field.scalar_weight(k);
        for (int d = 0; d < m.dim; d++) t_d_q[d] -= weight * w.scalar_d_q[d];
      }
      sums_tangent_backward<L>(m, t_sums, t_d_q, w.t_d_sums + k * K * N, w);
    }
    radial_response(m, center, field, q_stride, w);
    angular_response<L>(m, field, w);
    scatter_gradients<3 * C>(w, e.centers[c], stride, out.atoms, out.virials);
  }
  return true;
}

TNEP_END
