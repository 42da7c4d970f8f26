// The descriptor and its derivatives along the pair field of a response, see response.h.
#pragma once

#include "core/nep/evaluate.h"
#include "core/nep/pair_derivatives.h"

TNEP_BEGIN

// Add fc T_k, summed over N vectors of slots, to acc[k], and its changes along component c of the pair field to
// acc[(1 + c) count + k].
template <int N, class Field, class R>
TNEP_HD void add_moments_along(const Field& field, int slot, R inverse_cutoff, int count, const Workspace<R>& w,
                               Vec<R>* acc) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components;
  V x2[N], dx2[N], a[N], b[N], da[N], db[N], along[C][N];  // fc T_k-1 and fc T_k, and their derivatives
  TNEP_UNROLL(4)
  for (int i = 0; i < N; i++) {
    const int s = slot + i * W;
    const V r[3] = {load<V>(w.x + s), load<V>(w.y + s), load<V>(w.z + s)};
    const V d = load<V>(w.r + s), inverse = load<V>(w.inverse_r + s);
    V x[2];
    chebyshev_argument<1>(d * inverse_cutoff, inverse_cutoff, x);
    x2[i] = x[0] + x[0];
    dx2[i] = x[1] + x[1];
    b[i] = load<V>(w.f[0] + s);
    db[i] = load<V>(w.f[1] + s);
    a[i] = x[0] * b[i];  // T_-1 = T_1
    da[i] = x[1] * b[i] + x[0] * db[i];
    TNEP_UNROLL(6)
    for (int c = 0; c < C; c++) {
      V v[3];
      field.pair(c, r, d * d, v);
      along[c][i] = (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) * inverse;
    }
  }
  for (int k = 0; k < count; k++) {
    V sum = acc[k];
    TNEP_UNROLL(4)
    for (int i = 0; i < N; i++) sum += b[i];
    acc[k] = sum;
    TNEP_UNROLL(6)
    for (int c = 0; c < C; c++) {
      V change = acc[(1 + c) * count + k];
      TNEP_UNROLL(4)
      for (int i = 0; i < N; i++) change += along[c][i] * db[i];
      acc[(1 + c) * count + k] = change;
    }
    TNEP_UNROLL(4)
    for (int i = 0; i < N; i++) {
      const V next = x2[i] * b[i] - a[i], slope = x2[i] * db[i] + (dx2[i] * b[i] - da[i]);
      a[i] = b[i];
      da[i] = db[i];
      b[i] = next;
      db[i] = slope;
    }
  }
}

// Compute the radial descriptor, w.q[0..nr-1], and its derivatives along the pair field, w.t_q[c][0..nr-1] (without the
// sign).
template <class Field, class R>
TNEP_FUNCTION void radial_tangent(const Model<R>& m, int center, const Field& field, int q_stride, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, C = Field::components, most = C == 1 ? 4 : 2;
  set_zero(w.q, m.nr_pad);
  for (int c = 0; c < C; c++) set_zero(w.t_q + c * q_stride, m.nr_pad);
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    const int rows = (1 + C) * m.kr;
    V acc[(1 + C) * kMaxBasis];
    R sums[(1 + C) * kMaxBasis + kPad];
    for (int k = 0; k < rows; k++) acc[k] = fill<V>(R(0));
    const auto add = [&](auto size_, int b) TNEP_LAMBDA {
      add_moments_along<decltype(size_)::value>(field, group.begin + b * W, inverse_cutoff, m.kr, w, acc);
    };
    int b = 0;
    for (; b + most <= group.vectors; b += most) add(Int<most>{}, b);
    if constexpr (most > 2)
      for (; b + 2 <= group.vectors; b += 2) add(Int<2>{}, b);
    for (; b < group.vectors; b++) add(Int<1>{}, b);
    sum_lanes(acc, rows, sums);
    const R* table = m.radial_by_k + int64_t(center * m.species + group.species) * m.kr * m.nr_pad;
    add_product(table, m.nr_pad, m.kr, sums, m.nr, w.q);
    for (int c = 0; c < C; c++) add_product(table, m.nr_pad, m.kr, sums + (1 + c) * m.kr, m.nr, w.t_q + c * q_stride);
  }
}

