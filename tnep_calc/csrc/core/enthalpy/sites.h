// Site functions of an electric-enthalpy model before the network, and their reverse pass: density -> channels A ->
// products B -> invariants q, vectors and tensors.  The vector lanes hold channels.
#pragma once

#include "core/enthalpy/couplings.h"
#include "core/enthalpy/edges.h"

TNEP_BEGIN

constexpr int kVectors = 1 + kRows1, kTensors = 1 + kRows2;  // blocks of Kp weights
constexpr int kState = kComponents3 + kProducts + 8;         // rows of Kp kept per centre: A, B, and A_1, A_2 mixed
constexpr int kRowB = kComponents3, kRowMixed = kRowB + kProducts;
// Blocks of invariants after the products A_l . A_l.
constexpr int kBlockA0 = 0, kBlockFour1 = 1, kBlockFour2 = kBlockFour1 + kRows1, kBlockFive1 = kBlockFour2 + kRows2,
              kBlockFive2 = kBlockFive1 + kRows1 * (kRows1 + 1) / 2;

template <class R>
TNEP_HD SiteParameters<R> site_parameters(const EnthalpyModel<R>& m, int member, int species) {
  const R* p = m.sites + (int64_t(member) * m.species + species) * m.stride;
  const auto take = [&](int64_t n) TNEP_LAMBDA {
    const R* block = p;
    p += n;
    return block;
  };
  const int64_t K = m.channels, Kp = m.Kp, Hp = m.Hp, Qp = m.Qp, Op = m.Op;
  SiteParameters<R> s;
  s.contraction = take(4 * m.rows * Kp);
  s.expansion = take(m.rows * K * kComponents3);
  s.mixing = take(2 * K * Kp);
  s.mixing_t = take(2 * K * Kp);
  s.offset = take(Qp);
  s.linear = take(Qp);
  s.b1 = take(Hp);
  s.b2 = take(Hp);
  s.b3 = take(Op);
  s.w1 = take(Qp * Hp);
  s.w2 = take(Hp * Hp);
  s.w3 = take(Hp * Op);
  s.w1_t = take(Hp * Qp);
  s.w2_t = take(Hp * Hp);
  s.w3_t = take(Op * Hp);
  return s;
}

// A_lm = sum_f density[f][lm] contraction[l][f].
template <class R>
TNEP_FUNCTION void contract_density(const EnthalpyModel<R>& m, const R* contraction, const R* density, R* a) {
  using V = Vec<R>;
  for (int k = 0; k < m.Kp; k += kLanes<R>) {
    static_for<0, 4>([&](auto l_) TNEP_LAMBDA {
      constexpr int l = decltype(l_)::value, size = 2 * l + 1, first = l * l;
      const R* c = contraction + l * m.rows * m.Kp + k;
      V acc[size];
      TNEP_UNROLL(7)
      for (int i = 0; i < size; i++) acc[i] = fill<V>(R(0));
      for (int f = 0; f < m.rows; f++) {
        const V row = load<V>(c + f * m.Kp);
        TNEP_UNROLL(7)
        for (int i = 0; i < size; i++) acc[i] += row * density[f * kComponents3 + first + i];
      }
      TNEP_UNROLL(7)
      for (int i = 0; i < size; i++) store<V>(a + (first + i) * m.Kp + k, acc[i]);
    });
  }
}

// out[i][k'] = sum_k in[i][k] matrix[k][k'] for C rows i; added to the old values if Add.
template <int C, bool Add, class R>
TNEP_HD void mix(const EnthalpyModel<R>& m, const R* matrix, const R* in, R* out) {
  using V = Vec<R>;
  for (int column = 0; column < m.Kp; column += kLanes<R>) {
    V acc[C];
    TNEP_UNROLL(5)
    for (int i = 0; i < C; i++) acc[i] = Add ? load<V>(out + i * m.Kp + column) : fill<V>(R(0));
    for (int k = 0; k < m.channels; k++) {
      const V row = load<V>(matrix + k * m.Kp + column);
      TNEP_UNROLL(5)
      for (int i = 0; i < C; i++) acc[i] += row * in[i * m.Kp + k];
    }
    TNEP_UNROLL(5)
    for (int i = 0; i < C; i++) store<V>(out + i * m.Kp + column, acc[i]);
  }
}

