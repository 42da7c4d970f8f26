// Angular sums of one centre, A_sn = sum_j g_n(r_j) Z_s(u_j), and the gradients from dU/dA.
// Where the work is per neighbour, the vector lanes hold blocks of neighbours.  Where neighbours are summed or
// invariants are formed, the lanes hold basis functions n, so nothing is summed across lanes.
#pragma once

#include "core/nep/invariants.h"
#include "core/nep/pair_derivatives.h"
#include "core/nep/radial_kernel.h"

TNEP_BEGIN

#if defined(__AVX512F__)
constexpr bool kManyRegisters = true;  // 32 vector registers, otherwise 16
#else
constexpr bool kManyRegisters = false;
#endif

// Row length of arrays whose rows hold basis functions n.
template <class R>
TNEP_HD int row_of_n(const Model<R>& m) {
  return int(round_up(m.na, kShortLanes<R>));
}

// Call f(v, n) for the vectors of a row of N functions, which begin at n; v is an empty vector of the type to use: the
// longest one that is full.
template <class R, class F>
TNEP_HD void for_each_row_vector(int N, F&& f) {
  int n = 0;
  if constexpr (kLanes<R> > kShortLanes<R>)
    for (; n + kLanes<R> <= N; n += kLanes<R>) f(Vec<R>{}, n);
  for (; n < N; n += kShortLanes<R>) f(ShortVec<R>{}, n);
}

// Number of neighbours in block b.
template <class R>
TNEP_HD int block_size(const Workspace<R>& w, int b) {
  const int left = w.n_angular - b * kLanes<R>;
  return left < kLanes<R> ? left : kLanes<R>;
}

// g[d][j + i][n] = sum_k table[k][n] terms[d][k][lane + i] for J neighbours i.
template <int J, int Order, class R, int Size>
TNEP_HD void radial_products(const R* table, int stride, int n_rows, const R (&terms)[Order + 1][Size], int lane, int N,
                             R* const* g, int j) {
  using S = ShortVec<R>;
  constexpr int W = kLanes<R>;
  for (int n = 0; n < N; n += kShortLanes<R>) {
    S acc[Order + 1][J];
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
    for (int i = 0; i < J; i++) acc[d][i] = fill<S>(R(0));
    for (int k = 0; k < n_rows; k++) {
      const S row = load<S>(table + k * stride + n);
      TNEP_UNROLL(3)
      for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
      for (int i = 0; i < J; i++) acc[d][i] += row * terms[d][k * W + lane + i];
    }
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
    for (int i = 0; i < J; i++) store<S>(g[d] + (j + i) * N + n, acc[d][i]);
  }
}

// The same for all neighbours of block b: lanes[d][n][lane].  They are of one species, or of two if Two: `first`
// selects the lanes of `table`, and the others are of `second`.
template <int Order, bool Two, class R, class Mask, int Size>
TNEP_HD void radial_lanes(const R* table, const R* second, Mask first, int stride, int n_rows,
                          const R (&terms)[Order + 1][Size], int N, R* const* lanes) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const auto some = [&](auto size_, int n) TNEP_LAMBDA {
    constexpr int size = decltype(size_)::value;
    V acc[Order + 1][size];
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
    for (int i = 0; i < size; i++) acc[d][i] = fill<V>(R(0));
    for (int k = 0; k < n_rows; k++) {
      V term[Order + 1];
      TNEP_UNROLL(3)
      for (int d = 0; d <= Order; d++) term[d] = load<V>(terms[d] + k * W);
      TNEP_UNROLL(4)
      for (int i = 0; i < size; i++) {
        V weight = fill<V>(table[k * stride + n + i]);
        if constexpr (Two) weight = first ? weight : fill<V>(second[k * stride + n + i]);
        TNEP_UNROLL(3)
        for (int d = 0; d <= Order; d++) acc[d][i] += weight * term[d];
      }
    }
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
    for (int i = 0; i < size; i++) store<V>(lanes[d] + (n + i) * W, acc[d][i]);
  };
  int n = 0;
  for (; n + 4 <= N; n += 4) some(Int<4>{}, n);
  for (; n + 2 <= N; n += 2) some(Int<2>{}, n);  // N is even
}

