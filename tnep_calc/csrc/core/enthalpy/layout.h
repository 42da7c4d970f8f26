// The flat electric-enthalpy model that the kernels read: one int64 header and one tensor of real numbers.
//
// This file is the only description of the layout; tnep_calc/ops/enthalpy_packing.py writes it.  The model itself is
// described in tnep_calc/models/enthalpy_sites.py, whose names are used here.
//
// T species, n radial functions, F = T n rows of a density, K channels, H neurons; l = 0..3, lm = 0..15.
// Padded sizes: Kp = K up to 16, Hp = H up to 32, Qp = those of all invariants up to 32,
// Op = 8 Kp + 2 up to 32.
//
// Invariants are ordered: for l = 1, 2, 3 the products A_l,k . A_l,k' with k' >= k (up to a multiple of 16 in all), then
// blocks of Kp channels: A_0, two 4-body with l = 1, four with l = 2, three 5-body with l = 1, ten with l = 2.
// Outputs: weights of three vectors and five tensors (blocks of Kp channels), energy, trace.
//
// A matrix of r rows and c columns (c a multiple of 32) is stored in panels: [c / 32][r][32].
// Constants and units of the model are multiplied in: outputs are in eV, e A and e A^2/V.  A model may be the sum of
// several members of the same sizes, for the mean of which one over their number is multiplied in, too: they share
// neighbours and densities.  A header of version 1 ends before the number of members, which is 1.
//
// Parameters, in this order:
//   zbl            rows T x T x [16]   only if the header says so, see nep/layout.h
//   for every member, for every species of the centre:
//     contraction  4 x F x [Kp]
//     expansion    F x K x [16]        the same coefficients, of the l of every lm
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

// View of a packed model; plain data, made by make_enthalpy_model().
template <class R>
struct EnthalpyModel {
  int members, species, radial, channels, hidden;
  int rows;        // F
  int Kp, Hp, Qp, Op;
  int grams;       // invariants A_l . A_l of all l, padded: where the blocks of Kp begin
  int64_t stride;  // numbers per member and species
  const R *zbl, *sites;
};

}  // namespace tnep