// Compute the products A_l,k . A_l,k' with k' >= k, in rows k.  The surplus of the last vector of a row is overwritten
// by the next row.  Returns the end of the products.
template <int L, class R>
TNEP_HD R* grams(const EnthalpyModel<R>& m, const R* a, R* q) {
  using V = Vec<R>;
  constexpr int size = 2 * L + 1;
  a += L * L * m.Kp;
  for (int k = 0; k < m.channels; k++) {
    for (int column = k; column < m.channels; column += kLanes<R>) {
      V acc = fill<V>(R(0));
      TNEP_UNROLL(7)
      for (int i = 0; i < size; i++) acc += load<V>(a + i * m.Kp + column) * a[i * m.Kp + k];
      store<V>(q + column - k, acc);
    }
    q += m.channels - k;
  }
  return q;
}

// Add to d_a the derivatives with respect to A, from those with respect to these products.  `square` is scratch memory
// for two matrices Kp x Kp.  Returns the end of the products.
template <int L, class R>
TNEP_HD const R* grams_backward(const EnthalpyModel<R>& m, const R* a, const R* d_q, R* square, R* d_a) {
  using V = Vec<R>;
  using S = ShortVec<R>;
  constexpr int size = 2 * L + 1, W = kLanes<R>, WS = kShortLanes<R>;
  const int Kp = m.Kp, K = m.channels;
  R *upper = square, *lower = square + Kp * Kp;
  const R* row = d_q;
  for (int k = 0; k < K; k++, row += K - k + 1) {
    for (int column = k / W * W; column < Kp; column += W) store<V>(upper + k * Kp + column, load<V>(row + column - k));
    for (int column = 0; column < k; column++) upper[k * Kp + column] = 0;
    for (int column = K; column < Kp; column++) upper[k * Kp + column] = 0;
  }
  for (int k = K; k < Kp; k++)
    for (int column = 0; column < Kp; column += W) store<V>(upper + k * Kp + column, fill<V>(R(0)));
  for (int i = 0; i < Kp; i += WS)
    for (int j = 0; j < Kp; j += WS) transpose<S>(upper + i * Kp + j, Kp, lower + j * Kp + i, Kp);
  a += L * L * Kp;
  d_a += L * L * Kp;
  for (int column = 0; column < Kp; column += W) {
    V acc[size];
    TNEP_UNROLL(7)
    for (int i = 0; i < size; i++) acc[i] = load<V>(d_a + i * Kp + column);
    for (int k = 0; k < K; k++) {
      const V both = load<V>(upper + k * Kp + column) + load<V>(lower + k * Kp + column);
      TNEP_UNROLL(7)
      for (int i = 0; i < size; i++) acc[i] += both * a[i * Kp + k];
    }
    TNEP_UNROLL(7)
    for (int i = 0; i < size; i++) store<V>(d_a + i * Kp + column, acc[i]);
  }
  return row;
}

