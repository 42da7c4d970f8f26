// Edges of one centre of an electric-enthalpy model: radial functions times harmonics, summed over the neighbours of
// each species, and the gradient with respect to the edge vectors.  Where the work is per neighbour, the vector lanes
// hold neighbours; where neighbours are summed, they hold the 16 components lm.
#pragma once

#include "core/common/edges.h"
#include "core/enthalpy/api.h"

TNEP_BEGIN

constexpr int kComponents3 = 16;  // lm for l = 0..3

// Geometry and radial functions of one edge, or of one vector of edges.
template <class V>
struct EdgeBlock {
  V x, y, z, inverse_r;  // unit vector
  V f[kMaxRadial], slope[kMaxRadial];
};

// Compute f_k = T_k(2 (u - 1)^2 - 1) h(u) with u = r / rc and h = 1 - 28 u^6 + 48 u^7 - 21 u^8, and, if Slopes,
// df_k/dr.
template <bool Slopes, class V>
TNEP_HD void edge_block(V vx, V vy, V vz, real_of<V> inverse_cutoff, int n, EdgeBlock<V>& e) {
  using R = real_of<V>;
  V r2 = vx * vx + vy * vy + vz * vz;
  const V tiny = fill<V>(R(1e-24)), one = fill<V>(R(1));
  r2 = r2 > tiny ? r2 : tiny;
  const V r = square_root(r2);
  e.inverse_r = R(1) / r;
  e.x = vx * e.inverse_r;
  e.y = vy * e.inverse_r;
  e.z = vz * e.inverse_r;
  V u = r * inverse_cutoff;
  u = u < one ? u : one;
  const V away = u - R(1), t = R(2) * away * away - R(1), t2 = t + t;
  const V u2 = u * u, u4 = u2 * u2;
  const V h = R(1) - u4 * u2 * (R(28) - R(48) * u + R(21) * u2);
  e.f[0] = h;
  e.f[1] = t * h;
  for (int k = 2; k < n; k++) e.f[k] = t2 * e.f[k - 1] - e.f[k - 2];
  if constexpr (!Slopes) return;
  const V dh = R(-168) * inverse_cutoff * u4 * u * away * away, dt = R(4) * inverse_cutoff * away, dt2 = dt + dt;
  e.slope[0] = dh;
  e.slope[1] = dt * h + t * dh;
  for (int k = 2; k < n; k++) e.slope[k] = dt2 * e.f[k - 1] + t2 * e.slope[k - 1] - e.slope[k - 2];
}

constexpr double kSqrt3 = 1.7320508075688772, kSqrt5 = 2.23606797749979, kSqrt7 = 2.6457513110645907,
                 kSqrt15 = 3.872983346207417, kSqrt105 = 10.246950765959598, kSqrt35_8 = 2.091650066335189,
                 kSqrt21_8 = 1.6201851746019651;

// Real harmonics of unit vectors, in the order and normalisation of tnep_calc/models/harmonics.py.
template <class V>
TNEP_HD void real_harmonics(V x, V y, V z, V* out) {
  using R = real_of<V>;
  const V xx = x * x, yy = y * y, zz = z * z;
  out[0] = fill<V>(R(1));
  out[1] = R(kSqrt3) * y;
  out[2] = R(kSqrt3) * z;
  out[3] = R(kSqrt3) * x;
  out[4] = R(kSqrt15) * x * y;
  out[5] = R(kSqrt15) * y * z;
  out[6] = R(0.5 * kSqrt5) * (R(3) * zz - R(1));
  out[7] = R(kSqrt15) * x * z;
  out[8] = R(0.5 * kSqrt15) * (xx - yy);
  out[9] = R(kSqrt35_8) * y * (R(3) * xx - yy);
  out[10] = R(kSqrt105) * x * y * z;
  out[11] = R(kSqrt21_8) * y * (R(5) * zz - R(1));
  out[12] = R(0.5 * kSqrt7) * z * (R(5) * zz - R(3));
  out[13] = R(kSqrt21_8) * x * (R(5) * zz - R(1));
  out[14] = R(0.5 * kSqrt105) * z * (xx - yy);
  out[15] = R(kSqrt35_8) * x * (xx - R(3) * yy);
}

// Set g to the gradient of sum_lm c_lm Y_lm, taken as a polynomial of independent x, y, z.
template <class V>
TNEP_HD void harmonics_gradient(V x, V y, V z, const V* c, V* g) {
  using R = real_of<V>;
  const V xx_yy = R(3 * kSqrt35_8) * (x * x - y * y), xy = R(6 * kSqrt35_8) * x * y;
  const V quadric = R(kSqrt21_8) * (R(5) * z * z - R(1)), z10 = R(10 * kSqrt21_8) * z;
  const V c4 = R(kSqrt15) * c[4], c5 = R(kSqrt15) * c[5], c7 = R(kSqrt15) * c[7], c8 = R(kSqrt15) * c[8];
  const V c10 = R(kSqrt105) * c[10], c14 = R(kSqrt105) * c[14];
  g[0] = R(kSqrt3) * c[3] + c4 * y + c7 * z + c8 * x + c[9] * xy + c10 * y * z + c[13] * quadric + c14 * x * z +
         c[15] * xx_yy;
  g[1] = R(kSqrt3) * c[1] + c4 * x + c5 * z - c8 * y + c[9] * xx_yy + c10 * x * z + c[11] * quadric - c14 * y * z -
         c[15] * xy;
  g[2] = R(kSqrt3) * c[2] + c5 * y + R(3 * kSqrt5) * c[6] * z + c7 * x + c10 * x * y + z10 * (c[11] * y + c[13] * x) +
         c[12] * (R(7.5 * kSqrt7) * z * z - R(1.5 * kSqrt7)) + R(0.5) * c14 * (x * x - y * y);
}

