// Products of coefficients with moments, and changes of site values along displacement fields.  The vector lanes hold
// centres.  N radial functions and K basis functions are processed together, so that each loaded value is used several
// times.
#pragma once

#include "core/common/simd.h"
#include "core/training/api.h"

TNEP_BEGIN

constexpr int kMostN = 8;  // largest N whose sums fit in registers

// Load the first `count` lanes, and prefetch the memory `ahead` numbers later: there are more streams than hardware
// prefetchers follow.
template <class V>
TNEP_HD V load_ahead(const real_of<V>* p, int count, int64_t ahead) {
  __builtin_prefetch(p + ahead);
  return load_some<V>(p, count);
}

// Call f(i, lanes) for every vector of centres; only the last one may have fewer lanes than a vector.
template <class R, class F>
TNEP_HD void over_centres(int64_t begin, int64_t end, F&& f) {
  constexpr int W = kLanes<R>;
  int64_t i = begin;
  for (; i + W <= end; i += W) f(i, W);
  if (i < end) f(i, int(end - i));
}

// The functions below are for one model, N rows of coefficients c[n][k] and basis functions k to k + K - 1.
template <int N, int K, class R, class V>
TNEP_HD void fill_factors(const MomentProblem<R>& p, int k, const R* c, V (&factor)[K][N]) {
  TNEP_UNROLL(2)
  for (int j = 0; j < K; j++) TNEP_UNROLL(8)
  for (int n = 0; n < N; n++) factor[j][n] = fill<V>(c[n * p.k + k + j]);
}

template <int N, int K, class R, class V>
TNEP_HD void add_totals(const MomentProblem<R>& p, int k, const V (&total)[K][N], R* to_c) {
  for (int j = 0; j < K; j++)
    for (int n = 0; n < N; n++) to_c[n * p.k + k + j] += sum(total[j][n]);
}

template <int N, int K, class R>
void project_of(const MomentProblem<R>& p, int k, int64_t begin, int64_t end, const R* c, R* out) {
  using V = Vec<R>;
  V factor[K][N];
  fill_factors(p, k, c, factor);
  for (int s = 0; s < p.s; s++) {
    const R* moments = p.moments + (int64_t(k) * p.s + s) * p.centres;
    over_centres<R>(begin, end, [&](int64_t i, int count) TNEP_LAMBDA {
      V m[K];
      TNEP_UNROLL(2)
      for (int j = 0; j < K; j++) m[j] = load_ahead<V>(moments + j * p.s * p.centres + i, count, 2 * p.centres);
      TNEP_UNROLL(8)
      for (int n = 0; n < N; n++) {
        R* to = out + (int64_t(n) * p.s + s) * p.stride + i;
        V total = load_some<V>(to, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++) total += factor[j][n] * m[j];
        store_some<V>(to, total, count);
      }
    });
  }
}

template <int N, int K, class R>
void project_backward_of(const MomentProblem<R>& p, int k, int64_t begin, int64_t end, const R* g, R* to_c) {
  using V = Vec<R>;
  V total[K][N] = {};
  for (int s = 0; s < p.s; s++) {
    const R* moments = p.moments + (int64_t(k) * p.s + s) * p.centres;
    over_centres<R>(begin, end, [&](int64_t i, int count) TNEP_LAMBDA {
      V m[K];
      TNEP_UNROLL(2)
      for (int j = 0; j < K; j++) m[j] = load_ahead<V>(moments + j * p.s * p.centres + i, count, 2 * p.centres);
      TNEP_UNROLL(8)
      for (int n = 0; n < N; n++) {
        const V own = load_some<V>(g + (int64_t(n) * p.s + s) * p.stride + i, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++) total[j][n] += own * m[j];
      }
    });
  }
  add_totals(p, k, total, to_c);
}

template <int N, int K, class R>
void along_of(const MomentProblem<R>& p, int k, int64_t begin, int64_t end, const R* c, const R* h, R* out) {
  using V = Vec<R>;
  V factor[K][N];
  fill_factors(p, k, c, factor);
  const int64_t field = p.s * p.centres;
  for (int s = 0; s < p.s; s++) {
    const R* moments = p.moments + k * p.components * field + s * p.centres;
    over_centres<R>(begin, end, [&](int64_t i, int count) TNEP_LAMBDA {
      V weight[K] = {};
      TNEP_UNROLL(8)
      for (int n = 0; n < N; n++) {
        const V own = load_some<V>(h + (int64_t(n) * p.s + s) * p.stride + i, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++) weight[j] += factor[j][n] * own;
      }
      for (int a = 0; a < p.components; a++) {
        R* to = out + a * p.stride + i;
        V total = load_some<V>(to, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++)
          total += weight[j] * load_ahead<V>(moments + (j * p.components + a) * field + i, count, 2 * p.centres);
        store_some<V>(to, total, count);
      }
    });
  }
}

