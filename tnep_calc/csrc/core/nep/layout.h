// The packed model that the kernels read: one int64 header and one tensor of real numbers.
//
// This file defines the layout; tnep_calc/ops/nep_packing.py writes it.
//
// Header: the fields of HeaderField below, kHeaderSize numbers.
//
// Parameters: the blocks below, in this order.  Every block, and every row of a block marked "rows", is
// padded with zeros to a multiple of kPad numbers, so that whole rows can be read with vectors of any width.
// T is the number of species, dim that of descriptor components, M that of neurons; the indices are ti for the
// species of the centre and tj for that of the neighbour.
//
//   radial_cutoffs      [T * T]             pair cutoffs in A, row ti
//   angular_cutoffs     [T * T]
//   q_scaler            [dim]
//   bias                [networks * T]      sum of the output biases, subtracted from the site value
//   for every network (2 for a polarizability: tensor, scalar), for every net (T, or 1 for NEP version 3):
//     w0_columns        rows dim x [M]      first layer times q_scaler, transposed
//     w0_rows           rows M x [dim]      the same, row per neuron
//     b0                [M]
//     w1                [M]
//   radial_by_k         rows T x T x kr x [nr]    coefficients a of the expansion in Chebyshev polynomials,
//   radial_by_n         rows T x T x nr x [kr]    g_n(r) = fc(r) sum_k a[n][k] T_k(x):
//   angular_by_k        rows T x T x ka x [na]    a[n][0] = c[n][0] + sum_{k>0} c[n][k] / 2, a[n][k] = c[n][k] / 2
//   zbl                 rows T x T x [10]   only if the header has kZbl = 1: inner and outer radius (A), then
//                                           four pairs (K Zi Zj coefficient in eV A, exponent in 1/A)
#pragma once

#include <cstdint>

#include "core/common/packing.h"

namespace tnep {

constexpr int64_t kLayoutVersion = 1;
constexpr int64_t kMaxBasis = 32;
constexpr int64_t kMaxL = 8;
constexpr int kExtraBlocks = 6;  // 222, 1111, 112, 123, 233, 134

enum HeaderField {
  kVersion,     // kLayoutVersion
  kKind,        // 0 potential, 1 dipole, 2 polarizability
  kSpecies,     // T
  kRadialN,     // number of radial functions, n_max + 1
  kAngularN,    // number of angular functions, n_max + 1
  kRadialK,     // number of radial basis functions, basis_size + 1
  kAngularK,    // number of angular basis functions
  kLMax,        // 1..8
  kExtraFlags,  // bit b set: optional block b is on
  kNeurons,     // M
  kNets,        // nets per network: T, or 1
  kNetworks,    // 1, or 2 for a polarizability
  kZbl,         // 1 with the zbl block
  kDim,         // dim
  kHeaderSize
};

// View of a packed model, made by make_model() in model.cpp.  The names are those of the layout; *_pad are padded
// lengths.
template <class R>
struct Model {
  int kind, species, nr, na, kr, ka, l_max, extra, neurons, nets, networks, dim;
  int nr_pad, na_pad, kr_pad, neurons_pad, dim_pad;
  int64_t net_stride;
  const R *radial_cutoffs, *angular_cutoffs, *q_scaler, *bias, *nets_begin;
  const R *radial_by_k, *radial_by_n, *angular_by_k, *zbl;
};

}  // namespace tnep
