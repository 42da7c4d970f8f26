// Sums of the features of edges, and of their changes along a displacement field.  These are the moments of training.
#pragma once

#include "core/common/harmonics.h"
#include "core/nep/radial.h"
#include "core/training/api.h"

TNEP_BEGIN

// Components of a gradient d along the displacement field F at the edge v.
template <Field F, class R>
TNEP_HD void along_field(const R* v, const R* d, R* out) {
  if constexpr (F == Field::gradient) {
    for (int a = 0; a < 3; a++) out[a] = d[a];
  } else if constexpr (F == Field::dipole) {
    const R square = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
    for (int a = 0; a < 3; a++) out[a] = -square * d[a];
  } else if constexpr (F == Field::strain) {
    for (int a = 0; a < 3; a++) out[a] = -v[a] * d[a];
    for (int a = 0; a < 3; a++) {  // yz, xz, xy
      const int b = (a + 1) % 3, c = (a + 2) % 3;
      out[3 + a] = R(-0.5) * (v[b] * d[c] + v[c] * d[b]);
    }
  }
}

// Set f[k] to f_0 = fc and f_k = (T_k + 1) fc / 2, and f[count + k] to their derivatives.
template <class R>
TNEP_HD void radial_functions(R r, R cutoff, int count, R* f) {
  R fc[2], x[2];
  R* const out[2] = {f, f + count};
  cutoff_function<1>(r / cutoff, R(1) / cutoff, fc);
  chebyshev_argument<1>(r / cutoff, R(1) / cutoff, x);
  chebyshev_terms<1>(fc, x, count, out, 1);
  for (int d = 0; d < 2; d++)
    for (int k = 1; k < count; k++) out[d][k] = R(0.5) * (out[d][k] + fc[d]);
}

template <int L, Field F, class R>
TNEP_FUNCTION void features_of(const FeatureProblem<R>& p, int64_t begin, int64_t end, R* plain, R* changes,
                               R* memory) {
  constexpr int S = kComponents<L>, C = components_of(F), SC = S * C;
  const int kr = p.k_radial, ka = p.k_angular;
  const int64_t numbers = kr + int64_t(ka) * S;
  R *const f = memory, *const g = f + 2 * kr, *const y = g + 2 * ka, *const dy = y + S;
  R *const radial = dy + 3 * S, *const across = radial + SC;  // factors of f' and of f in the change of f Y
  for (int64_t e = begin; e < end; e++) {
    const R* v = p.vectors + 3 * e;
    const R r = __builtin_sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]), inverse = R(1) / r;
    const R u[3] = {v[0] * inverse, v[1] * inverse, v[2] * inverse};
    const int64_t a = p.centre[e], b = p.neighbor[e];
    R* value = plain ? plain + p.place[e] * numbers : nullptr;
    R* change = changes + p.place[e] * numbers * C;
    R of_u[C > 0 ? C : 1];
    along_field<F>(v, u, of_u);
    radial_functions(r, R(0.5) * (p.cutoffs[a] + p.cutoffs[b]), kr, f);
    for (int k = 0; k < kr; k++) {
      if (value) value[k] += f[k];
      for (int c = 0; c < C; c++) change[k * C + c] += f[kr + k] * of_u[c];
    }
    const R cutoff = R(0.5) * (p.cutoffs[p.species + a] + p.cutoffs[p.species + b]);
    if (r >= cutoff) continue;
    radial_functions(r, cutoff, ka, g);
    harmonics<L>(u[0], u[1], u[2], y);
    if constexpr (C > 0) {
      for (int d = 0; d < 3; d++) {
        const R axis[3] = {R(d == 0), R(d == 1), R(d == 2)};
        harmonics_along<L>(u[0], u[1], u[2], axis, dy + d * S);
      }
      for (int s = 0; s < S; s++) {
        const R along = u[0] * dy[s] + u[1] * dy[S + s] + u[2] * dy[2 * S + s];
        R slope[3];
        for (int d = 0; d < 3; d++) slope[d] = (dy[d * S + s] - along * u[d]) * inverse;
        along_field<F>(v, slope, across + s * C);
        for (int c = 0; c < C; c++) radial[s * C + c] = y[s] * of_u[c];
      }
    }
    for (int k = 0; k < ka; k++) {
      if (value)
        for (int s = 0; s < S; s++) value[kr + k * S + s] += g[k] * y[s];
      R* to_change = change + (kr + k * S) * C;
      for (int i = 0; i < SC; i++) to_change[i] += g[ka + k] * radial[i] + g[k] * across[i];
    }
  }
}

template <int L, class R>
void features_l(const FeatureProblem<R>& p, int64_t begin, int64_t end, R* plain, R* changes, R* memory) {
  switch (p.field) {
    case Field::none:
      return features_of<L, Field::none>(p, begin, end, plain, changes, memory);
    case Field::dipole:
      return features_of<L, Field::dipole>(p, begin, end, plain, changes, memory);
    case Field::strain:
      return features_of<L, Field::strain>(p, begin, end, plain, changes, memory);
    case Field::gradient:
      return features_of<L, Field::gradient>(p, begin, end, plain, changes, memory);
  }
}

TNEP_END
