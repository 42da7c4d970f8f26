// Angular functions of NEP: real solid harmonics with integer coefficients,
//   Z_lm(z) Re (x + i y)^m and Z_lm(z) Im (x + i y)^m  of a unit vector (x, y, z),
// where Z_lm is the (l + m)-th derivative of (z^2 - 1)^l divided by the common factor of its coefficients.
// Component s of l: l^2 - 1 for m = 0, then l^2 - 2 + 2 m (Re) and l^2 - 1 + 2 m (Im).
#pragma once

#include "core/common/simd.h"

TNEP_BEGIN

template <int L>
constexpr int kComponents = (L + 1) * (L + 1) - 1;

constexpr int index_re(int l, int m) { return m == 0 ? l * l - 1 : l * l - 2 + 2 * m; }
constexpr int index_im(int l, int m) { return l * l - 1 + 2 * m; }

// clang-format off
// Coefficients of z^(l-m), z^(l-m-2), ...; rows (l, m = 0..l) for l = 1..8.
TNEP_TABLE int kZ[44][5] = {
    {1}, {1},
    {3, -1}, {1}, {1},
    {5, -3}, {5, -1}, {1}, {1},
    {35, -30, 3}, {7, -3}, {7, -1}, {1}, {1},
    {63, -70, 15}, {21, -14, 1}, {3, -1}, {9, -1}, {1}, {1},
    {231, -315, 105, -5}, {33, -30, 5}, {33, -18, 1}, {11, -3}, {11, -1}, {1}, {1},
    {429, -693, 315, -35}, {429, -495, 135, -5}, {143, -110, 15}, {143, -66, 3}, {13, -3}, {13, -1}, {1}, {1},
    {6435, -12012, 6930, -1260, 35}, {715, -1001, 385, -35}, {143, -143, 33, -1}, {39, -26, 3}, {65, -26, 1},
    {5, -1}, {15, -1}, {1}, {1}};

// pi C_lm with C_lm = 1 / (2 pi int_-1^1 Z_lm^2 (1 - z^2)^m dz): weights of the squared components in q_l.
TNEP_TABLE double kPiC[44] = {
    3. / 4, 3. / 8,
    5. / 16, 15. / 8, 15. / 32,
    7. / 16, 21. / 64, 105. / 32, 35. / 64,
    9. / 256, 45. / 64, 45. / 128, 315. / 64, 315. / 512,
    11. / 256, 165. / 512, 1155. / 128, 385. / 1024, 3465. / 512, 693. / 1024,
    13. / 1024, 273. / 512, 1365. / 4096, 1365. / 1024, 819. / 2048, 9009. / 1024, 3003. / 4096,
    15. / 1024, 105. / 8192, 315. / 4096, 315. / 8192, 3465. / 2048, 3465. / 8192, 45045. / 4096, 6435. / 8192,
    17. / 65536, 153. / 8192, 5355. / 16384, 19635. / 8192, 11781. / 32768, 153153. / 8192, 7293. / 16384,
    109395. / 8192, 109395. / 131072};
// clang-format on

constexpr int table_row(int l, int m) { return (l * (l + 1)) / 2 - 1 + m; }

// Z_lm(z) and its derivatives; z2 = z * z.
template <int L, int M, int Order, class V>
TNEP_HD V polynomial(V z, V z2) {
  using R = real_of<V>;
  constexpr int degree = L - M - Order;
  if constexpr (degree < 0) {
    return fill<V>(R(0));
  } else {
    const int* row = kZ[table_row(L, M)];
    const auto factor = [](int power) { return Order == 0 ? 1 : Order == 1 ? power : power * (power - 1); };
    V p = fill<V>(R(row[0] * factor(L - M)));
    TNEP_UNROLL(8)
    for (int i = 1; i <= degree / 2; i++) p = p * z2 + R(row[i] * factor(L - M - 2 * i));
    if constexpr (degree % 2) p = p * z;
    return p;
  }
}

// (x + i y)^m for m = 0..L.
template <int L, class V>
TNEP_HD void powers(V x, V y, V* re, V* im) {
  re[0] = fill<V>(real_of<V>(1));
  im[0] = fill<V>(real_of<V>(0));
  re[1] = x;
  im[1] = y;
  TNEP_UNROLL(8)
  for (int m = 2; m <= L; m++) {
    re[m] = x * re[m - 1] - y * im[m - 1];
    im[m] = x * im[m - 1] + y * re[m - 1];
  }
}