// Compute g_n and its derivatives for the neighbours of block b: w.g (rows of n) and, if Lanes, w.g_lanes (rows of
// lanes).  With Lanes, w.g may lack the highest derivative.
template <int Order, bool Lanes, class R>
TNEP_FUNCTION void angular_functions(const Model<R>& m, int center, int b, Workspace<R>& w) {
  using V = Vec<R>;
  using S = ShortVec<R>;
  constexpr int W = kLanes<R>, WS = kShortLanes<R>;
  const int N = row_of_n(m);
  // Each lane has its own cutoff: work in t = r / rc, then rescale the derivatives.
  const V inverse = load<V>(w.a_inverse_cutoff + b * W);
  const V t = load<V>(w.ar + b * W) * inverse;
  V f[3], c[3];
  cutoff_function<Order>(t, R(1), f);
  chebyshev_argument<Order>(t, R(1), c);
  if constexpr (Order > 0) {
    f[1] *= inverse;
    c[1] *= inverse;
  }
  if constexpr (Order > 1) {
    f[2] *= inverse * inverse;
    c[2] *= inverse * inverse;
  }
  R terms[Order + 1][kMaxBasis * W];
  R* rows[3];
  for (int d = 0; d <= Order; d++) rows[d] = terms[d];
  chebyshev_terms<Order>(f, c, m.ka, rows, W);

  const int size = block_size(w, b);
  const int32_t* species = w.angular_species + b * W;
  const auto table_of = [&](int lane) TNEP_LAMBDA {
    return m.angular_by_k + int64_t(center * m.species + species[lane]) * m.ka * m.na_pad;
  };
  // The neighbours are sorted by species.  Terms of the lanes after the last neighbour are zero.
  int split = size;
  if (species[0] != species[size - 1])
    for (split = 1; species[split] == species[0];) split++;
  if (Lanes && (split == size || species[split] == species[size - 1])) {
    R* lanes[Order + 1];
    for (int d = 0; d <= Order; d++) lanes[d] = w.g_lanes[d] + b * N * W;
    R number[W];
    for (int i = 0; i < W; i++) number[i] = R(i);
    const auto first = load<V>(number) < R(split);
    if (split == size) radial_lanes<Order, false>(table_of(0), table_of(0), first, m.na_pad, m.ka, terms, N, lanes);
    else radial_lanes<Order, true>(table_of(0), table_of(split), first, m.na_pad, m.ka, terms, N, lanes);
    for (int d = 0; d < Order; d++)
      for (int part = 0; part < W; part += WS)
        for (int n = 0; n < N; n += WS) transpose<S>(lanes[d] + n * W + part, W, w.g[d] + (b * W + part) * N + n, N);
    return;
  }
  for (int lane = 0; lane < size;) {
    const R* table = table_of(lane);
    const bool four = lane + 4 <= size && species[lane] == species[lane + 3];
    if (four) radial_products<4, Order>(table, m.na_pad, m.ka, terms, lane, N, w.g, b * W + lane);
    else radial_products<1, Order>(table, m.na_pad, m.ka, terms, lane, N, w.g, b * W + lane);
    lane += four ? 4 : 1;
  }
  if constexpr (!Lanes) return;
  for (int d = 0; d <= Order; d++) {
    set_zero(w.g[d] + (b * W + size) * N, (W - size) * N);
    for (int part = 0; part < W; part += WS)
      for (int n = 0; n < N; n += WS)
        transpose<S>(w.g[d] + (b * W + part) * N + n, N, w.g_lanes[d] + (b * N + n) * W + part, W);
  }
}

// sums[i][n] += sum_j g[j][n] z[i][j] for C of the components and M vectors S of n; z is [block][components][lane].
template <class S, int C, int M, class R>
TNEP_FUNCTION void add_sums(const R* z, int64_t block_stride, const R* g, int count, int N, R* sums) {
  constexpr int W = kLanes<R>, WS = sizeof(S) / sizeof(R);
  S acc[C][M];
  TNEP_UNROLL(12)
  for (int i = 0; i < C; i++) TNEP_UNROLL(2)
  for (int k = 0; k < M; k++) acc[i][k] = load<S>(sums + i * N + k * WS);
  for (int first = 0; first < count; first += W, z += block_stride) {
    const int size = count - first < W ? count - first : W;
    for (int lane = 0; lane < size; lane++) {
      S row[M];
      TNEP_UNROLL(2)
      for (int k = 0; k < M; k++) row[k] = load<S>(g + (first + lane) * N + k * WS);
      TNEP_UNROLL(12)
      for (int i = 0; i < C; i++) TNEP_UNROLL(2)
      for (int k = 0; k < M; k++) acc[i][k] += row[k] * z[i * W + lane];
    }
  }
  TNEP_UNROLL(12)
  for (int i = 0; i < C; i++) TNEP_UNROLL(2)
  for (int k = 0; k < M; k++) store<S>(sums + i * N + k * WS, acc[i][k]);
}

