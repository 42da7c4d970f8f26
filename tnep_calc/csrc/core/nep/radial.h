// Radial functions of NEP: cutoff times Chebyshev polynomials.
// Fan et al., J. Chem. Phys. 157, 114801 (2022), eqs. 4-7.
#pragma once

#include "core/common/elementary.h"

TNEP_BEGIN

// Cutoff function f(r) = (1 + cos(pi r / rc)) / 2 and its derivatives with respect to r; zero for r >= rc.
// With t = r / rc and the half angle h = pi t / 2: f = cos(h)^2, f' = -(pi / rc) sin(h) cos(h).  The angle is taken
// relative to pi / 4, so that f keeps its relative accuracy up to the cutoff.
template <int Order, class V>
TNEP_HD void cutoff_function(V t, real_of<V> inverse_cutoff, V* f) {
  using R = real_of<V>;
  constexpr R pi = R(3.14159265358979323846);
  const V one = fill<V>(R(1)), zero = fill<V>(R(0));
  V s, c;
  const V bounded = t < one ? t : one;
  sin_cos_quarter((bounded - R(0.5)) * (pi / R(2)), s, c);
  const V difference = c - s;
  f[0] = t < one ? difference * difference * R(0.5) : zero;
  if constexpr (Order > 0) f[1] = t < one ? difference * (c + s) * (R(-0.5) * pi * inverse_cutoff) : zero;
  if constexpr (Order > 1) f[2] = t < one ? s * c * (pi * pi * inverse_cutoff * inverse_cutoff) : zero;
}

// Chebyshev argument x(r) = 2 (r / rc - 1)^2 - 1 and its first two derivatives.
template <int Order, class V>
TNEP_HD void chebyshev_argument(V t, real_of<V> inverse_cutoff, V* x) {
  using R = real_of<V>;
  const V u = t - R(1);
  x[0] = R(2) * u * u - R(1);
  if constexpr (Order > 0) x[1] = u * (R(4) * inverse_cutoff);
  if constexpr (Order > 1) x[2] = fill<V>(R(4) * inverse_cutoff * inverse_cutoff);
}

// fc(r) T_k(x(r)) for k = 0..count-1 and derivatives with respect to r up to Order: out[d][k * stride].
template <int Order, class V>
TNEP_HD void chebyshev_terms(const V* f, const V* x, int count, real_of<V>* const* out, int stride) {
  using R = real_of<V>;
  V a[3], b[3], c[3];
  a[0] = f[0];
  b[0] = x[0] * f[0];
  if constexpr (Order > 0) {
    a[1] = f[1];
    b[1] = x[1] * f[0] + x[0] * f[1];
  }
  if constexpr (Order > 1) {
    a[2] = f[2];
    b[2] = x[2] * f[0] + R(2) * x[1] * f[1] + x[0] * f[2];
  }
  const V x0 = R(2) * x[0];
  for (int k = 0; k < count; k++) {
    for (int d = 0; d <= Order; d++) store<V>(out[d] + k * stride, a[d]);
    c[0] = x0 * b[0] - a[0];
    if constexpr (Order > 0) c[1] = x0 * b[1] + (R(2) * x[1] * b[0] - a[1]);
    if constexpr (Order > 1) c[2] = x0 * b[2] + (R(4) * x[1] * b[1] + (R(2) * x[2] * b[0] - a[2]));
    for (int d = 0; d <= Order; d++) {
      a[d] = b[d];
      b[d] = c[d];
    }
  }
}

// Coefficients of the derivative of sum_k a[k] T_k(x).
template <class R>
TNEP_HD void chebyshev_derivative(const R* a, int count, R* d) {
  R above = 0, next = 0;  // d[k + 1], d[k + 2]
  for (int k = count - 1; k >= 0; k--) {
    const R value = k + 1 < count ? next + R(2) * R(k + 1) * a[k + 1] : R(0);
    d[k] = value;
    next = above;
    above = value;
  }
  d[0] *= R(0.5);
}

TNEP_END