// Set out[s] to all components.
template <int L, class V>
TNEP_HD void harmonics(V x, V y, V z, V* out) {
  V re[L + 1], im[L + 1];
  powers<L>(x, y, re, im);
  const V z2 = z * z;
  static_for<0, L + 1>([&](auto m_) TNEP_LAMBDA {
    constexpr int m = decltype(m_)::value;
    static_for<(m > 1 ? m : 1), L + 1>([&](auto l_) TNEP_LAMBDA {
      constexpr int l = decltype(l_)::value;
      const V p = polynomial<l, m, 0>(z, z2);
      if constexpr (m == 0) {
        out[index_re(l, 0)] = p;
      } else {
        out[index_re(l, m)] = p * re[m];
        out[index_im(l, m)] = p * im[m];
      }
    });
  });
}

// Set out[s] to w . grad of every component, taken as a polynomial of independent x, y, z.
template <int L, class V>
TNEP_HD void harmonics_along(V x, V y, V z, const V* w, V* out) {
  using R = real_of<V>;
  V re[L + 1], im[L + 1];
  powers<L>(x, y, re, im);
  const V z2 = z * z;
  static_for<0, L + 1>([&](auto m_) TNEP_LAMBDA {
    constexpr int m = decltype(m_)::value;
    V along_re, along_im;  // derivative of (x + i y)^m
    if constexpr (m > 0) {
      along_re = R(m) * (re[m - 1] * w[0] - im[m - 1] * w[1]);
      along_im = R(m) * (im[m - 1] * w[0] + re[m - 1] * w[1]);
    }
    static_for<(m > 1 ? m : 1), L + 1>([&](auto l_) TNEP_LAMBDA {
      constexpr int l = decltype(l_)::value;
      const V slope = polynomial<l, m, 1>(z, z2) * w[2];
      if constexpr (m == 0) {
        out[index_re(l, 0)] = slope;
      } else {
        const V p = polynomial<l, m, 0>(z, z2);
        out[index_re(l, m)] = slope * re[m] + p * along_re;
        out[index_im(l, m)] = slope * im[m] + p * along_im;
      }
    });
  });
}

// Set value[0] to sum_s h[s] Z_s.  Depending on Order, also set its gradient value[1..3] (x y z) and second derivatives
// value[4..8] (xx, xy, xz, yz, zz; yy = -xx because Re and Im of (x + i y)^m are harmonic).
template <int L, int Order, class V>
TNEP_HD void contract(V x, V y, V z, const V* h, V* value) {
  using R = real_of<V>;
  V re[L + 1], im[L + 1];
  powers<L>(x, y, re, im);
  const V z2 = z * z;
  constexpr int count = Order == 0 ? 1 : Order == 1 ? 4 : 9;
  TNEP_UNROLL(9)
  for (int i = 0; i < count; i++) value[i] = fill<V>(R(0));
  static_for<0, L + 1>([&](auto m_) TNEP_LAMBDA {
    constexpr int m = decltype(m_)::value;
    // a[d], b[d]: d-th z derivatives of sum_l h_lm Z_lm for Re and Im
    V a[3], b[3];
    TNEP_UNROLL(3)
    for (int d = 0; d <= Order; d++) a[d] = b[d] = fill<V>(R(0));
    static_for<(m > 1 ? m : 1), L + 1>([&](auto l_) TNEP_LAMBDA {
      constexpr int l = decltype(l_)::value;
      static_for<0, Order + 1>([&](auto d_) TNEP_LAMBDA {
        constexpr int d = decltype(d_)::value;
        if constexpr (l - m >= d) {
          const V p = polynomial<l, m, d>(z, z2);
          a[d] += p * h[index_re(l, m)];
          if constexpr (m > 0) b[d] += p * h[index_im(l, m)];
        }
      });
    });
    value[0] += a[0] * re[m];
    if constexpr (m > 0) value[0] += b[0] * im[m];
    if constexpr (Order > 0) {
      value[3] += a[1] * re[m];
      if constexpr (m > 0) {
        value[3] += b[1] * im[m];
        value[1] += R(m) * (a[0] * re[m - 1] + b[0] * im[m - 1]);
        value[2] += R(m) * (b[0] * re[m - 1] - a[0] * im[m - 1]);
      }
    }
    if constexpr (Order > 1) {
      value[8] += a[2] * re[m];
      if constexpr (m > 0) {
        value[8] += b[2] * im[m];
        value[6] += R(m) * (a[1] * re[m - 1] + b[1] * im[m - 1]);
        value[7] += R(m) * (b[1] * re[m - 1] - a[1] * im[m - 1]);
      }
      if constexpr (m > 1) {
        value[4] += R(m * (m - 1)) * (a[0] * re[m - 2] + b[0] * im[m - 2]);
        value[5] += R(m * (m - 1)) * (b[0] * re[m - 2] - a[0] * im[m - 2]);
      }
    }
  });
}

TNEP_END
