// One centre of a NEP or TNEP model on one block of threads: descriptor, network, derivatives with respect to edges.
//
// Edges are processed in tiles.  Where functions of single edges are computed, each thread handles an edge of the tile.
// Where edges are summed, each thread handles one sum and adds in the order of the edges.  Results therefore do not
// depend on the scheduling of threads.
#pragma once

#include "core/common/zbl.h"
#include "core/cuda/edges.h"
#include "core/cuda/nep.h"
#include "core/nep/invariants.h"
#include "core/nep/network.h"
#include "core/nep/pair_derivatives.h"
#include "core/nep/radial.h"

TNEP_BEGIN

constexpr int kTile = 32;

// Scratch memory of a block.  kr2 = expansion_row(kr) is the length of a row of expansion coefficients, at least two.
template <class R>
struct Scratch {
  double* reduced;
  R *q, *d_q, *scalar_d_q;     // [dim]: descriptor, dU/dq, dV/dq of the scalar network
  R *hidden, *delta, *change;  // [neurons]
  R* moments;                  // [T][kr2]
  R *expansion, *slopes;       // [sets][T][kr2]: dU/d(fc T_k), and the expansion of the derivative with respect to x
  R* curvatures;               // [T][kr2]: the expansion of the second derivative
  R *sums, *d_sums;            // [K][na]: angular sums A, dU/dA
  R *t_q, *t_d_q;              // [components][dim]: derivatives along pair fields
  R* t_moments;                // [components][T][kr2]
  R *t_sums, *t_d_sums;        // [components][K][na]
  // Arrays of a tile.
  R* radial;                // [kTile][kr]
  R *terms[3], *g[3];       // [kTile][ka], [kTile][na]
  R *y, *y_change, *along;  // [kTile][K], [kTile][K], [kTile]
  int* species;             // [kTile]
};

TNEP_HD int expansion_row(int kr) { return kr > 1 ? kr : 2; }

// Lay out the arrays from `base` on; returns the number of bytes.  `components`: number of components of a response, or
// 0.
template <class R>
TNEP_HD size_t assign_memory(const Model<R>& m, int components, char* base, Scratch<R>& s) {
  size_t used = 0;
  const auto bytes = [&](size_t count) {
    char* at = base + used;
    used += (count + 15) / 16 * 16;
    return at;
  };
  const auto take = [&](int64_t count) { return reinterpret_cast<R*>(bytes(size_t(count) * sizeof(R))); };
  const int K = (m.l_max + 1) * (m.l_max + 1) - 1, rows = m.species * expansion_row(m.kr), sums = K * m.na;
  s.reduced = reinterpret_cast<double*>(bytes((kThreads / kWarp + 1) * sizeof(double)));
  s.q = take(m.dim);
  s.d_q = take(m.dim);
  s.hidden = take(m.neurons);
  s.delta = take(m.neurons);
  s.moments = take(rows);
  s.expansion = take((components + 1) * rows);
  s.slopes = take((components + 1) * rows);
  s.sums = take(sums);
  s.d_sums = take(sums);
  s.radial = take(kTile * m.kr);
  const int orders = components > 0 ? 3 : 2;
  for (int d = 0; d < orders; d++) {
    s.terms[d] = take(kTile * m.ka);
    s.g[d] = take(kTile * m.na);
  }
  s.y = take(kTile * K);
  s.species = reinterpret_cast<int*>(bytes(kTile * sizeof(int)));
  if (components == 0) return used;
  s.scalar_d_q = take(m.dim);
  s.change = take(m.neurons);
  s.curvatures = take(rows);
  s.t_q = take(components * m.dim);
  s.t_d_q = take(components * m.dim);
  s.t_moments = take(components * rows);
  s.t_sums = take(components * sums);
  s.t_d_sums = take(components * sums);
  s.y_change = take(kTile * K);
  s.along = take(kTile);
  return used;
}

enum class Radial { none, values, slopes };

