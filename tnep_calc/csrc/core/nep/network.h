// One hidden layer of tanh neurons: U(q) = sum_m w1_m tanh(sum_d w0_md q_d - b0_m) - bias.
// Fan et al., J. Chem. Phys. 157, 114801 (2022), eq. 2.
#pragma once

#include "core/common/elementary.h"
#include "core/nep/workspace.h"

TNEP_BEGIN

// out[c] = sum_r weight[r] rows[r][c] for C vectors of columns.  U partial sums hide the latency of additions.
template <int C, int U, class R>
TNEP_HD void product_columns(const R* rows, int stride, int n_rows, const R* weight, R* out) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  V acc[U][C];
  TNEP_UNROLL(8)
  for (int u = 0; u < U; u++) TNEP_UNROLL(8)
  for (int i = 0; i < C; i++) acc[u][i] = fill<V>(R(0));
  int r = 0;
  for (; r + U <= n_rows; r += U) TNEP_UNROLL(8)
  for (int u = 0; u < U; u++) TNEP_UNROLL(8)
  for (int i = 0; i < C; i++) acc[u][i] += load<V>(rows + (r + u) * stride + i * W) * weight[r + u];
  for (; r < n_rows; r++) TNEP_UNROLL(8)
  for (int i = 0; i < C; i++) acc[0][i] += load<V>(rows + r * stride + i * W) * weight[r];
  TNEP_UNROLL(8)
  for (int i = 0; i < C; i++) {
    V total = acc[0][i];
    TNEP_UNROLL(8)
    for (int u = 1; u < U; u++) total += acc[u][i];
    store<V>(out + i * W, total);
  }
}

// The same for `vectors` (at most C) vectors of columns.
template <int C, class R>
TNEP_HD void product_chunk(int vectors, const R* rows, int stride, int n_rows, const R* weight, R* out) {
  if constexpr (C > 0) {
    if (vectors == C) product_columns<C, (C > 4 ? 1 : C > 2 ? 2 : C > 1 ? 4 : 8)>(rows, stride, n_rows, weight, out);
    else product_chunk<C - 1>(vectors, rows, stride, n_rows, weight, out);
  }
}

// out[c] = sum_r weight[r] rows[r][c]; whole vectors of columns are written.
template <class R>
TNEP_FUNCTION void product(const R* rows, int stride, int n_rows, const R* weight, int columns, R* out) {
  constexpr int W = kLanes<R>;
  for (int left = (columns + W - 1) / W; left > 0;) {
    const int vectors = left <= 8 ? left : left >= 16 ? 8 : (left + 1) / 2;
    product_chunk<8>(vectors, rows, stride, n_rows, weight, out);
    rows += vectors * W;
    out += vectors * W;
    left -= vectors;
  }
}

template <class R>
struct Net {
  const R *columns, *rows, *b0, *w1;
  R bias;
};

template <class R>
TNEP_HD Net<R> find_net(const Model<R>& m, int network, int species) {
  const R* p = m.nets_begin + (network * m.nets + (m.nets > 1 ? species : 0)) * m.net_stride;
  Net<R> net;
  net.columns = p;
  net.rows = net.columns + int64_t(m.dim) * m.neurons_pad;
  net.b0 = net.rows + int64_t(m.neurons) * m.dim_pad;
  net.w1 = net.b0 + m.neurons_pad;
  net.bias = m.bias[network * m.species + species];
  return net;
}

// Return U(q); also set hidden[m] = tanh(...) and delta[m] = w1 (1 - tanh(...)^2).
template <class R>
TNEP_FUNCTION R network_value(const Model<R>& m, const Net<R>& net, const R* q, R* hidden, R* delta) {
  using V = Vec<R>;
  product(net.columns, m.neurons_pad, m.dim, q, m.neurons, hidden);
  V total = fill<V>(R(0));
  for (int i = 0; i < m.neurons; i += kLanes<R>) {
    const V t = hyperbolic_tangent(load<V>(hidden + i) - load<V>(net.b0 + i));
    const V w1 = load<V>(net.w1 + i);
    store<V>(hidden + i, t);
    store<V>(delta + i, w1 - w1 * t * t);
    total += w1 * t;
  }
  return sum(total) - net.bias;
}

// Compute dU/dq from delta.
template <class R>
TNEP_FUNCTION void network_gradient(const Model<R>& m, const Net<R>& net, const R* delta, R* d_q) {
  product(net.rows, m.dim_pad, m.neurons, delta, m.dim, d_q);
}

TNEP_END