// The same for all components of M vectors of n, C components at a time (sums and rows fill the registers).
template <class S, int L, int M, class R>
TNEP_HD void add_component_sums(const R* z, const R* g, int count, int N, R* sums) {
  constexpr int K = kComponents<L>, W = kLanes<R>, C = M == 2 ? 6 : kManyRegisters ? 12 : 8, rest = K % C;
  for (int s = 0; s + C <= K; s += C) add_sums<S, C, M>(z + s * W, K * W, g, count, N, sums + s * N);
  if constexpr (rest > 0) add_sums<S, rest, M>(z + (K - rest) * W, K * W, g, count, N, sums + (K - rest) * N);
}

// The same for all n.
template <int L, class R>
TNEP_HD void add_all_sums(const R* z, const R* g, int count, int N, R* sums) {
  constexpr int W = kLanes<R>, WS = kShortLanes<R>;
  int n = 0;
  if constexpr (W > WS)
    for (; n + W <= N; n += W) add_component_sums<Vec<R>, L, 1>(z, g + n, count, N, sums + n);
  else
    for (; n + 2 * WS <= N; n += 2 * WS) add_component_sums<ShortVec<R>, L, 2>(z, g + n, count, N, sums + n);
  if (n < N) add_component_sums<ShortVec<R>, L, 1>(z, g + n, count, N, sums + n);
}

// Store an invariant of the functions n, n + 1, ..., of which there are na.  The entries of the next invariant follow.
// A first vector is stored whole, as the next invariant overwrites the surplus.
template <class S, class R>
TNEP_HD void store_invariant(R* to, S q, int na, int n) {
  if (n == 0 || na - n >= int(sizeof(S) / sizeof(R))) return store<S>(to, q);
  for (int i = 0; i < na - n; i++) to[i] = q[i];
}

// Compute the angular part of the descriptor from the sums.
template <int L, class R>
TNEP_FUNCTION void angular_descriptor(const Model<R>& m, Workspace<R>& w) {
  constexpr int C = kComponents<L>;
  const int N = row_of_n(m);
  for_each_row_vector<R>(N, [&](auto v, int n) TNEP_LAMBDA {
    using S = decltype(v);
    S a[C];
    TNEP_UNROLL(80)
    for (int s = 0; s < C; s++) a[s] = load<S>(w.sums + s * N + n);
    invariants<L>(a, m.extra,
                  [&](int block, S q) TNEP_LAMBDA { store_invariant(w.q + m.nr + block * m.na + n, q, m.na, n); });
  });
}

// Compute the radial functions and harmonics of all blocks.
template <int L, int Order, bool Lanes, class R>
TNEP_FUNCTION void angular_factors(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int C = kComponents<L>, W = kLanes<R>;
  for (int b = 0; b < w.n_blocks; b++) {
    angular_functions<Order, Lanes>(m, center, b, w);
    V z[C];
    harmonics<L>(load<V>(w.ax + b * W), load<V>(w.ay + b * W), load<V>(w.az + b * W), z);
    TNEP_UNROLL(80)
    for (int s = 0; s < C; s++) store<V>(w.harmonics + (b * C + s) * W, z[s]);
  }
  w.watch.lap(kPartAngularFunctions);
}

// Compute radial functions, harmonics and angular sums.
template <int L, int Order, bool Lanes, class R>
TNEP_HD void angular_sums(const Model<R>& m, int center, Workspace<R>& w) {
  const int N = row_of_n(m);
  angular_factors<L, Order, Lanes>(m, center, w);
  set_zero(w.sums, kComponents<L> * N);
  add_all_sums<L>(w.harmonics, w.g[0], w.n_angular, N, w.sums);
  w.watch.lap(kPartAngularSums);
}

