// Rotational invariants of NEP as functions of the angular sums s[0..] of one radial function, and their gradients.
// T is a real number, a vector of real numbers, or a Dual of either (for second derivatives).
// 3-body terms: Fan et al., J. Chem. Phys. 157, 114801 (2022).  The optional 4- and 5-body terms are those of GPUMD.
#pragma once

#include "core/common/harmonics.h"
#include "core/nep/layout.h"

TNEP_BEGIN

// Dual number: a value and one directional derivative.
template <class V>
struct Dual {
  V v, d;
};
template <class V>
TNEP_HD Dual<V> operator+(Dual<V> a, Dual<V> b) {
  return {a.v + b.v, a.d + b.d};
}
template <class V>
TNEP_HD Dual<V> operator*(Dual<V> a, Dual<V> b) {
  return {a.v * b.v, a.v * b.d + a.d * b.v};
}
template <class V>
TNEP_HD Dual<V> operator*(Dual<V> a, real_of<V> b) {
  return {a.v * b, a.d * b};
}
template <class V>
struct RealOf<Dual<V>> {
  typedef real_of<V> type;
};

// One cubic term: coefficient * s[i] * s[j] * s[k].
struct Monomial {
  double coefficient;
  int i, j, k;
};

TNEP_TABLE Monomial k222[] = {{-0.007499480826664, 3, 3, 3}, {-0.134990654879954, 3, 4, 4},
                              {-0.134990654879954, 3, 5, 5}, {0.067495327439977, 3, 6, 6},
                              {0.067495327439977, 3, 7, 7},  {0.404971964639861, 6, 5, 5},
                              {-0.404971964639861, 6, 4, 4}, {-0.809943929279723, 4, 5, 7}};

TNEP_TABLE Monomial k112[] = {{0.027493550848847, 0, 0, 3},  {0.164961305093080, 0, 1, 4},
                              {0.164961305093080, 0, 2, 5},  {-0.013746775424423, 3, 1, 1},
                              {-0.013746775424423, 3, 2, 2}, {0.041240326273270, 6, 1, 1},
                              {-0.041240326273270, 6, 2, 2}, {0.082480652546540, 1, 2, 7}};

TNEP_TABLE Monomial k123[] = {
    {-0.168362926992344, 12, 2, 4}, {0.168362926992344, 11, 2, 5},  {-0.168362926992344, 1, 11, 4},
    {-0.168362926992344, 1, 12, 5}, {-0.084181463496172, 0, 11, 6}, {-0.084181463496172, 0, 12, 7},
    {-0.042090731748086, 14, 2, 6}, {0.042090731748086, 13, 2, 7},  {-0.042090731748086, 1, 13, 6},
    {-0.042090731748086, 1, 14, 7}, {-0.067345170796937, 0, 10, 5}, {-0.067345170796937, 0, 4, 9},
    {-0.016836292699234, 3, 10, 2}, {-0.016836292699234, 3, 0, 8},  {-0.016836292699234, 3, 1, 9},
    {-0.008418146349617, 10, 2, 6}, {0.008418146349617, 10, 1, 7},  {0.008418146349617, 2, 7, 9},
    {0.008418146349617, 1, 6, 9},   {0.033672585398469, 8, 2, 5},   {0.033672585398469, 8, 1, 4}};

TNEP_TABLE Monomial k233[] = {
    {0.008572620635186, 3, 8, 8},   {0.009644198214584, 3, 9, 9},    {0.009644198214584, 3, 10, 10},
    {0.019288396429168, 6, 9, 9},   {-0.019288396429168, 6, 10, 10}, {0.025717861905558, 8, 4, 9},
    {0.025717861905558, 8, 10, 5},  {-0.026789439484956, 3, 13, 13}, {-0.026789439484956, 3, 14, 14},
    {-0.032147327381947, 14, 7, 9}, {-0.032147327381947, 13, 6, 9},  {-0.032147327381947, 10, 14, 6},
    {0.032147327381947, 10, 13, 7}, {0.038576792858337, 10, 7, 9},   {-0.128589309527790, 8, 11, 6},
    {-0.128589309527790, 8, 12, 7}, {0.192883964291685, 11, 4, 9},   {0.192883964291685, 12, 5, 9},
    {0.192883964291685, 10, 12, 4}, {-0.192883964291685, 10, 11, 5}, {0.321473273819474, 12, 14, 4},
    {0.321473273819474, 11, 14, 5}, {0.321473273819474, 13, 11, 4},  {-0.321473273819474, 13, 12, 5}};