template <int N, int K, class R>
void along_backward_of(const MomentProblem<R>& p, int k, int64_t begin, int64_t end, const R* c, const R* h, const R* g,
                       R* by_h, R* to_c) {
  using V = Vec<R>;
  V factor[K][N], total[K][N] = {};
  fill_factors(p, k, c, factor);
  const int64_t field = p.s * p.centres;
  for (int s = 0; s < p.s; s++) {
    const R* moments = p.moments + k * p.components * field + s * p.centres;
    over_centres<R>(begin, end, [&](int64_t i, int count) TNEP_LAMBDA {
      V change[K] = {};
      for (int a = 0; a < p.components; a++) {
        const V own = load_some<V>(g + a * p.stride + i, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++)
          change[j] += own * load_ahead<V>(moments + (j * p.components + a) * field + i, count, 2 * p.centres);
      }
      TNEP_UNROLL(8)
      for (int n = 0; n < N; n++) {
        const int64_t at = (int64_t(n) * p.s + s) * p.stride + i;
        const V own = load_some<V>(h + at, count);
        V to = load_some<V>(by_h + at, count);
        TNEP_UNROLL(2)
        for (int j = 0; j < K; j++) {
          total[j][n] += own * change[j];
          to += factor[j][n] * change[j];
        }
        store_some<V>(by_h + at, to, count);
      }
    });
  }
  add_totals(p, k, total, to_c);
}

template <int N, class F>
TNEP_HD void with_functions(int count, F&& f) {
  if constexpr (N > 0) {
    if (count == N) f(Int<N>{});
    else with_functions<N - 1>(count, f);
  }
}

// Call f(Int<N>{}, Int<K>{}, model, first, k) for all models, radial functions from `first` and basis functions from k.
template <class R, class F>
TNEP_HD void over_functions(const MomentProblem<R>& p, F&& f) {
  for (int model = 0; model < p.models; model++)
    for (int first = 0; first < p.n; first += kMostN)
      with_functions<kMostN>(p.n - first < kMostN ? p.n - first : kMostN, [&](auto N) TNEP_LAMBDA {
        int k = 0;
        for (; k + 2 <= p.k; k += 2) f(N, Int<2>{}, model, first, k);
        if (k < p.k) f(N, Int<1>{}, model, first, k);
      });
}

template <class R>
void project(const MomentProblem<R>& p, int64_t begin, int64_t end, R* out) {
  over_functions(p, [&](auto N, auto K, int64_t model, int first, int k) TNEP_LAMBDA {
    project_of<decltype(N)::value, decltype(K)::value>(p, k, begin, end,
                                                       p.coefficients + model * p.c_stride + first * p.k,
                                                       out + (model * p.n + first) * p.s * p.stride);
  });
}

template <class R>
void project_backward(const MomentProblem<R>& p, int64_t begin, int64_t end, const R* g, R* coefficients) {
  over_functions(p, [&](auto N, auto K, int64_t model, int first, int k) TNEP_LAMBDA {
    project_backward_of<decltype(N)::value, decltype(K)::value>(
        p, k, begin, end, g + (model * p.n + first) * p.s * p.stride, coefficients + model * p.c_stride + first * p.k);
  });
}

template <class R>
void along(const MomentProblem<R>& p, int64_t begin, int64_t end, const R* h, R* out) {
  over_functions(p, [&](auto N, auto K, int64_t model, int first, int k) TNEP_LAMBDA {
    along_of<decltype(N)::value, decltype(K)::value>(
        p, k, begin, end, p.coefficients + model * p.c_stride + first * p.k, h + (model * p.n + first) * p.s * p.stride,
        out + model * p.components * p.stride);
  });
}

template <class R>
void along_backward(const MomentProblem<R>& p, int64_t begin, int64_t end, const R* h, const R* g, R* by_h,
                    R* coefficients) {
  over_functions(p, [&](auto N, auto K, int64_t model, int first, int k) TNEP_LAMBDA {
    const int64_t at = (model * p.n + first) * p.s * p.stride, c = model * p.c_stride + first * p.k;
    along_backward_of<decltype(N)::value, decltype(K)::value>(
        p, k, begin, end, p.coefficients + c, h + at, g + model * p.components * p.stride, by_h + at, coefficients + c);
  });
}

TNEP_END