// Compute dU/dA (w.d_sums) from dU/dq (w.d_q).
template <int L, class R>
TNEP_FUNCTION void sums_backward(const Model<R>& m, Workspace<R>& w) {
  constexpr int C = kComponents<L>;
  const int N = row_of_n(m);
  for_each_row_vector<R>(N, [&](auto v, int n) TNEP_LAMBDA {
    using S = decltype(v);
    S a[C], d[C];
    TNEP_UNROLL(80)
    for (int s = 0; s < C; s++) a[s] = load<S>(w.sums + s * N + n);
    invariants_backward<L>(
        a, m.extra, [&](int block) TNEP_LAMBDA { return load<S>(w.d_q + m.nr + block * m.na + n); }, d);
    TNEP_UNROLL(80)
    for (int s = 0; s < C; s++) store<S>(w.d_sums + s * N + n, d[s]);
  });
}

// Set h[d][s] = sum_n coefficients[s][n] d^d g_n / dr^d for d < Order and the neighbours of block b; return the sum
// over s of Z_s times the same for d = Order.
template <int L, int Order, class R>
TNEP_HD Vec<R> expand(const Model<R>& m, const R* coefficients, int b, const Workspace<R>& w,
                      Vec<R> (*h)[kComponents<L>]) {
  using V = Vec<R>;
  constexpr int K = kComponents<L>, W = kLanes<R>;
  const int N = row_of_n(m);
  const R *from = coefficients, *z = w.harmonics + b * K * W;
  V sum[2] = {};
  const auto chunk = [&](auto size_, int s) TNEP_LAMBDA {
    constexpr int size = decltype(size_)::value;
    V acc[Order + 1][size];
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) TNEP_UNROLL(4)
    for (int i = 0; i < size; i++) acc[d][i] = fill<V>(R(0));
    for (int n = 0; n < m.na; n++) {
      V g[Order + 1];
      TNEP_UNROLL(3)
      for (int d = 0; d <= Order; d++) g[d] = load<V>(w.g_lanes[d] + (b * N + n) * W);
      TNEP_UNROLL(4)
      for (int i = 0; i < size; i++) {
        const V c = fill<V>(from[(s + i) * N + n]);
        TNEP_UNROLL(3)
        for (int d = 0; d <= Order; d++) acc[d][i] += c * g[d];
      }
    }
    TNEP_UNROLL(4)
    for (int i = 0; i < size; i++) {
      TNEP_UNROLL(2)
      for (int d = 0; d < Order; d++) h[d][s + i] = acc[d][i];
      sum[i % 2] += acc[Order][i] * load<V>(z + (s + i) * W);
    }
  };
  for (int s = 0; s + 4 <= K; s += 4) chunk(Int<4>{}, s);
  if constexpr (K % 4 > 0) chunk(Int<K % 4>{}, K / 4 * 4);
  return sum[0] + sum[1];
}

// Gradient with respect to r_j of sum_sn coefficients[s][n] g_n(r_j) Z_s(u_j) for block b.
template <int L, class R>
TNEP_FUNCTION void block_gradient(const Model<R>& m, const R* coefficients, int b, const Workspace<R>& w,
                                  Vec<R>* gradient) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const V x = load<V>(w.ax + b * W), y = load<V>(w.ay + b * W), z = load<V>(w.az + b * W);
  V h[1][kComponents<L>], tangential[4];
  const V radial = expand<L, 1>(m, coefficients, b, w, h);
  contract<L, 1>(x, y, z, h[0], tangential);
  angular_gradient(x, y, z, load<V>(w.a_inverse_r + b * W), tangential, radial, gradient);
}

// Add a vector for each angular neighbour of block b to the arrays over slots.
template <class R>
TNEP_FUNCTION void add_to_slots(const Vec<R>* value, int b, const Workspace<R>& w, R* const* to) {
  constexpr int W = kLanes<R>;
  R lanes[3][W];
  for (int i = 0; i < 3; i++) store<Vec<R>>(lanes[i], value[i]);
  const int size = block_size(w, b);
  for (int lane = 0; lane < size; lane++) {
    const int slot = w.angular_slot[b * W + lane];
    for (int i = 0; i < 3; i++) to[i][slot] += lanes[i][lane];
  }
}

// Add the angular part of dU/dr_j to w.partial.
template <int L, class R>
TNEP_FUNCTION void angular_backward(const Model<R>& m, Workspace<R>& w) {
  sums_backward<L>(m, w);
  w.watch.lap(kPartInvariants);
  for (int b = 0; b < w.n_blocks; b++) {
    Vec<R> gradient[3];
    block_gradient<L>(m, w.d_sums, b, w, gradient);
    add_to_slots(gradient, b, w, w.partial);
  }
}

TNEP_END