// Compute the functions of the edges of a tile: g_n and its derivatives up to Order, harmonics, and fc T_k or its
// derivative.
template <int L, int Order, Radial Kind, class R>
TNEP_DEVICE_FUNCTION void tile_functions(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                         int first, int size, const Scratch<R>& s) {
  constexpr int K = kComponents<L>;
  block.each(size, [&](int64_t j) {
    const Neighbor<R> n = read_edge<R>(e, site, first + int(j), m.species);
    s.species[j] = n.species;
    const int pair = site.species * m.species + n.species;
    if constexpr (Kind != Radial::none) {
      constexpr int order = Kind == Radial::values ? 0 : 1;
      const R inverse_cutoff = R(1) / m.radial_cutoffs[pair], t = n.distance * inverse_cutoff;
      R f[3], x[3], values[kMaxBasis];
      R* rows[2] = {order == 0 ? s.radial + j * m.kr : values, s.radial + j * m.kr};
      cutoff_function<order>(t, inverse_cutoff, f);
      chebyshev_argument<order>(t, inverse_cutoff, x);
      if (t < R(1)) chebyshev_terms<order>(f, x, m.kr, rows, 1);
      else
        for (int k = 0; k < m.kr; k++) s.radial[j * m.kr + k] = 0;
    }
    const R inverse_cutoff = R(1) / m.angular_cutoffs[pair], t = n.distance * inverse_cutoff;
    R f[3], x[3];
    R* rows[3];
    for (int d = 0; d <= Order; d++) rows[d] = s.terms[d] + j * m.ka;
    cutoff_function<Order>(t, inverse_cutoff, f);
    chebyshev_argument<Order>(t, inverse_cutoff, x);
    if (t < R(1)) chebyshev_terms<Order>(f, x, m.ka, rows, 1);
    else
      for (int d = 0; d <= Order; d++)
        for (int k = 0; k < m.ka; k++) rows[d][k] = 0;
    harmonics<L>(n.u[0], n.u[1], n.u[2], s.y + j * K);
  });
  block.each(int64_t(size) * m.na, [&](int64_t i) {
    const int j = int(i / m.na), n = int(i % m.na);
    const R* table = m.angular_by_k + int64_t(site.species * m.species + s.species[j]) * m.ka * m.na_pad + n;
    for (int d = 0; d <= Order; d++) {
      R total = 0;
      for (int k = 0; k < m.ka; k++) total += s.terms[d][j * m.ka + k] * table[k * m.na_pad];
      s.g[d][i] = total;
    }
  });
}

// moments[t][k] += sum_{j of species t} radial[j][k] weight(j), for element i = t * expansion_row(kr) + k.
template <class R, class Weight>
TNEP_DEVICE void add_moments(const Scratch<R>& s, int size, int kr, int i, R* moments, Weight&& weight) {
  const int row = expansion_row(kr), t = i / row, k = i % row;
  if (k >= kr) return;
  R total = moments[i];
  for (int j = 0; j < size; j++)
    if (s.species[j] == t) total += s.radial[j * kr + k] * weight(j);
  moments[i] = total;
}

// Compute the descriptor s.q, and the moments and angular sums.
template <int L, class R>
TNEP_DEVICE_FUNCTION void describe(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                   const Scratch<R>& s) {
  constexpr int K = kComponents<L>;
  const int row = expansion_row(m.kr), rows = m.species * row, sums = K * m.na;
  block.each(rows + sums, [&](int64_t i) { (i < rows ? s.moments[i] : s.sums[i - rows]) = 0; });
  for (int first = 0; first < site.count; first += kTile) {
    const int size = site.count - first < kTile ? site.count - first : kTile;
    tile_functions<L, 0, Radial::values>(block, m, e, site, first, size, s);
    block.each(rows + sums, [&](int64_t i) {
      if (i < rows) return add_moments(s, size, m.kr, int(i), s.moments, [](int) { return R(1); });
      const int component = int(i - rows) / m.na, n = int(i - rows) % m.na;
      R total = s.sums[i - rows];
      for (int j = 0; j < size; j++) total += s.y[j * K + component] * s.g[0][j * m.na + n];
      s.sums[i - rows] = total;
    });
  }
  block.each(m.nr + m.na, [&](int64_t i) {
    if (i < m.nr) {
      const R* table = m.radial_by_k + int64_t(site.species) * m.species * m.kr * m.nr_pad + i;
      R total = 0;
      for (int t = 0; t < m.species; t++)
        for (int k = 0; k < m.kr; k++) total += s.moments[t * row + k] * table[(t * m.kr + k) * m.nr_pad];
      s.q[i] = total;
      return;
    }
    const int n = int(i) - m.nr;
    R a[K];
    for (int c = 0; c < K; c++) a[c] = s.sums[c * m.na + n];
    invariants<L>(a, m.extra, [&](int at, R value) { s.q[m.nr + at * m.na + n] = value; });
  });
}

// Return U(q), and set s.hidden and s.delta for its gradient.
template <class R>
TNEP_DEVICE_FUNCTION double network_value(const Block& block, const Model<R>& m, const Net<R>& net,
                                          const Scratch<R>& s) {
  block.each(m.neurons, [&](int64_t i) {
    R total = 0;
    for (int d = 0; d < m.dim; d++) total += net.columns[d * m.neurons_pad + i] * s.q[d];
    const R t = hyperbolic_tangent(total - net.b0[i]), w1 = net.w1[i];
    s.hidden[i] = t;
    s.delta[i] = w1 - w1 * t * t;
  });
  return block.sum(m.neurons, [&](int64_t i) { return double(net.w1[i] * s.hidden[i]); }) - double(net.bias);
}

// out[d] = sum_m w0[m][d] delta[m].
template <class R>
TNEP_DEVICE R weighted_rows(const Model<R>& m, const Net<R>& net, const R* delta, int64_t d) {
  R total = 0;
  for (int i = 0; i < m.neurons; i++) total += net.rows[i * m.dim_pad + d] * delta[i];
  return total;
}

