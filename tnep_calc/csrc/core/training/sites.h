// Descriptor, networks and their derivatives at given sums, and the reverse pass of all of them.  The vector lanes hold
// centres.  The gradients with respect to the sums are the derivative of the first reverse pass along a direction,
// computed with dual numbers.
#pragma once

#include "core/common/elementary.h"
#include "core/nep/invariants.h"
#include "core/training/api.h"

TNEP_BEGIN

// Scratch memory of one vector of centres.
template <class R>
struct SiteScratch {
  using V = Vec<R>;
  V *q, *dq, *slope, *d_slope;  // [dim]; q and dq are shifted and scaled
  V *hidden, *delta, *dz;       // [M]
  Dual<V>*sums, *pulled;        // [n_angular * S]: angular sums; [S]: derivatives with respect to the sums of one n
  V *w0[2], *b0[2], *w1[2];     // sums over centres of the gradients of the two networks
};

template <class R>
size_t assign_memory(const SiteProblem<R>& p, char* memory, SiteScratch<R>& w) {
  using V = Vec<R>;
  const int64_t s = int64_t(p.l_max + 1) * (p.l_max + 1) - 1, net = int64_t(p.neurons) * p.dim;
  V* at = reinterpret_cast<V*>(memory);
  V* const first = at;
  const auto take = [&](int64_t count) {
    V* block = at;
    at += count;
    return block;
  };
  w.q = take(p.dim);
  w.dq = take(p.dim);
  w.slope = take(p.dim);
  w.d_slope = take(p.dim);
  w.hidden = take(p.neurons);
  w.delta = take(p.neurons);
  w.dz = take(p.neurons);
  w.sums = reinterpret_cast<Dual<V>*>(take(2 * s * p.n_angular));
  w.pulled = reinterpret_cast<Dual<V>*>(take(2 * s));
  for (int i = 0; i < 2; i++) {
    w.w0[i] = take(net);
    w.b0[i] = take(p.neurons);
    w.w1[i] = take(p.neurons);
  }
  return size_t(at - first) * sizeof(V);
}

// out[r] = sum_c matrix[r * row + c * column] x[c] for r < rows.  Four rows are computed together to hide latency.
template <class R>
TNEP_FUNCTION void apply(const R* matrix, int row, int column, int rows, int columns, const Vec<R>* x, Vec<R>* out) {
  using V = Vec<R>;
  int r = 0;
  for (; r + 4 <= rows; r += 4) {
    const R* m = matrix + int64_t(r) * row;
    V a{}, b{}, c{}, d{};
    for (int i = 0; i < columns; i++, m += column) {
      a += x[i] * m[0];
      b += x[i] * m[row];
      c += x[i] * m[2 * row];
      d += x[i] * m[3 * row];
    }
    out[r] = a, out[r + 1] = b, out[r + 2] = c, out[r + 3] = d;
  }
  for (; r < rows; r++) {
    V a{};
    for (int i = 0; i < columns; i++) a += x[i] * matrix[int64_t(r) * row + int64_t(i) * column];
    out[r] = a;
  }
}

// Compute the neurons from the scaled descriptor: hidden = tanh(...), delta = w1 (1 - tanh(...)^2).
template <class R>
TNEP_HD void neurons(const SiteProblem<R>& p, const TrainedNet<R>& net, SiteScratch<R>& w) {
  apply(net.w0, p.dim, 1, p.neurons, p.dim, w.q, w.hidden);
  for (int m = 0; m < p.neurons; m++) {
    const Vec<R> t = hyperbolic_tangent(w.hidden[m] - net.b0[m]);
    w.hidden[m] = t;
    w.delta[m] = (R(1) - t * t) * net.w1[m];
  }
}

template <int L, class R>
void sites_l(const SiteProblem<R>& p, int64_t begin, int64_t end, R* value, R* radial, R* angular, SiteScratch<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, S = kComponents<L>;
  V* sums = reinterpret_cast<V*>(w.sums);
  V* pulled = reinterpret_cast<V*>(w.pulled);
  for (int64_t i = begin; i < end; i += W) {
    const int count = int(end - i < W ? end - i : W);
    for (int n = 0; n < p.n_radial; n++) w.q[n] = load_some<V>(p.radial + n * p.stride + i, count);
    for (int n = 0; n < p.n_angular; n++) {
      V* own = sums + n * S;
      for (int s = 0; s < S; s++) own[s] = load_some<V>(p.angular + (int64_t(n) * S + s) * p.stride + i, count);
      invariants<L>(own, p.extra, [&](int block, V q) TNEP_LAMBDA { w.q[p.n_radial + block * p.n_angular + n] = q; });
    }
    for (int d = 0; d < p.dim; d++) w.q[d] = (w.q[d] - p.shift[d]) * p.scale[d];
    neurons(p, p.value_net, w);
    V total{};
    for (int m = 0; m < p.neurons; m++) total += w.hidden[m] * p.value_net.w1[m];
    store_some<V>(value + i, total, count);
    if (p.value_net.w0 != p.derivative_net.w0) neurons(p, p.derivative_net, w);
    apply(p.derivative_net.w0, 1, p.dim, p.dim, p.neurons, w.delta, w.slope);
    for (int d = 0; d < p.dim; d++) w.slope[d] *= p.scale[d];
    for (int n = 0; n < p.n_radial; n++) store_some<V>(radial + n * p.stride + i, w.slope[n], count);
    for (int n = 0; n < p.n_angular; n++) {
      const auto weight = [&](int block) TNEP_LAMBDA { return w.slope[p.n_radial + block * p.n_angular + n]; };
      invariants_backward<L>(sums + n * S, p.extra, weight, pulled);
      for (int s = 0; s < S; s++) store_some<V>(angular + (int64_t(n) * S + s) * p.stride + i, pulled[s], count);
    }
  }
}