// Compute C components of the derivatives of the angular sums, for one vector S of n:
//   t_sums[i][n] = sum_j g[j][n] change[i][j] + along[j] slopes[j][n] z[i][j],
// and, if Sums, of the angular sums themselves in the same pass: sums[i][n] = sum_j g[j][n] z[i][j].
template <class S, int C, bool Sums, class R>
TNEP_FUNCTION void add_sums_along(const R* z, const R* change, int64_t block_stride, const R* along, const R* g,
                                  const R* slopes, int count, int N, R* sums, R* t_sums) {
  constexpr int W = kLanes<R>;
  S acc[C], t_acc[C];
  TNEP_UNROLL(12)
  for (int i = 0; i < C; i++) {
    if constexpr (Sums) acc[i] = fill<S>(R(0));
    t_acc[i] = fill<S>(R(0));
  }
  for (int first = 0; first < count; first += W, z += block_stride, change += block_stride) {
    const int size = count - first < W ? count - first : W;
    for (int lane = 0; lane < size; lane++) {
      const int64_t at = int64_t(first + lane) * N;
      const S row = load<S>(g + at), slope = load<S>(slopes + at) * along[first + lane];
      TNEP_UNROLL(12)
      for (int i = 0; i < C; i++) {
        const S value = fill<S>(z[i * W + lane]);
        if constexpr (Sums) acc[i] += row * value;
        t_acc[i] += slope * value;
        t_acc[i] += row * change[i * W + lane];
      }
    }
  }
  TNEP_UNROLL(12)
  for (int i = 0; i < C; i++) {
    if constexpr (Sums) store<S>(sums + i * N, acc[i]);
    store<S>(t_sums + i * N, t_acc[i]);
  }
}

// The same for all components and n.
template <int L, bool Sums, class R>
TNEP_HD void add_all_sums_along(int N, Workspace<R>& w, R* t_sums) {
  constexpr int K = kComponents<L>, W = kLanes<R>, C = kManyRegisters ? 12 : 6, rest = K % C;
  const auto part = [&](auto v, auto size_, int s, int n) TNEP_LAMBDA {
    add_sums_along<decltype(v), decltype(size_)::value, Sums>(w.harmonics + s * W, w.t_harmonics + s * W, K * W,
                                                              w.along, w.g[0] + n, w.g[1] + n, w.n_angular, N,
                                                              w.sums + s * N + n, t_sums + s * N + n);
  };
  for_each_row_vector<R>(N, [&](auto v, int n) TNEP_LAMBDA {
    for (int s = 0; s + C <= K; s += C) part(v, Int<C>{}, s, n);
    if constexpr (rest > 0) part(v, Int<rest>{}, K - rest, n);
  });
}

// Compute the angular sums and their derivatives along the pair field: w.t_sums[c] (without the sign).
template <int L, class Field, class R>
TNEP_FUNCTION void angular_tangent(const Model<R>& m, const Field& field, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, K = kComponents<L>;
  const int N = row_of_n(m);
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
      store<V>(w.along + b * W, along);
      TNEP_UNROLL(80)
      for (int s = 0; s < K; s++) store<V>(w.t_harmonics + (b * K + s) * W, change[s]);
    }
    if (c == 0) add_all_sums_along<L, true>(N, w, w.t_sums);
    else add_all_sums_along<L, false>(N, w, w.t_sums + c * K * N);
  }
}

// Load the angular sums and their derivatives along a component of the field as dual numbers.
template <int K, class R>
TNEP_HD void load_dual_sums(const R* sums, const R* t_sums, int N, int n, Dual<ShortVec<R>>* a) {
  using S = ShortVec<R>;
  TNEP_UNROLL(80)
  for (int s = 0; s < K; s++) a[s] = {load<S>(sums + s * N + n), load<S>(t_sums + s * N + n)};
}

// Compute the angular part of the descriptor and of t_q, the derivatives of the invariants.
template <int L, class R>
TNEP_FUNCTION void invariants_tangent(const Model<R>& m, const R* t_sums, R* t_q, Workspace<R>& w) {
  using S = ShortVec<R>;
  const int N = row_of_n(m);
  for (int n = 0; n < N; n += kShortLanes<R>) {
    Dual<S> a[kComponents<L>];
    load_dual_sums<kComponents<L>>(w.sums, t_sums, N, n, a);
    invariants<L>(a, m.extra, [&](int block, Dual<S> q) TNEP_LAMBDA {
      const int at = m.nr + block * m.na + n;
      store_invariant(w.q + at, q.v, m.na, n);
      store_invariant(t_q + at, q.d, m.na, n);
    });
  }
}

TNEP_END