TNEP_TABLE Monomial k134[] = {
    {-0.003645164295772, 15, 10, 2}, {-0.003645164295772, 15, 1, 9},  {0.004860219061029, 0, 15, 8},
    {-0.006075273826286, 1, 13, 18}, {-0.006075273826286, 1, 14, 19}, {-0.006075273826286, 2, 14, 18},
    {0.006075273826286, 2, 13, 19},  {-0.018225821478859, 10, 18, 2}, {0.018225821478859, 1, 10, 19},
    {0.018225821478859, 1, 18, 9},   {0.018225821478859, 2, 19, 9},   {0.024301095305146, 8, 1, 16},
    {0.024301095305146, 8, 2, 17},   {0.036451642957719, 0, 10, 17},  {0.036451642957719, 0, 16, 9},
    {-0.036451642957719, 1, 11, 16}, {-0.036451642957719, 1, 12, 17}, {-0.036451642957719, 2, 12, 16},
    {0.036451642957719, 2, 11, 17},  {0.042526916784005, 1, 13, 22},  {0.042526916784005, 1, 14, 23},
    {-0.042526916784005, 2, 14, 22}, {0.042526916784005, 2, 13, 23},  {0.072903285915437, 0, 11, 18},
    {0.072903285915437, 0, 12, 19},  {0.085053833568010, 0, 13, 20},  {0.085053833568010, 0, 14, 21},
    {0.255161500704030, 1, 11, 20},  {0.255161500704030, 1, 12, 21},  {-0.255161500704030, 2, 12, 20},
    {0.255161500704030, 2, 11, 21}};

constexpr double k1111 = 0.026596810706114;  // q_1111 = k1111 (s0^2 + s1^2 + s2^2)^2

// Sum of the terms of a table.
template <const auto& Terms, class T>
TNEP_FUNCTION T cubic(const T* s) {
  using R = real_of<T>;
  T q{};
  TNEP_UNROLL(32)
  for (const Monomial& m : Terms) q = q + s[m.i] * s[m.j] * s[m.k] * R(m.coefficient);
  return q;
}

// Add weight times the gradient of the sum of a table to ds.
template <const auto& Terms, class T>
TNEP_FUNCTION void cubic_backward(const T* s, T weight, T* ds) {
  using R = real_of<T>;
  TNEP_UNROLL(32)
  for (const Monomial& m : Terms) {
    const T w = weight * R(m.coefficient);
    const T wi = w * s[m.i];
    ds[m.i] = ds[m.i] + w * (s[m.j] * s[m.k]);
    ds[m.j] = ds[m.j] + wi * s[m.k];
    ds[m.k] = ds[m.k] + wi * s[m.j];
  }
}

// q_l = C_l0 s_l0^2 + 2 sum_m C_lm (Re^2 + Im^2), as weight per component s.
TNEP_HD constexpr double component_weight(int l, int component) {  // component = s - (l^2 - 1)
  constexpr double inverse_pi = 0.31830988618379067154;
  const int m = (component + 1) / 2;
  return (m == 0 ? 1 : 2) * kPiC[table_row(l, m)] * inverse_pi;
}

// Invariants of one radial function n.  Calls put(block, q) with block = l - 1 for the 3-body terms, then for the
// optional blocks whose bit in `extra` is set.
template <int L, class T, class Put>
TNEP_HD void invariants(const T* s, int extra, Put&& put) {
  using R = real_of<T>;
  T norm1{};
  static_for<1, L + 1>([&](auto l_) TNEP_LAMBDA {
    constexpr int l = decltype(l_)::value;
    T q = s[l * l - 1] * s[l * l - 1] * R(component_weight(l, 0));
    TNEP_UNROLL(16)
    for (int i = 1; i < 2 * l + 1; i++) q = q + s[l * l - 1 + i] * s[l * l - 1 + i] * R(component_weight(l, i));
    put(l - 1, q);
    if constexpr (l == 1) norm1 = q * R(1 / component_weight(1, 0));
  });
  int block = L;
  if constexpr (L >= 2)
    if (extra & 1) put(block++, cubic<k222>(s));
  if (extra & 2) put(block++, norm1 * norm1 * R(k1111));
  if constexpr (L >= 2)
    if (extra & 4) put(block++, cubic<k112>(s));
  if constexpr (L >= 3)
    if (extra & 8) put(block++, cubic<k123>(s));
  if constexpr (L >= 3)
    if (extra & 16) put(block++, cubic<k233>(s));
  if constexpr (L >= 4)
    if (extra & 32) put(block++, cubic<k134>(s));
}

// Set ds to the gradient of sum_block get(block) q_block with respect to s.
template <int L, class T, class Get>
TNEP_HD void invariants_backward(const T* s, int extra, Get&& get, T* ds) {
  using R = real_of<T>;
  static_for<1, L + 1>([&](auto l_) TNEP_LAMBDA {
    constexpr int l = decltype(l_)::value;
    const T weight = get(l - 1);
    TNEP_UNROLL(17)
    for (int i = 0; i < 2 * l + 1; i++) ds[l * l - 1 + i] = weight * s[l * l - 1 + i] * R(2 * component_weight(l, i));
  });
  int block = L;
  if constexpr (L >= 2)
    if (extra & 1) cubic_backward<k222>(s, get(block++), ds);
  if (extra & 2) {
    const T w = get(block++) * (s[0] * s[0] + s[1] * s[1] + s[2] * s[2]) * R(4 * k1111);
    TNEP_UNROLL(3)
    for (int i = 0; i < 3; i++) ds[i] = ds[i] + w * s[i];
  }
  if constexpr (L >= 2)
    if (extra & 4) cubic_backward<k112>(s, get(block++), ds);
  if constexpr (L >= 3)
    if (extra & 8) cubic_backward<k123>(s, get(block++), ds);
  if constexpr (L >= 3)
    if (extra & 16) cubic_backward<k233>(s, get(block++), ds);
  if constexpr (L >= 4)
    if (extra & 32) cubic_backward<k134>(s, get(block++), ds);
}

TNEP_END
