// Gradients and Hessians, with respect to r_j, of functions of one neighbour; and the pair fields along which
// derivatives are taken (see response.h).  u is the unit vector of r_j; Hessians are ordered xx xy xz yy yz zz.
#pragma once

#include "core/common/simd.h"

TNEP_BEGIN

TNEP_TABLE int kSix[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};  // 3x3 entry -> xx xy xz yy yz zz

// Gradient of sum_s h_s(r) Z_s(u): tangential is contract<L, 1>() of h, radial contract<L, 0>() of dh/dr.
template <class V>
TNEP_HD void angular_gradient(V x, V y, V z, V inverse_r, const V* tangential, V radial, V* gradient) {
  const V along = x * tangential[1] + y * tangential[2] + z * tangential[3];
  const V slope = radial - along * inverse_r;
  gradient[0] = slope * x + tangential[1] * inverse_r;
  gradient[1] = slope * y + tangential[2] * inverse_r;
  gradient[2] = slope * z + tangential[3] * inverse_r;
}

// Gradient and Hessian of the same function: p is contract<L, 2>() of h, pr is contract<L, 1>() of dh/dr, and prr is
// contract<L, 0>() of d2h/dr2.
template <class V>
TNEP_HD void angular_derivatives(const V* u, V inverse, const V* p, const V* pr, V prr, V* gradient, V* hess) {
  // Second derivatives with respect to u, and their projections.
  const V q[3][3] = {{p[4], p[5], p[6]}, {p[5], -p[4], p[7]}, {p[6], p[7], p[8]}};
  V qu[3], tangent[3], mixed[3];
  const V along = u[0] * p[1] + u[1] * p[2] + u[2] * p[3], along_r = u[0] * pr[1] + u[1] * pr[2] + u[2] * pr[3];
  for (int a = 0; a < 3; a++) {
    qu[a] = q[a][0] * u[0] + q[a][1] * u[1] + q[a][2] * u[2];
    tangent[a] = (p[1 + a] - along * u[a]) * inverse;
    mixed[a] = (pr[1 + a] - along_r * u[a] - tangent[a]) * inverse;
    gradient[a] = pr[0] * u[a] + tangent[a];
  }
  const V uqu = u[0] * qu[0] + u[1] * qu[1] + u[2] * qu[2];
  const V inverse2 = inverse * inverse, transverse = pr[0] * inverse - along * inverse2;
  int at = 0;
  for (int a = 0; a < 3; a++)
    for (int c = a; c < 3; c++, at++) {
      V value = u[a] * u[c] * (prr - transverse + uqu * inverse2);
      value += (q[a][c] - u[a] * qu[c] - qu[a] * u[c]) * inverse2 + u[a] * mixed[c] + mixed[a] * u[c];
      hess[at] = a == c ? value + transverse : value;
    }
}

// Change of the gradient of the same function when r_j moves along v, plus the gradient of a further function: p, pr
// and prr as above.  For the further function sum_s t_s(r) Z_s(u), pt is contract<L, 1>() of t + along dh/dr, where
// `along` is the component of v along u, and ptr is sum_s Z_s dt/dr.
template <class V>
TNEP_HD void angular_change(const V* u, V inverse, const V* v, V along, const V* p, const V* pr, V prr, const V* pt,
                            V ptr, V* out) {
  V turn[3], change[3];  // changes of u, and of the gradient with respect to u
  for (int a = 0; a < 3; a++) turn[a] = (v[a] - along * u[a]) * inverse;
  change[0] = pt[1] + p[4] * turn[0] + p[5] * turn[1] + p[6] * turn[2];
  change[1] = pt[2] + p[5] * turn[0] - p[4] * turn[1] + p[7] * turn[2];
  change[2] = pt[3] + p[6] * turn[0] + p[7] * turn[1] + p[8] * turn[2];
  const V shrink = along * inverse, up = u[0] * p[1] + u[1] * p[2] + u[2] * p[3];
  V outward = ptr + along * prr + turn[0] * pr[1] + turn[1] * pr[2] + turn[2] * pr[3];
  outward -= (turn[0] * p[1] + turn[1] * p[2] + turn[2] * p[3] - shrink * up) * inverse;
  outward -= (u[0] * change[0] + u[1] * change[1] + u[2] * change[2]) * inverse;
  const V sideways = pr[0] - up * inverse;
  for (int a = 0; a < 3; a++) out[a] = outward * u[a] + sideways * turn[a] + (change[a] - shrink * p[1 + a]) * inverse;
}

// Gradient and Hessian of a function of the distance, from its derivatives.
template <class V>
TNEP_HD void radial_derivatives(const V* u, V inverse, V slope, V curvature, V* gradient, V* hess) {
  const V transverse = slope * inverse, rest = curvature - transverse;
  int at = 0;
  for (int e = 0; e < 3; e++) {
    gradient[e] = slope * u[e];
    for (int g = e; g < 3; g++, at++) hess[at] = e == g ? rest * u[e] * u[g] + transverse : rest * u[e] * u[g];
  }
}