// Compute the state and the invariants (minus the offset) of one centre from its density.
template <class R>
TNEP_FUNCTION void site_forward(const EnthalpyModel<R>& m, const SiteParameters<R>& p, const R* density, R* state,
                                R* q) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const int Kp = m.Kp;
  R *a = state, *b = state + kRowB * Kp, *mixed = state + kRowMixed * Kp;
  contract_density(m, p.contraction, density, a);
  mix<3, false>(m, p.mixing, a + Kp, mixed);
  mix<5, false>(m, p.mixing + m.channels * Kp, a + 4 * Kp, mixed + 3 * Kp);
  R* end = grams<3>(m, a, grams<2>(m, a, grams<1>(m, a, q)));
  R* blocks = q + m.grams;
  for (; end < blocks; end++) *end = 0;
  for (int k = 0; k < Kp; k += W) {
    V va[kComponents3], vb[kProducts];
    TNEP_UNROLL(16)
    for (int i = 0; i < kComponents3; i++) va[i] = load<V>(a + i * Kp + k);
    TNEP_UNROLL(26)
    for (int i = 0; i < kProducts; i++) vb[i] = fill<V>(R(0));
    static_for<0, kCouplings>([&](auto i) TNEP_LAMBDA {
      constexpr Coupling c = kCoupling[decltype(i)::value];
      vb[c.row] += va[c.a] * va[c.b] * R(c.value);
    });
    TNEP_UNROLL(26)
    for (int i = 0; i < kProducts; i++) store<V>(b + i * Kp + k, vb[i]);
    R* to = blocks + k;
    store<V>(to, va[0]);
    const auto dot = [&](const R* left, const R* right, int size) TNEP_LAMBDA {
      V total = load<V>(left + k) * load<V>(right + k);
      TNEP_UNROLL(5)
      for (int i = 1; i < size; i++) total += load<V>(left + i * Kp + k) * load<V>(right + i * Kp + k);
      to += Kp;
      store<V>(to, total);
    };
    const R* b2 = b + 3 * kRows1 * Kp;
    for (int i = 0; i < kRows1; i++) dot(b + 3 * i * Kp, mixed, 3);
    for (int i = 0; i < kRows2; i++) dot(b2 + 5 * i * Kp, mixed + 3 * Kp, 5);
    for (int i = 0; i < kRows1; i++)
      for (int j = i; j < kRows1; j++) dot(b + 3 * i * Kp, b + 3 * j * Kp, 3);
    for (int i = 0; i < kRows2; i++)
      for (int j = i; j < kRows2; j++) dot(b2 + 5 * i * Kp, b2 + 5 * j * Kp, 5);
  }
  for (R* pad = blocks + 20 * Kp; pad < q + m.Qp; pad++) *pad = 0;
  for (int i = 0; i < m.Qp; i += W) store<V>(q + i, load<V>(q + i) - load<V>(p.offset + i));
}

// Compute the dipole (components of l = 1) and, if `polarizability`, the traceless polarizability (components of l = 2)
// from the weights.
template <class R>
TNEP_FUNCTION void site_tensors(const EnthalpyModel<R>& m, const R* state, const R* weights, bool polarizability,
                                R* dipole, R* tensor) {
  using V = Vec<R>;
  const int Kp = m.Kp;
  V d[3], t[5];
  for (V& v : d) v = fill<V>(R(0));
  for (V& v : t) v = fill<V>(R(0));
  for (int k = 0; k < Kp; k += kLanes<R>) {
    for (int v = 0; v < kVectors; v++) {
      const R* row = state + (v == 0 ? 1 : kRowB + 3 * (v - 1)) * Kp + k;
      const V w = load<V>(weights + v * Kp + k);
      TNEP_UNROLL(3)
      for (int i = 0; i < 3; i++) d[i] += load<V>(row + i * Kp) * w;
    }
    for (int v = 0; polarizability && v < kTensors; v++) {
      const R* row = state + (v == 0 ? 4 : kRowB + 3 * kRows1 + 5 * (v - 1)) * Kp + k;
      const V w = load<V>(weights + (kVectors + v) * Kp + k);
      TNEP_UNROLL(5)
      for (int i = 0; i < 5; i++) t[i] += load<V>(row + i * Kp) * w;
    }
  }
  for (int i = 0; i < 3; i++) dipole[i] = sum(d[i]);
  for (int i = 0; i < 5; i++) tensor[i] = sum(t[i]);
}

