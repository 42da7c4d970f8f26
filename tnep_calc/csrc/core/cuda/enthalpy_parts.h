// What the kernels of electric-enthalpy models on a GPU share: scratch memory of a block, places in arrays, seeds.
#pragma once

#include "core/cuda/edges.h"
#include "core/cuda/enthalpy.h"
#include "core/enthalpy/evaluate.h"

TNEP_BEGIN

constexpr int kEdgeTile = 32;

// Lay out arrays one after the other, each aligned to 16 bytes; `base` may be null to find the size.
struct Layout {
  char* base;
  size_t used = 0;

  template <class T>
  TNEP_HD T* take(int64_t count) {
    T* at = reinterpret_cast<T*>(base + used);
    used += (size_t(count) * sizeof(T) + 15) / 16 * 16;
    return at;
  }
};

template <class R>
struct DensityScratch {
  double* reduced;
  R *radial, *harmonics, *density;  // [kEdgeTile][n], [kEdgeTile][16], [F][16]
  int* species;                     // [kEdgeTile]; -1 beyond the cutoff
};

template <class R>
TNEP_HD size_t assign_memory(const EnthalpyModel<R>& m, char* base, DensityScratch<R>& s) {
  Layout layout{base};
  s.reduced = layout.take<double>(kThreads / kWarp + 1);
  s.radial = layout.take<R>(kEdgeTile * m.radial);
  s.harmonics = layout.take<R>(kEdgeTile * kComponents3);
  s.density = layout.take<R>(m.rows * kComponents3);
  s.species = layout.take<int>(kEdgeTile);
  return layout.used;
}

template <class R>
struct GradientScratch {
  R *d_a, *d_mixed;  // [16][Kp], [8][Kp]
};

template <class R>
TNEP_HD size_t assign_memory(const EnthalpyModel<R>& m, char* base, GradientScratch<R>& s) {
  Layout layout{base};
  s.d_a = layout.take<R>(kComponents3 * m.Kp);
  s.d_mixed = layout.take<R>(8 * m.Kp);
  return layout.used;
}

// The l of component lm, and the place of the pair (k, k') of channels among the products A_l . A_l.
TNEP_HD int degree_of(int lm) { return lm == 0 ? 0 : lm < 4 ? 1 : lm < 9 ? 2 : 3; }

TNEP_HD int pair_place(int l, int k, int other, int channels) {
  const int low = k < other ? k : other, high = k < other ? other : k;
  return (l - 1) * (channels * (channels + 1) / 2) + low * channels - low * (low - 1) / 2 + high - low;
}

template <class R>
TNEP_HD void field_at(const DeviceTask& task, int64_t centre, R* field) {
  for (int a = 0; a < 3; a++) field[a] = task.field ? task.field[task.field_stride * centre + a] : R(0);
}

template <class R>
TNEP_HD SiteSeed<R> seed_of(const DeviceTask& task, int s, int64_t centre) {
  double field[3], c[10];
  field_at(task, centre, field);
  seed_coefficients(task.seeds[s], field, c);
  return site_seed<R>(c);
}

// A number of the network's weights or of the state that belongs to vector or tensor v of channel k.
TNEP_HD int first_row(bool tensor, int v) {
  if (tensor) return v == 0 ? 4 : kRowB + 3 * kRows1 + 5 * (v - 1);
  return v == 0 ? 1 : kRowB + 3 * (v - 1);
}

// Threads of a block share most phases of one centre, so there is a block for each, up to a limit.
inline int64_t blocks_for(int64_t count) {
  constexpr int64_t most = int64_t(1) << 20;
  return count < most ? count : most;
}

TNEP_END