// density[k][lm] += sum_j f[k][j] y[j][lm] for C radial functions k.
template <int C, class R>
TNEP_HD void add_density(const R* f, const R* y, int count, R* density) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>, parts = kComponents3 / W;
  V acc[C][parts];
  TNEP_UNROLL(8)
  for (int k = 0; k < C; k++) TNEP_UNROLL(8)
  for (int p = 0; p < parts; p++) acc[k][p] = load<V>(density + k * kComponents3 + p * W);
  for (int j = 0; j < count; j++) {
    V row[parts];
    TNEP_UNROLL(8)
    for (int p = 0; p < parts; p++) row[p] = load<V>(y + j * kComponents3 + p * W);
    TNEP_UNROLL(8)
    for (int k = 0; k < C; k++) TNEP_UNROLL(8)
    for (int p = 0; p < parts; p++) acc[k][p] += row[p] * f[k * W + j];
  }
  TNEP_UNROLL(8)
  for (int k = 0; k < C; k++) TNEP_UNROLL(8)
  for (int p = 0; p < parts; p++) store<V>(density + k * kComponents3 + p * W, acc[k][p]);
}

// Compute the density of one centre, [species][n][lm], from its slots; `filled[t]` is the end of the slots of species
// t.
template <class R>
TNEP_FUNCTION void density(const EnthalpyModel<R>& m, R inverse_cutoff, const R* x, const R* y, const R* z,
                           int slot_stride, const int32_t* filled, R* out) {
  using V = Vec<R>;
  using S = ShortVec<R>;
  constexpr int W = kLanes<R>, WS = kShortLanes<R>, chunk = W >= 16 ? 8 : W >= 8 ? 4 : W >= 4 ? 2 : 1;
  const int n = m.radial;
  for (int i = 0; i < m.rows * kComponents3; i += W) store<V>(out + i, fill<V>(R(0)));
  for (int t = 0; t < m.species; t++) {
    for (int slot = t * slot_stride; slot < filled[t]; slot += W) {
      EdgeBlock<V> e;
      edge_block<false>(load<V>(x + slot), load<V>(y + slot), load<V>(z + slot), inverse_cutoff, n, e);
      V lanes[kComponents3];
      real_harmonics(e.x, e.y, e.z, lanes);
      R by_lane[kComponents3 * W], by_edge[kComponents3 * W];
      TNEP_UNROLL(16)
      for (int c = 0; c < kComponents3; c++) store<V>(by_lane + c * W, lanes[c]);
      for (int c = 0; c < kComponents3; c += WS)
        for (int j = 0; j < W; j += WS)
          transpose<S>(by_lane + c * W + j, W, by_edge + j * kComponents3 + c, kComponents3);
      const int count = filled[t] - slot < W ? filled[t] - slot : W;
      const R* f = reinterpret_cast<const R*>(e.f);
      R* to = out + t * n * kComponents3;
      int k = 0;
      for (; k + chunk <= n; k += chunk) add_density<chunk>(f + k * W, by_edge, count, to + k * kComponents3);
      for (; k < n; k++) add_density<1>(f + k * W, by_edge, count, to + k * kComponents3);
    }
  }
}

// Gradient of sum_k,lm d[k][lm] f_k Y_lm with respect to the edge vectors of one block.
template <class V>
TNEP_HD void edge_gradient(const EdgeBlock<V>& e, int n, const real_of<V>* d, V* gradient) {
  using R = real_of<V>;
  V h[kComponents3], radial[kComponents3];
  static_for<0, kComponents3 / 4>([&](auto part) TNEP_LAMBDA {
    constexpr int first = 4 * decltype(part)::value;
    V value[4], slope[4];
    TNEP_UNROLL(4)
    for (int i = 0; i < 4; i++) value[i] = slope[i] = fill<V>(R(0));
    for (int k = 0; k < n; k++) {
      const V f = e.f[k], s = e.slope[k];
      TNEP_UNROLL(4)
      for (int i = 0; i < 4; i++) {
        const V c = fill<V>(d[k * kComponents3 + first + i]);
        value[i] += c * f;
        slope[i] += c * s;
      }
    }
    TNEP_UNROLL(4)
    for (int i = 0; i < 4; i++) {
      h[first + i] = value[i];
      radial[first + i] = slope[i];
    }
  });
  V y[kComponents3], g[3];
  real_harmonics(e.x, e.y, e.z, y);
  V along = radial[0];
  TNEP_UNROLL(16)
  for (int c = 1; c < kComponents3; c++) along += radial[c] * y[c];
  harmonics_gradient(e.x, e.y, e.z, h, g);
  along -= (g[0] * e.x + g[1] * e.y + g[2] * e.z) * e.inverse_r;
  gradient[0] = along * e.x + g[0] * e.inverse_r;
  gradient[1] = along * e.y + g[1] * e.inverse_r;
  gradient[2] = along * e.z + g[2] * e.inverse_r;
}

TNEP_END
