// Radial descriptor of one centre.  q_n = sum_j g_n(r_j) is linear in the moments
// M_tk = sum_{j of species t} fc(r_j) T_k(x_j).  The loops over neighbours therefore need only one recursion step per
// k, and the expansion coefficients are applied once per centre and species.
#pragma once

#include "core/nep/slots.h"

TNEP_BEGIN

constexpr int kUnroll = 4;  // vectors of neighbours processed together to hide latencies

// Add the sums over N vectors of slots to acc[k].
template <int N, class R>
TNEP_HD void add_moments(const R* f, const R* cheb, int count, Vec<R>* acc) {
  using V = Vec<R>;
  V x2[N], a[N], b[N];
  V s0 = fill<V>(R(0)), s1 = s0;
  TNEP_UNROLL(4)
  for (int i = 0; i < N; i++) {
    const V x = load<V>(cheb + i * kLanes<R>);
    a[i] = load<V>(f + i * kLanes<R>);
    b[i] = x * a[i];
    x2[i] = x + x;
    s0 += a[i];
    s1 += b[i];
  }
  acc[0] += s0;
  acc[1] += s1;
  for (int k = 2; k < count; k++) {
    V s[N];
    TNEP_UNROLL(4)
    for (int i = 0; i < N; i++) {
      const V c = x2[i] * b[i] - a[i];
      a[i] = b[i];
      b[i] = s[i] = c;
    }
    if constexpr (N == 4) acc[k] += (s[0] + s[1]) + (s[2] + s[3]);
    else if constexpr (N == 2) acc[k] += s[0] + s[1];
    else acc[k] += s[0];
  }
}

// Set out[k] to the sum of the lanes of acc[k] for `count` vectors (whole short vectors are written).
template <class R>
TNEP_FUNCTION void sum_lanes(const Vec<R>* acc, int count, R* out) {
  using V = Vec<R>;
  using S = ShortVec<R>;
  constexpr int W = kLanes<R>, WS = kShortLanes<R>;
  for (int k = 0; k < count; k += WS) {
    R rows[WS * WS], columns[WS * WS];
    for (int i = 0; i < WS; i++) {
      S half[W / WS];
      const V v = k + i < count ? acc[k + i] : fill<V>(R(0));
      __builtin_memcpy(half, &v, sizeof v);
      store<S>(rows + i * WS, W == WS ? half[0] : half[0] + half[W / WS - 1]);
    }
    transpose<S>(rows, WS, columns, WS);
    S total = load<S>(columns);
    for (int i = 1; i < WS; i++) total += load<S>(columns + i * WS);
    store<S>(out + k, total);
  }
}

// out[n] += sum_k rows[k][n] * weight[k] for n = 0..columns-1 (whole short vectors).
template <class R>
TNEP_HD void add_product(const R* rows, int stride, int n_rows, const R* weight, int columns, R* out) {
  using S = ShortVec<R>;
  for (int n = 0; n < columns; n += kShortLanes<R>) {
    S total = load<S>(out + n);
    for (int k = 0; k < n_rows; k++) total += load<S>(rows + k * stride + n) * weight[k];
    store<S>(out + n, total);
  }
}

template <class R>
TNEP_HD void set_zero(R* p, int64_t count) {
  for (int64_t i = 0; i < count; i++) p[i] = R(0);
}

// Compute the radial part of the descriptor, w.q[0..nr-1] (whole vectors are written).
template <class R>
TNEP_FUNCTION void radial_forward(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  set_zero(w.q, m.nr_pad);
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    V acc[kMaxBasis];
    for (int k = 0; k < m.kr || k < 2; k++) acc[k] = fill<V>(R(0));
    int b = 0;
    const auto f = [&] { return w.f[0] + group.begin + b * W; };
    const auto x = [&] { return w.cheb + group.begin + b * W; };
    for (; b + 4 <= group.vectors; b += 4) add_moments<4>(f(), x(), m.kr, acc);
    for (; b + 2 <= group.vectors; b += 2) add_moments<2>(f(), x(), m.kr, acc);
    for (; b < group.vectors; b++) add_moments<1>(f(), x(), m.kr, acc);
    sum_lanes(acc, m.kr, w.moments);
    const R* table = m.radial_by_k + int64_t(center * m.species + group.species) * m.kr * m.nr_pad;
    add_product(table, m.nr_pad, m.kr, w.moments, m.nr, w.q);
  }
}