// Compute s.d_sums from s.d_q.
template <int L, class R>
TNEP_DEVICE_FUNCTION void sums_backward(const Block& block, const Model<R>& m, const Scratch<R>& s) {
  constexpr int K = kComponents<L>;
  block.each(m.na, [&](int64_t n) {
    R a[K], d[K];
    for (int c = 0; c < K; c++) a[c] = s.sums[c * m.na + n];
    invariants_backward<L>(a, m.extra, [&](int at) { return s.d_q[m.nr + at * m.na + n]; }, d);
    for (int c = 0; c < K; c++) s.d_sums[c * m.na + n] = d[c];
  });
}

// Compute the expansion for species t, and the expansion of its derivative, from the derivative with respect to the
// descriptor.
template <class R>
TNEP_DEVICE void expand_radial(const Model<R>& m, const Site& site, int t, const R* d_q, R* expansion, R* slopes) {
  const R* table = m.radial_by_n + int64_t(site.species * m.species + t) * m.nr * m.kr_pad;
  expansion[1] = 0;
  for (int k = 0; k < m.kr; k++) {
    R total = 0;
    for (int n = 0; n < m.nr; n++) total += d_q[n] * table[n * m.kr_pad + k];
    expansion[k] = total;
  }
  chebyshev_derivative(expansion, expansion_row(m.kr), slopes);
}

// h[d][c] = sum_n coefficients[c][n] d^d g_n / dr^d for edge j of a tile.
template <int L, int Order, class R>
TNEP_DEVICE void expand_angular(const Model<R>& m, const Scratch<R>& s, const R* coefficients, int64_t j,
                                R (*h)[kComponents<L>]) {
  for (int c = 0; c < kComponents<L>; c++)
    for (int d = 0; d <= Order; d++) {
      R total = 0;
      for (int n = 0; n < m.na; n++) total += coefficients[c * m.na + n] * s.g[d][j * m.na + n];
      h[d][c] = total;
    }
}

// Gradient with respect to r_j of sum_cn coefficients[c][n] g_n(r_j) Z_c(u_j).
template <int L, class R>
TNEP_DEVICE void angular_gradient_of(const Model<R>& m, const Scratch<R>& s, const R* coefficients, int64_t j,
                                     const Neighbor<R>& n, R* gradient) {
  R h[2][kComponents<L>], tangential[4], radial[1];
  expand_angular<L, 1>(m, s, coefficients, j, h);
  contract<L, 1>(n.u[0], n.u[1], n.u[2], h[0], tangential);
  contract<L, 0>(n.u[0], n.u[1], n.u[2], h[1], radial);
  angular_gradient(n.u[0], n.u[1], n.u[2], n.inverse, tangential, radial[0], gradient);
}

// ZBL energy and slope of one edge; zero beyond the angular cutoff.
template <class R>
TNEP_DEVICE void repulsion(const Model<R>& m, const Site& site, const Neighbor<R>& n, R& energy, R& slope) {
  const int pair = site.species * m.species + n.species;
  energy = slope = 0;
  if (m.zbl && n.distance < m.angular_cutoffs[pair]) zbl(n.distance, m.zbl + int64_t(pair) * kPad, energy, slope);
}

// Compute dU/dr_j of all edges of the centre from s.d_q: partials[edge][3].
template <int L, class R>
TNEP_DEVICE_FUNCTION void edge_gradients(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                         const Scratch<R>& s, R* partials) {
  const int row = expansion_row(m.kr);
  sums_backward<L>(block, m, s);
  block.each(m.species,
             [&](int64_t t) { expand_radial(m, site, int(t), s.d_q, s.expansion + t * row, s.slopes + t * row); });
  for (int first = 0; first < site.count; first += kTile) {
    const int size = site.count - first < kTile ? site.count - first : kTile;
    tile_functions<L, 1, Radial::none>(block, m, e, site, first, size, s);
    block.each(size, [&](int64_t j) {
      const Neighbor<R> n = read_edge<R>(e, site, first + int(j), m.species);
      R gradient[3];
      angular_gradient_of<L>(m, s, s.d_sums, j, n, gradient);
      R energy, slope;
      repulsion(m, site, n, energy, slope);
      const R inverse_cutoff = R(1) / m.radial_cutoffs[site.species * m.species + n.species];
      const R t = n.distance * inverse_cutoff;
      if (t < R(1)) {
        const R *a = s.expansion + n.species * row, *d = s.slopes + n.species * row;
        R f[3], x[3];
        cutoff_function<1>(t, inverse_cutoff, f);
        chebyshev_argument<1>(t, inverse_cutoff, x);
        R before = 1, now = x[0], p = a[0] + a[1] * now, dp = d[0] + d[1] * now;
        for (int k = 2; k < m.kr; k++) {
          const R next = R(2) * x[0] * now - before;
          before = now;
          now = next;
          p += a[k] * now;
          dp += d[k] * now;
        }
        slope += f[1] * p + f[0] * x[1] * dp;
      }
      for (int a = 0; a < 3; a++) partials[3 * (site.begin + first + j) + a] = gradient[a] + slope * n.u[a];
    });
  }
}

TNEP_END
