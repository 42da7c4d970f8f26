// Elementary functions as polynomials: the same code for scalars and vectors, for float and double.
#pragma once

#include "core/common/simd.h"

TNEP_BEGIN

// sin(y) and cos(y) for |y| <= pi/4 (Taylor series; truncation below one unit in the last place).
template <class V>
TNEP_HD void sin_cos_quarter(V y, V& sine, V& cosine) {
  using R = real_of<V>;
  const V z = y * y;
  V s, c;
  if constexpr (sizeof(R) == 4) {
    s = z * R(1.0 / 362880) - R(1.0 / 5040);
    c = z * R(1.0 / 40320) - R(1.0 / 720);
  } else {
    s = z * R(-1.0 / 1307674368000.0) + R(1.0 / 6227020800.0);
    s = s * z - R(1.0 / 39916800);
    s = s * z + R(1.0 / 362880);
    s = s * z - R(1.0 / 5040);
    c = z * R(1.0 / 20922789888000.0) - R(1.0 / 87178291200.0);
    c = c * z + R(1.0 / 479001600);
    c = c * z - R(1.0 / 3628800);
    c = c * z + R(1.0 / 40320);
    c = c * z - R(1.0 / 720);
  }
  s = s * z + R(1.0 / 120);
  s = s * z - R(1.0 / 6);
  c = c * z + R(1.0 / 24);
  c = c * z - R(0.5);
  sine = s * z * y + y;
  cosine = c * z + R(1);
}

// e^y for |y| <= 700 (double) or 87 (float).
template <class V>
TNEP_HD V exponential(V y) {
  using R = real_of<V>;
  constexpr bool single = sizeof(R) == 4;
  // Adding and subtracting 1.5 * 2^mantissa rounds to the nearest integer, whose bits appear at the bottom.
  const R shift = single ? R(12582912.0) : R(6755399441055744.0);
  const V shifted = y * R(1.4426950408889634074) + shift;
  const V n = shifted - shift;
  V x, p;
  if constexpr (single) {
    x = y - n * R(0.693359375);
    x = x + n * R(2.12194440e-4);
    p = x * R(1.0 / 5040) + R(1.0 / 720);
  } else {
    x = y - n * R(6.93147180369123816490e-01);
    x = x - n * R(1.90821492927058770002e-10);
    p = x * R(1.0 / 6227020800.0) + R(1.0 / 479001600);
    p = p * x + R(1.0 / 39916800);
    p = p * x + R(1.0 / 3628800);
    p = p * x + R(1.0 / 362880);
    p = p * x + R(1.0 / 40320);
    p = p * x + R(1.0 / 5040);
    p = p * x + R(1.0 / 720);
  }
  p = p * x + R(1.0 / 120);
  p = p * x + R(1.0 / 24);
  p = p * x + R(1.0 / 6);
  p = p * x + R(0.5);
  p = p * x * x + x + R(1);
  if constexpr (sizeof(V) == sizeof(R)) {  // scalar
#if defined(__CUDA_ARCH__)
    return p * ::ldexp(R(1), int(n));
#else
    if constexpr (single) return p * __builtin_ldexpf(1.0f, int(n));
    else return p * __builtin_ldexp(1.0, int(n));
#endif
  } else {
    using Bits = decltype(p < p);  // integers of the same width
    Bits bits, scale;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    scale = (bits << (single ? 23 : 52)) + (Bits)fill<V>(R(1));
    V factor;
    __builtin_memcpy(&factor, &scale, sizeof factor);
    return p * factor;
  }
}

// tanh(y); absolute error of a few units in the last place of 1.
template <class V>
TNEP_HD V hyperbolic_tangent(V y) {
  using R = real_of<V>;
  const V limit = fill<V>(R(20));  // tanh(20) = 1 - 8e-18
  y = y < limit ? y : limit;
  y = y > -limit ? y : -limit;
  return R(1) - R(2) / (exponential(y + y) + R(1));
}

TNEP_END