// A scalar of one centre, as coefficients of energy, trace, dipole (l = 1) and traceless polarizability (l = 2).
template <class R>
struct SiteSeed {
  R energy, trace, dipole[3], tensor[5];
};

// Compute the derivatives of the scalar with respect to the outputs of the network: all outputs, or only the weights of
// vectors.
template <class R>
TNEP_FUNCTION void seed_outputs(const EnthalpyModel<R>& m, const R* state, const SiteSeed<R>& seed, bool all,
                                R* d_out) {
  using V = Vec<R>;
  const int Kp = m.Kp;
  for (int k = 0; k < Kp; k += kLanes<R>) {
    for (int v = 0; v < kVectors; v++) {
      const R* row = state + (v == 0 ? 1 : kRowB + 3 * (v - 1)) * Kp + k;
      V total = load<V>(row) * seed.dipole[0];
      for (int i = 1; i < 3; i++) total += load<V>(row + i * Kp) * seed.dipole[i];
      store<V>(d_out + v * Kp + k, total);
    }
    for (int v = 0; all && v < kTensors; v++) {
      const R* row = state + (v == 0 ? 4 : kRowB + 3 * kRows1 + 5 * (v - 1)) * Kp + k;
      V total = load<V>(row) * seed.tensor[0];
      for (int i = 1; i < 5; i++) total += load<V>(row + i * Kp) * seed.tensor[i];
      store<V>(d_out + (kVectors + v) * Kp + k, total);
    }
  }
  if (!all) return;
  for (int i = 8 * Kp; i < m.Op; i++) d_out[i] = 0;
  d_out[8 * Kp] = seed.energy;
  d_out[8 * Kp + 1] = seed.trace;
}

