// Derivatives of site values by the positions of atoms, for several models: forces of a population.  The vector lanes
// hold models, so the gradients of the features, which all models share, are loaded once for all of them.
#pragma once

#include "core/common/simd.h"
#include "core/training/api.h"

TNEP_BEGIN

constexpr int kPairTile = 16;   // centres whose derivatives by sums are transposed together
constexpr int kMostBlocks = 4;  // vectors of models whose sums of a pair stay in registers

template <class R>
int padded_models(const PairProblem<R>& p) {
  return (p.models + kLanes<R> - 1) / kLanes<R> * kLanes<R>;
}

template <class R>
size_t pair_workspace_bytes(const PairProblem<R>& p) {
  const int64_t sums = p.n_radial + p.n_angular * p.s, features = p.k_radial + p.k_angular * p.s;
  return sizeof(R) * padded_models(p) * (kPairTile * sums + features);
}

// Derivatives by moments from those by sums, for vectors of models: to[k][s] = sum_n c[n][k] from[n][s].
template <class R>
void to_moments(int n, int k, int s, int padded, const R* c, const R* from, R* to) {
  using V = Vec<R>;
  for (int lane = 0; lane < padded; lane += kLanes<R>)
    for (int i = 0; i < s; i++)
      for (int j = 0; j < k; j++) {
        V total{};
        for (int m = 0; m < n; m++)
          total += load<V>(c + (m * k + j) * padded + lane) * load<V>(from + (m * s + i) * padded + lane);
        store<V>(to + (j * s + i) * padded + lane, total);
      }
}

// Add the product of `features` derivatives h[F][padded] and gradients g[F][3] of a pair, for B vectors of models, to
// the neighbour, and subtract it from the centre.
template <int B, class R>
void add_pair(int features, int padded, const R* h, const R* g, R* neighbor, R* center) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  V total[3][B] = {};
  for (int f = 0; f < features; f++) {
    V own[B];
    TNEP_UNROLL(4)
    for (int b = 0; b < B; b++) own[b] = load<V>(h + int64_t(f) * padded + b * W);
    TNEP_UNROLL(3)
    for (int d = 0; d < 3; d++) {
      const V slope = fill<V>(g[3 * f + d]);
      TNEP_UNROLL(4)
      for (int b = 0; b < B; b++) total[d][b] += slope * own[b];
    }
  }
  for (int d = 0; d < 3; d++)
    for (int b = 0; b < B; b++) {
      R* const to = neighbor + d * padded + b * W;
      store<V>(to, load<V>(to) + total[d][b]);
      R* const from = center + d * padded + b * W;
      store<V>(from, load<V>(from) - total[d][b]);
    }
}

template <int B, class R>
void add_blocks(int blocks, int features, int padded, const R* h, const R* g, R* neighbor, R* center) {
  for (; blocks >= B; blocks -= B) {
    add_pair<B>(features, padded, h, g, neighbor, center);
    h += B * kLanes<R>, neighbor += B * kLanes<R>, center += B * kLanes<R>;
  }
  if constexpr (B > 1)
    if (blocks) add_blocks<B - 1>(blocks, features, padded, h, g, neighbor, center);
}

// Whether a pair is within the angular cutoff: the gradients of the first function with l = 1, the first nine numbers,
// have the trace 3 f + r f', and vanish together only where the cutoff function f and its derivative f' do.
template <class R>
bool is_angular(const R* g) {
  for (int i = 0; i < 9; i++)
    if (g[i] != R(0)) return true;
  return false;
}

template <class R>
void pairs(const PairProblem<R>& p, int64_t begin, int64_t end, R* out, void* memory) {
  const int padded = padded_models(p), blocks = padded / kLanes<R>, rest = p.n_angular * p.s;
  const int rows = p.n_radial + rest, features = p.k_radial + p.k_angular * p.s;
  R* const sums = static_cast<R*>(memory);
  R* const h = sums + int64_t(kPairTile) * rows * padded;
  for (int64_t i = 0; i < int64_t(kPairTile) * rows * padded; i++) sums[i] = 0;  // the lanes without a model stay 0
  for (int64_t tile = begin; tile < end; tile += kPairTile) {
    const int count = int(end - tile < kPairTile ? end - tile : kPairTile);
    for (int model = 0; model < p.models; model++)
      for (int row = 0; row < rows; row++) {
        const R* const from = row < p.n_radial ? p.radial + (int64_t(model) * p.n_radial + row) * p.centres
                                               : p.angular + (int64_t(model) * rest + row - p.n_radial) * p.centres;
        for (int i = 0; i < count; i++) sums[(int64_t(i) * rows + row) * padded + model] = from[p.first + tile + i];
      }
    for (int i = 0; i < count; i++) {
      const R* const own = sums + int64_t(i) * rows * padded;
      for (int near = 0; near < p.near; near++) {
        const int64_t* const slot = p.ends + (tile + i) * p.near + near;
        bool with_angular = false;  // whether h has the angular part of this slot
        if (slot[0] < slot[1]) to_moments(p.n_radial, p.k_radial, 1, padded, p.c_radial[near], own, h);
        for (int64_t pair = slot[0]; pair < slot[1]; pair++) {
          const R* const g = p.gradient + pair * features * 3;
          const bool angular = is_angular(g + 3 * p.k_radial);
          if (angular && !with_angular)
            to_moments(p.n_angular, p.k_angular, p.s, padded, p.c_angular[near], own + p.n_radial * padded,
                       h + p.k_radial * padded);
          with_angular |= angular;
          add_blocks<kMostBlocks>(blocks, angular ? features : p.k_radial, padded, h, g,
                                  out + p.neighbor[pair] * 3 * padded, out + p.center[pair] * 3 * padded);
        }
      }
    }
  }
}

TNEP_END