// Call put(slot, dU/dr / r) for N vectors of slots, with the expansion a and its derivative d.
template <int N, class R, class Put>
TNEP_HD void radial_slopes(const R* a, const R* d, int count, R inverse_cutoff, int slot, const Workspace<R>& w,
                           Put&& put) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  V x2[N], before[N], now[N], p[N], dp[N];
  TNEP_UNROLL(4)
  for (int i = 0; i < N; i++) {
    const V x = load<V>(w.cheb + slot + i * W);
    x2[i] = x + x;
    before[i] = fill<V>(R(1));
    now[i] = x;
    p[i] = a[1] * x + a[0];
    dp[i] = d[1] * x + d[0];
  }
  for (int k = 2; k < count; k++) {
    const V ak = fill<V>(a[k]), dk = fill<V>(d[k]);
    TNEP_UNROLL(4)
    for (int i = 0; i < N; i++) {
      const V next = x2[i] * now[i] - before[i];
      before[i] = now[i];
      now[i] = next;
      p[i] += ak * next;
      dp[i] += dk * next;
    }
  }
  TNEP_UNROLL(4)
  for (int i = 0; i < N; i++) {
    const int s = slot + i * W;
    V c[2];
    chebyshev_argument<1>(load<V>(w.r + s) * inverse_cutoff, inverse_cutoff, c);
    const V slope = load<V>(w.f[1] + s) * p[i] + load<V>(w.f[0] + s) * c[1] * dp[i];
    put(s, slope * load<V>(w.inverse_r + s));
  }
}

// Compute the expansion a[k] = dU/d(fc T_k) of a group from dU/dq; a has at least two coefficients.
template <class R>
TNEP_FUNCTION void radial_expansion(const Model<R>& m, int center, int species, const R* d_q, R* a) {
  const R* table = m.radial_by_n + int64_t(center * m.species + species) * m.nr * m.kr_pad;
  set_zero(a, m.kr_pad);
  add_product(table, m.kr_pad, m.nr, d_q, m.kr, a);
}

// Call put(slot, dU/dr / r) for every vector of slots, from w.d_q.
template <class R, class Put>
TNEP_HD void for_each_slope(const Model<R>& m, int center, Workspace<R>& w, Put&& put) {
  constexpr int W = kLanes<R>;
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    R d[kMaxBasis];
    radial_expansion(m, center, group.species, w.d_q, w.expansion);
    const R* a = w.expansion;
    chebyshev_derivative(a, m.kr > 1 ? m.kr : 2, d);
    int b = 0;
    for (; b + 4 <= group.vectors; b += 4) radial_slopes<4>(a, d, m.kr, inverse_cutoff, group.begin + b * W, w, put);
    for (; b + 2 <= group.vectors; b += 2) radial_slopes<2>(a, d, m.kr, inverse_cutoff, group.begin + b * W, w, put);
    for (; b < group.vectors; b++) radial_slopes<1>(a, d, m.kr, inverse_cutoff, group.begin + b * W, w, put);
  }
}

// Set w.partial of every slot to the radial part of dU/dr_j.
template <class R>
TNEP_FUNCTION void radial_backward(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  for_each_slope(m, center, w, [&](int slot, V slope) TNEP_LAMBDA {
    store<V>(w.partial[0] + slot, slope * load<V>(w.x + slot));
    store<V>(w.partial[1] + slot, slope * load<V>(w.y + slot));
    store<V>(w.partial[2] + slot, slope * load<V>(w.z + slot));
  });
}

TNEP_END
