// Ziegler-Biersack-Littmark repulsion of one ordered pair with a cosine switch between two radii.
#pragma once

#include "core/common/elementary.h"

TNEP_BEGIN

// Half of the energy of the pair (eV), and its derivative with respect to r (eV/A).  `p` holds the inner and the outer
// radius (A), then four pairs of coefficient (eV A) and exponent (1/A):
// V = fz(r) sum_k coefficient_k exp(-exponent_k r) / r.
template <class R>
TNEP_HD void zbl(R r, const R* p, R& energy, R& slope) {
  constexpr R pi = R(3.14159265358979323846);
  energy = slope = 0;
  if (!(r < p[1]) || !(r > 0)) return;
  R screening = 0, screening_slope = 0;
  for (int k = 0; k < 4; k++) {
    const R argument = -p[3 + 2 * k] * r;
    const R term = p[2 + 2 * k] * exponential<R>(argument > R(-80) ? argument : R(-80));
    screening += term;
    screening_slope -= p[3 + 2 * k] * term;
  }
  const R inverse = R(1) / r;
  R value = screening * inverse;
  R derivative = (screening_slope - value) * inverse;
  if (r > p[0]) {
    const R factor = pi / (p[1] - p[0]);
    R s, c;  // of the half angle, measured from the middle of its range
    sin_cos_quarter<R>(R(0.5) * factor * (r - p[0]) - pi / R(4), s, c);
    const R fz = R(0.5) * (c - s) * (c - s);
    const R fz_slope = R(-0.5) * factor * (c - s) * (c + s);
    derivative = derivative * fz + value * fz_slope;
    value *= fz;
  }
  energy = R(0.5) * value;
  slope = R(0.5) * derivative;
}

TNEP_END
