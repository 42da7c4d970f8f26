// The packed electric-enthalpy model that the kernels read: one int64 header and one tensor of real numbers.
//
// This file defines the layout; tnep_calc/ops/enthalpy_packing.py writes it.  The model itself is described in
// tnep_calc/models/enthalpy/sites.py, whose names are used here.
//
// T is the number of species, n that of radial functions, F = T n that of rows of a density, K that of channels, H that
// of neurons in a hidden layer; l = 0..3, lm = 0..15.
// Padded sizes: Kp is K rounded up to a multiple of 16; Hp is H, Qp the number of invariants with their padding, and Op
// is 8 Kp + 2, each rounded up to a multiple of 32.
//
// Order of the invariants: for l = 1, 2, 3 the products A_l,k . A_l,k' with k' >= k (padded to a multiple of 16 in
// all), then blocks of Kp channels: A_0, two 4-body with l = 1, four with l = 2, three 5-body with l = 1, ten with l
// = 2. Outputs: weights of three vectors and five tensors (blocks of Kp channels), energy, trace.
//
// A matrix of r rows and c columns (c a multiple of 32) is stored in panels: [c / 32][r][32].
// The constants and units of the model are multiplied in, so that outputs are in eV, e A and e A^2/V.  A model may be
// the mean of several members of the same sizes, which share neighbours and densities; the factor 1 / (number of
// members) is also multiplied in.  A header of version 1 has no number of members, which is 1.
//
// Parameters, in this order:
//   zbl            rows T x T x [16]   only if the header has kEZbl = 1, see nep/layout.h
//   for every member, for every species of the centre:
//     contraction  4 x F x [Kp]
//     expansion    F x K x [16]        the same coefficients, repeated for every lm
//     mixing       2 x K x [Kp]        for l = 1 and 2
//     mixing_t     2 x K x [Kp]        transposed
//     offset       [Qp]                subtracted from the invariants
//     linear       [Qp]
//     b1, b2       2 x [Hp]
//     b3           [Op]
//     w1, w2, w3   panels Qp x Hp, Hp x Hp, Hp x Op
//     w1_t, w2_t, w3_t   panels of the transposed matrices
#pragma once

#include <cstdint>

#include "core/common/packing.h"

namespace tnep {

constexpr int kEnthalpyVersion = 2;
constexpr int kMaxRadial = 32;

enum EnthalpyField { kEVersion, kESpecies, kERadial, kEChannels, kEHidden, kEZbl, kEMembers, kEHeaderSize };

// Parameters of the centres of one species.
template <class R>
struct SiteParameters {
  const R *contraction, *expansion, *mixing, *mixing_t, *offset, *linear, *b1, *b2, *b3, *w1, *w2, *w3, *w1_t, *w2_t,
      *w3_t;
};

// View of a packed model, made by make_enthalpy_model().
template <class R>
struct EnthalpyModel {
  int members, species, radial, channels, hidden;
  int rows;  // F
  int Kp, Hp, Qp, Op;
  int grams;       // padded number of invariants A_l . A_l for all l, which is the index of the first block of Kp
  int64_t stride;  // number of parameters per member and species
  const R *zbl, *sites;
};

}  // namespace tnep