// Add to the gradients of the first layer: the gradient dz with respect to its inputs and, if Bent, delta times the
// change dq of the descriptor.
template <bool Bent, class R>
TNEP_FUNCTION void add_first_layer(const SiteProblem<R>& p, const SiteScratch<R>& w, Vec<R>* w0, Vec<R>* b0) {
  for (int m = 0; m < p.neurons; m++) {
    const Vec<R> dz = w.dz[m], delta = w.delta[m];
    Vec<R>* row = w0 + int64_t(m) * p.dim;
    for (int d = 0; d < p.dim; d++) {
      if constexpr (Bent) row[d] += dz * w.q[d] + delta * w.dq[d];
      else row[d] += dz * w.q[d];
    }
    b0[m] -= dz;
  }
}

template <int L, class R>
void sites_backward_l(const SiteProblem<R>& p, int64_t begin, int64_t end, const R* g_value, const R* g_radial,
                      const R* g_angular, R* radial, R* angular, SiteScratch<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, S = kComponents<L>;
  const bool one = p.value_net.w0 == p.derivative_net.w0;
  for (int64_t i = begin; i < end; i += W) {
    const int count = int(end - i < W ? end - i : W);
    for (int n = 0; n < p.n_radial; n++) {
      w.q[n] = load_some<V>(p.radial + n * p.stride + i, count);
      w.dq[n] = load_some<V>(g_radial + n * p.stride + i, count);
    }
    for (int n = 0; n < p.n_angular; n++) {
      Dual<V>* own = w.sums + n * S;
      for (int s = 0; s < S; s++) {
        const int64_t at = (int64_t(n) * S + s) * p.stride + i;
        own[s] = {load_some<V>(p.angular + at, count), load_some<V>(g_angular + at, count)};
      }
      invariants<L>(own, p.extra, [&](int block, Dual<V> q) TNEP_LAMBDA {
        const int d = p.n_radial + block * p.n_angular + n;
        w.q[d] = q.v;
        w.dq[d] = q.d;
      });
    }
    for (int d = 0; d < p.dim; d++) {
      w.q[d] = (w.q[d] - p.shift[d]) * p.scale[d];
      w.dq[d] *= p.scale[d];
    }
    const V g = g_value ? load_some<V>(g_value + i, count) : V{};
    neurons(p, p.derivative_net, w);
    apply(p.derivative_net.w0, p.dim, 1, p.neurons, p.dim, w.dq, w.dz);
    for (int m = 0; m < p.neurons; m++) {
      const V t = w.hidden[m], u = w.dz[m], rest = R(1) - t * t;
      w.w1[0][m] += rest * u;
      w.dz[m] = t * w.delta[m] * u * R(-2);
      if (g_value && one) {
        w.w1[0][m] += g * t;
        w.dz[m] += g * w.delta[m];
      }
    }
    add_first_layer<true>(p, w, w.w0[0], w.b0[0]);
    apply(p.derivative_net.w0, 1, p.dim, p.dim, p.neurons, w.delta, w.slope);
    apply(p.derivative_net.w0, 1, p.dim, p.dim, p.neurons, w.dz, w.d_slope);
    if (g_value && !one) {
      neurons(p, p.value_net, w);
      for (int m = 0; m < p.neurons; m++) {
        w.w1[1][m] += g * w.hidden[m];
        w.dz[m] = g * w.delta[m];
      }
      add_first_layer<false>(p, w, w.w0[1], w.b0[1]);
      apply(p.value_net.w0, 1, p.dim, p.dim, p.neurons, w.dz, w.dq);
      for (int d = 0; d < p.dim; d++) w.d_slope[d] += w.dq[d];
    }
    for (int d = 0; d < p.dim; d++) {
      w.slope[d] *= p.scale[d];
      w.d_slope[d] *= p.scale[d];
    }
    for (int n = 0; n < p.n_radial; n++) store_some<V>(radial + n * p.stride + i, w.d_slope[n], count);
    for (int n = 0; n < p.n_angular; n++) {
      const auto weight = [&](int block) TNEP_LAMBDA {
        const int d = p.n_radial + block * p.n_angular + n;
        return Dual<V>{w.slope[d], w.d_slope[d]};
      };
      invariants_backward<L>(w.sums + n * S, p.extra, weight, w.pulled);
      for (int s = 0; s < S; s++) store_some<V>(angular + (int64_t(n) * S + s) * p.stride + i, w.pulled[s].d, count);
    }
  }
}

// Add the sums over lanes to the array `to`.
template <class R>
void add_lanes(const Vec<R>* from, int64_t count, R* to) {
  for (int64_t i = 0; i < count; i++) to[i] += sum(from[i]);
}

TNEP_END
