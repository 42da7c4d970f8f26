// Gradients of dipoles and polarizabilities with respect to the edges of one centre, see the equations in
// core/nep/response.h.
#pragma once

#include "core/cuda/nep_centre.h"

TNEP_BEGIN

// Compute s.t_moments and s.t_sums, the derivatives of moments and angular sums along the pair fields (without the
// sign).
template <int L, class Field, class R>
TNEP_DEVICE_FUNCTION void sums_tangent(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                       const Field& field, const Scratch<R>& s) {
  constexpr int K = kComponents<L>, C = Field::components;
  const int rows = m.species * expansion_row(m.kr), sums = K * m.na;
  block.each(C * (rows + sums), [&](int64_t i) { (i < C * rows ? s.t_moments[i] : s.t_sums[i - C * rows]) = 0; });
  for (int first = 0; first < site.count; first += kTile) {
    const int size = site.count - first < kTile ? site.count - first : kTile;
    tile_functions<L, 1, Radial::slopes>(block, m, e, site, first, size, s);
    for (int c = 0; c < C; c++) {
      block.each(size, [&](int64_t j) {
        const Neighbor<R> n = read_edge<R>(e, site, first + int(j), m.species);
        R v[3];
        field.pair(c, n.r, n.distance * n.distance, v);
        const R along = n.u[0] * v[0] + n.u[1] * v[1] + n.u[2] * v[2];
        for (int a = 0; a < 3; a++) v[a] = (v[a] - along * n.u[a]) * n.inverse;
        s.along[j] = along;
        harmonics_along<L>(n.u[0], n.u[1], n.u[2], v, s.y_change + j * K);
      });
      block.each(rows + sums, [&](int64_t i) {
        if (i < rows)
          return add_moments(s, size, m.kr, int(i), s.t_moments + c * rows, [&](int j) { return s.along[j]; });
        const int component = int(i - rows) / m.na, n = int(i - rows) % m.na;
        R total = s.t_sums[c * sums + i - rows];
        for (int j = 0; j < size; j++)
          total += s.along[j] * s.y[j * K + component] * s.g[1][j * m.na + n] +
                   s.y_change[j * K + component] * s.g[0][j * m.na + n];
        s.t_sums[c * sums + i - rows] = total;
      });
    }
  }
}

// Compute s.t_q, s.t_d_q and s.t_d_sums for all components.
template <int L, class Field, class R>
TNEP_DEVICE_FUNCTION void descriptor_tangent(const Block& block, const Model<R>& m, const Site& site, const Net<R>& net,
                                             const Field& field, const Scratch<R>& s) {
  constexpr int K = kComponents<L>, C = Field::components;
  const int row = expansion_row(m.kr), rows = m.species * row, sums = K * m.na;
  const auto load = [&](int c, int n, Dual<R>* a) {
    for (int i = 0; i < K; i++) a[i] = {s.sums[i * m.na + n], s.t_sums[c * sums + i * m.na + n]};
  };
  block.each(C * (m.nr + m.na), [&](int64_t i) {
    const int c = int(i) / (m.nr + m.na), n = int(i) % (m.nr + m.na);
    R* t_q = s.t_q + c * m.dim;
    if (n < m.nr) {
      const R* table = m.radial_by_k + int64_t(site.species) * m.species * m.kr * m.nr_pad + n;
      R total = 0;
      for (int t = 0; t < m.species; t++)
        for (int k = 0; k < m.kr; k++) total += s.t_moments[c * rows + t * row + k] * table[(t * m.kr + k) * m.nr_pad];
      t_q[n] = total;
      return;
    }
    Dual<R> a[K];
    load(c, n - m.nr, a);
    invariants<L>(a, m.extra, [&](int at, Dual<R> q) { t_q[m.nr + at * m.na + n - m.nr] = q.d; });
  });
  for (int c = 0; c < C; c++) {
    const R* t_q = s.t_q + c * m.dim;
    R* t_d_q = s.t_d_q + c * m.dim;
    block.each(m.neurons, [&](int64_t i) {
      R total = 0;
      for (int d = 0; d < m.dim; d++) total += net.columns[d * m.neurons_pad + i] * t_q[d];
      s.change[i] = R(-2) * s.hidden[i] * s.delta[i] * total;
    });
    R weight = R(0);  // weight of the scalar network, without the sign of the pair field
    if constexpr (Field::scalar_network) weight = field.scalar_weight(c);
    block.each(m.dim, [&](int64_t d) {
      t_d_q[d] = weighted_rows(m, net, s.change, d) - (weight != R(0) ? weight * s.scalar_d_q[d] : R(0));
    });
  }
  block.each(C * m.na, [&](int64_t i) {
    const int c = int(i) / m.na, n = int(i) % m.na;
    Dual<R> a[K], d[K];
    load(c, n, a);
    invariants_backward<L>(
        a, m.extra,
        [&](int at) { return Dual<R>{s.d_q[m.nr + at * m.na + n], s.t_d_q[c * m.dim + m.nr + at * m.na + n]}; }, d);
    for (int k = 0; k < K; k++) s.t_d_sums[c * sums + k * m.na + n] = d[k].d;
  });
}