// Compute the derivatives of the scalar with respect to the density, d_density[f][lm], through the invariants (d_q) and
// through the vectors and tensors.  They are added to the old values if `add`.  Scratch memory: d_a has 16 + 8 rows of
// Kp; square has 2 Kp x Kp numbers (at least 16 Kp).
template <class R>
TNEP_FUNCTION void site_backward(const EnthalpyModel<R>& m, const SiteParameters<R>& p, const R* state,
                                 const R* weights, const SiteSeed<R>& seed, const R* d_q, R* d_a, R* square, bool add,
                                 R* d_density) {
  using V = Vec<R>;
  using S = ShortVec<R>;
  constexpr int W = kLanes<R>, WS = kShortLanes<R>;
  const int Kp = m.Kp;
  const R *a = state, *b = state + kRowB * Kp, *mixed = state + kRowMixed * Kp;
  R* d_mixed = d_a + kComponents3 * Kp;
  for (int k = 0; k < Kp; k += W) {
    const R* block = d_q + m.grams + k;
    const auto of_q = [&](int i) TNEP_LAMBDA { return load<V>(block + i * Kp); };
    const auto of_weight = [&](int i) TNEP_LAMBDA { return load<V>(weights + i * Kp + k); };
    V db[kProducts], da[kComponents3];
    // Products B_i of one l: `count` of them with `size` components each, beginning at row `first`.  `mixed_` is the A
    // of this l after mixing; `four` and `five` are the first blocks of their invariants.
    const auto family = [&](auto size_, auto count_, int first, const R* mixed_, int four, int five, const R* c,
                            int weight, R* d_mixed_) TNEP_LAMBDA {
      constexpr int size = decltype(size_)::value, count = decltype(count_)::value;
      V dm[size], row[count * size];
      TNEP_UNROLL(20)
      for (int i = 0; i < count * size; i++) row[i] = load<V>(b + (first + i) * Kp + k);
      TNEP_UNROLL(5)
      for (int s = 0; s < size; s++) dm[s] = fill<V>(R(0));
      TNEP_UNROLL(4)
      for (int i = 0; i < count; i++) {
        const V g = of_q(four + i), w = of_weight(weight + i);
        TNEP_UNROLL(5)
        for (int s = 0; s < size; s++) {
          db[first + i * size + s] = w * c[s] + g * load<V>(mixed_ + s * Kp + k);
          dm[s] += g * row[i * size + s];
        }
      }
      int pair = five;
      TNEP_UNROLL(4)
      for (int i = 0; i < count; i++) TNEP_UNROLL(4)
      for (int j = i; j < count; j++) {
        const V g = of_q(pair++);
        TNEP_UNROLL(5)
        for (int s = 0; s < size; s++) {
          db[first + i * size + s] += g * row[j * size + s];
          db[first + j * size + s] += g * row[i * size + s];
        }
      }
      TNEP_UNROLL(5)
      for (int s = 0; s < size; s++) store<V>(d_mixed_ + s * Kp + k, dm[s]);
    };
    family(Int<3>{}, Int<kRows1>{}, 0, mixed, kBlockFour1, kBlockFive1, seed.dipole, 1, d_mixed);
    family(Int<5>{}, Int<kRows2>{}, 3 * kRows1, mixed + 3 * Kp, kBlockFour2, kBlockFive2, seed.tensor, kVectors + 1,
           d_mixed + 3 * Kp);

    da[0] = of_q(kBlockA0);
    const V w1 = of_weight(0), w2 = of_weight(kVectors);
    TNEP_UNROLL(3)
    for (int i = 0; i < 3; i++) da[1 + i] = w1 * seed.dipole[i];
    TNEP_UNROLL(5)
    for (int i = 0; i < 5; i++) da[4 + i] = w2 * seed.tensor[i];
    TNEP_UNROLL(7)
    for (int i = 9; i < 16; i++) da[i] = fill<V>(R(0));
    static_for<0, kCouplings>([&](auto i) TNEP_LAMBDA {
      constexpr Coupling c = kCoupling[decltype(i)::value];
      const V d = db[c.row] * R(c.value);
      da[c.a] += d * load<V>(a + c.b * Kp + k);
      da[c.b] += d * load<V>(a + c.a * Kp + k);
    });
    TNEP_UNROLL(16)
    for (int i = 0; i < kComponents3; i++) store<V>(d_a + i * Kp + k, da[i]);
  }
  mix<3, true>(m, p.mixing_t, d_mixed, d_a + Kp);
  mix<5, true>(m, p.mixing_t + m.channels * Kp, d_mixed + 3 * Kp, d_a + 4 * Kp);
  const R* rest = grams_backward<1>(m, a, d_q, square, d_a);
  rest = grams_backward<2>(m, a, rest, square, d_a);
  grams_backward<3>(m, a, rest, square, d_a);

  R* by_channel = square;  // d_a, transposed: rows of lm
  for (int i = 0; i < kComponents3; i += WS)
    for (int k = 0; k < Kp; k += WS)
      transpose<S>(d_a + i * Kp + k, Kp, by_channel + k * kComponents3 + i, kComponents3);
  for (int f = 0; f < m.rows; f++) {
    const R* c = p.expansion + int64_t(f) * m.channels * kComponents3;
    constexpr int parts = kComponents3 / W;
    V acc[2][parts];
    TNEP_UNROLL(8)
    for (int i = 0; i < parts; i++) {
      acc[0][i] = add ? load<V>(d_density + f * kComponents3 + i * W) : fill<V>(R(0));
      acc[1][i] = fill<V>(R(0));
    }
    for (int k = 0; k < m.channels; k++) TNEP_UNROLL(8)
    for (int i = 0; i < parts; i++)
      acc[k % 2][i] += load<V>(c + k * kComponents3 + i * W) * load<V>(by_channel + k * kComponents3 + i * W);
    TNEP_UNROLL(8)
    for (int i = 0; i < parts; i++) store<V>(d_density + f * kComponents3 + i * W, acc[0][i] + acc[1][i]);
  }
}

TNEP_END