// Each pair field below has the functions pair(), which sets v without its sign, and add_rest(), which adds (dv/dr)^T
// p, again without the sign.

// Add Hess v to out.
template <class V>
TNEP_HD void add_hessian_times(const V* hess, const V* v, V* out) {
  out[0] += hess[0] * v[0] + hess[1] * v[1] + hess[2] * v[2];
  out[1] += hess[1] * v[0] + hess[3] * v[1] + hess[4] * v[2];
  out[2] += hess[2] * v[0] + hess[4] * v[1] + hess[5] * v[2];
}

template <class R>
struct DipoleField {
  static constexpr int components = 3;
  static constexpr bool scalar_network = false;
  TNEP_HD explicit DipoleField(const double*) {}

  template <class V>
  TNEP_HD void pair(int c, const V*, V r2, V* v) const {
    v[0] = v[1] = v[2] = fill<V>(R(0));
    v[c] = r2;
  }
  template <class V>
  TNEP_HD void add_rest(int c, const V* r, const V* p, V* out) const {
    for (int b = 0; b < 3; b++) out[b] += R(2) * r[b] * p[c];
  }
};

template <class R>
struct PolarizabilityField {
  static constexpr int components = 6;
  static constexpr bool scalar_network = true;
  TNEP_HD explicit PolarizabilityField(const double*) {}

  // alpha_aa contains the scalar site value itself.
  TNEP_HD static R scalar_weight(int c) { return c == 0 || c == 3 || c == 5 ? R(1) : R(0); }
  static TNEP_HD constexpr int first(int c) { return c < 3 ? 0 : c < 5 ? 1 : 2; }    // 0 0 0 1 1 2
  static TNEP_HD constexpr int second(int c) { return c < 3 ? c : c == 3 ? 1 : 2; }  // 0 1 2 1 2 2
  template <class V>
  TNEP_HD void pair(int c, const V* r, V, V* v) const {
    v[0] = v[1] = v[2] = fill<V>(R(0));
    v[second(c)] = r[first(c)];
  }
  template <class V>
  TNEP_HD void add_rest(int c, const V*, const V* p, V* out) const {
    out[first(c)] += p[second(c)];
  }
};

template <class R>
struct UniformField {
  static constexpr int components = 1;
  static constexpr bool scalar_network = false;
  R e[3];
  TNEP_HD explicit UniformField(const double* field) : e{R(field[0]), R(field[1]), R(field[2])} {}

  template <class V>
  TNEP_HD void pair(int, const V*, V r2, V* v) const {
    for (int b = 0; b < 3; b++) v[b] = r2 * e[b];
  }
  template <class V>
  TNEP_HD void add_rest(int, const V* r, const V* p, V* out) const {
    const V along = R(2) * (p[0] * e[0] + p[1] * e[1] + p[2] * e[2]);
    for (int b = 0; b < 3; b++) out[b] += along * r[b];
  }
};

// E.alpha.E / 2 of a polarizability model.
template <class R>
struct QuadraticField {
  static constexpr int components = 1;
  static constexpr bool scalar_network = true;
  R e[3];
  TNEP_HD explicit QuadraticField(const double* field) : e{R(field[0]), R(field[1]), R(field[2])} {}

  TNEP_HD R scalar_weight(int) const { return R(0.5) * (e[0] * e[0] + e[1] * e[1] + e[2] * e[2]); }
  template <class V>
  TNEP_HD void pair(int, const V* r, V, V* v) const {
    const V along = R(0.5) * (r[0] * e[0] + r[1] * e[1] + r[2] * e[2]);
    for (int b = 0; b < 3; b++) v[b] = along * e[b];
  }
  template <class V>
  TNEP_HD void add_rest(int, const V*, const V* p, V* out) const {
    const V along = R(0.5) * (p[0] * e[0] + p[1] * e[1] + p[2] * e[2]);
    for (int b = 0; b < 3; b++) out[b] += along * e[b];
  }
};

// out[c] = first[c] + Hess v_c + (dv_c/dr)^T p for every component c.
template <class Field, class V>
TNEP_HD void assemble(const Field& field, const V* r, V r2, const V* hess, const V* p, const V (*first)[3],
                      V (*out)[3]) {
  for (int c = 0; c < Field::components; c++) {
    V v[3];
    field.pair(c, r, r2, v);
    for (int b = 0; b < 3; b++) out[c][b] = first[c][b];
    add_hessian_times(hess, v, out[c]);
    field.add_rest(c, r, p, out[c]);
  }
}

TNEP_END