// Add the radial part of the gradients of all components, and that of the gradient and Hessian of H . X.
template <class Field, class R>
TNEP_DEVICE void add_radial_response(const Model<R>& m, const Site& site, const Neighbor<R>& n, const Scratch<R>& s,
                                     R (*first)[3], R* gradient, R* hess) {
  constexpr int C = Field::components;
  const int row = expansion_row(m.kr), rows = m.species * row;
  const R inverse_cutoff = R(1) / m.radial_cutoffs[site.species * m.species + n.species];
  const R t = n.distance * inverse_cutoff;
  if (!(t < R(1))) return;
  R f[3], x[3], terms[kMaxBasis], g[3], h[6];
  cutoff_function<2>(t, inverse_cutoff, f);
  chebyshev_argument<2>(t, inverse_cutoff, x);
  terms[0] = 1;
  terms[1] = x[0];
  for (int k = 2; k < m.kr; k++) terms[k] = R(2) * x[0] * terms[k - 1] - terms[k - 2];
  const auto value = [&](const R* a) {
    R total = 0;
    for (int k = 0; k < row; k++) total += a[k] * terms[k];
    return total;
  };
  R p = 0, dp = 0;
  for (int c = 0; c <= C; c++) {  // set C is the expansion of dU/dq itself
    p = value(s.expansion + c * rows + n.species * row);
    dp = value(s.slopes + c * rows + n.species * row);
    if (c == C) break;
    const R slope = f[1] * p + f[0] * x[1] * dp;
    for (int a = 0; a < 3; a++) first[c][a] += slope * n.u[a];
  }
  const R ddp = value(s.curvatures + n.species * row);
  const R slope = f[1] * p + f[0] * x[1] * dp;
  const R curvature = f[2] * p + R(2) * f[1] * x[1] * dp + f[0] * (x[1] * x[1] * ddp + x[2] * dp);
  radial_derivatives(n.u, n.inverse, slope, curvature, g, h);
  for (int a = 0; a < 3; a++) gradient[a] += g[a];
  for (int a = 0; a < 6; a++) hess[a] += h[a];
}

// Compute the partials of all edges: [edge][component][displacement].
template <int L, class Field, class R>
TNEP_DEVICE_FUNCTION void edge_responses(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                         const Field& field, const Scratch<R>& s, R* partials) {
  constexpr int K = kComponents<L>, C = Field::components;
  const int row = expansion_row(m.kr), rows = m.species * row;
  block.each((C + 1) * m.species, [&](int64_t i) {
    const int c = int(i) / m.species, t = int(i) % m.species, at = c * rows + t * row;
    expand_radial(m, site, t, c < C ? s.t_d_q + c * m.dim : s.d_q, s.expansion + at, s.slopes + at);
    if (c == C) chebyshev_derivative(s.slopes + at, row, s.curvatures + t * row);
  });
  for (int begin = 0; begin < site.count; begin += kTile) {
    const int size = site.count - begin < kTile ? site.count - begin : kTile;
    tile_functions<L, 2, Radial::none>(block, m, e, site, begin, size, s);
    block.each(size, [&](int64_t j) {
      const Neighbor<R> n = read_edge<R>(e, site, begin + int(j), m.species);
      R first[C][3], out[C][3], gradient[3], hess[6];
      for (int c = 0; c < C; c++) angular_gradient_of<L>(m, s, s.t_d_sums + c * K * m.na, j, n, first[c]);
      {
        R h[3][K], p[9], pr[4], prr[1];
        expand_angular<L, 2>(m, s, s.d_sums, j, h);
        contract<L, 2>(n.u[0], n.u[1], n.u[2], h[0], p);
        contract<L, 1>(n.u[0], n.u[1], n.u[2], h[1], pr);
        contract<L, 0>(n.u[0], n.u[1], n.u[2], h[2], prr);
        angular_derivatives(n.u, n.inverse, p, pr, prr[0], gradient, hess);
      }
      add_radial_response<Field>(m, site, n, s, first, gradient, hess);
      assemble(field, n.r, n.distance * n.distance, hess, gradient, first, out);
      for (int c = 0; c < C; c++)
        for (int a = 0; a < 3; a++) partials[3 * C * (site.begin + begin + j) + 3 * c + a] = out[c][a];
    });
  }
}

template <int L, class Field, class R>
TNEP_DEVICE void response_of_centre(const Block& block, const Model<R>& m, const DeviceEdges& e, const Site& site,
                                    const Field& field, const Scratch<R>& s, R* partials) {
  describe<L>(block, m, e, site, s);
  if constexpr (Field::scalar_network) {
    const Net<R> scalar = find_net(m, 1, site.species);
    network_value(block, m, scalar, s);
    block.each(m.dim, [&](int64_t d) { s.scalar_d_q[d] = weighted_rows(m, scalar, s.delta, d); });
  }
  const Net<R> net = find_net(m, 0, site.species);
  network_value(block, m, net, s);
  block.each(m.dim, [&](int64_t d) { s.d_q[d] = weighted_rows(m, net, s.delta, d); });
  sums_backward<L>(block, m, s);
  sums_tangent<L>(block, m, e, site, field, s);
  descriptor_tangent<L>(block, m, site, net, field, s);
  edge_responses<L>(block, m, e, site, field, s, partials);
}

TNEP_END
