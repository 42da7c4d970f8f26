// From the edges of one centre to slots: filter by the cutoff, sort by species, distances, cutoff function.
#pragma once

#include "radial.h"
#include "workspace.h"

TNEP_BEGIN

// Put the edges of centre c that are inside the cutoff into their species' slots, one by one.
template <class R>
TNEP_HD void sort_edges(const Edges& e, int64_t begin, int64_t end, const double* cutoff2, Workspace<R>& w) {
  for (int64_t k = begin; k < end; k++) {
    const double *v = e.vectors + 3 * k, x = v[0], y = v[1], z = v[2];
    const int64_t j = e.neighbors[k];
    const int t = w.n_species == 1 ? 0 : int(e.species[j]);
    const int slot = w.filled[t];
    w.x[slot] = R(x);
    w.y[slot] = R(y);
    w.z[slot] = R(z);
    w.atom[slot] = int32_t(j);
    w.filled[t] = slot + (x * x + y * y + z * z < cutoff2[t]);
  }
}

#if defined(__AVX512F__)
// The lanes of `keep`, moved together, at p.
TNEP_HD void store_packed(float* p, __mmask8 keep, __m512d v) {
  _mm256_storeu_ps(p, _mm256_maskz_compress_ps(keep, _mm512_cvtpd_ps(v)));
}
TNEP_HD void store_packed(double* p, __mmask8 keep, __m512d v) {
  _mm512_storeu_pd(p, _mm512_maskz_compress_pd(keep, v));
}

// The same for eight edges at a time; at most eight species.
template <class R>
TNEP_HD int64_t sort_edges_by_eight(const Edges& e, int64_t begin, int64_t end, const double* cutoff2,
                                    Workspace<R>& w) {
  const __m512d limits = _mm512_loadu_pd(cutoff2);
  const auto pick = [](__m512d a, __m512d b, __m512d c, __m512i from_ab, __m512i from_c, __mmask8 last) TNEP_LAMBDA {
    return _mm512_mask_permutexvar_pd(_mm512_permutex2var_pd(a, from_ab, b), last, from_c, c);
  };
  int64_t k = begin;
  for (; k + 8 <= end; k += 8) {
    const double* v = e.vectors + 3 * k;
    const __m512d a = _mm512_loadu_pd(v), b = _mm512_loadu_pd(v + 8), c = _mm512_loadu_pd(v + 16);
    const __m512d x = pick(a, b, c, _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0),
                           _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 2, 5), 0xc0);
    const __m512d y = pick(a, b, c, _mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0),
                           _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 3, 6), 0xe0);
    const __m512d z = pick(a, b, c, _mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0),
                           _mm512_setr_epi64(0, 0, 0, 0, 0, 1, 4, 7), 0xe0);
    const __m512d r2 = _mm512_fmadd_pd(x, x, _mm512_fmadd_pd(y, y, _mm512_mul_pd(z, z)));
    const __m512i j = _mm512_loadu_si512(e.neighbors + k);
    __m512i t = _mm512_setzero_si512();
    if (w.n_species > 1) t = _mm512_i64gather_epi64(j, e.species, 8);
    const __mmask8 inside = _mm512_cmp_pd_mask(r2, _mm512_permutexvar_pd(t, limits), _CMP_LT_OQ);
    const __m256i atom = _mm512_cvtepi64_epi32(j);
    for (int s = 0; s < w.n_species; s++) {
      const __mmask8 keep = _mm512_mask_cmpeq_epi64_mask(inside, t, _mm512_set1_epi64(s));
      const int slot = w.filled[s];
      store_packed(w.x + slot, keep, x);
      store_packed(w.y + slot, keep, y);
      store_packed(w.z + slot, keep, z);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(w.atom + slot), _mm256_maskz_compress_epi32(keep, atom));
      w.filled[s] = slot + __builtin_popcount(keep);
    }
  }
  return k;
}
#endif

// Bring the edges of the centre after c closer while c is computed: they stream from memory only once.
TNEP_HD void prefetch_next(const Edges& e, int64_t c) {
  if (c + 1 >= e.n_centers) return;
  const char *v = reinterpret_cast<const char*>(e.vectors + 3 * e.offsets[c + 1]),
             *v_end = reinterpret_cast<const char*>(e.vectors + 3 * e.offsets[c + 2]);
  for (; v < v_end; v += 64) __builtin_prefetch(v, 0, 2);
  const char *n = reinterpret_cast<const char*>(e.neighbors + e.offsets[c + 1]),
             *n_end = reinterpret_cast<const char*>(e.neighbors + e.offsets[c + 2]);
  for (; n < n_end; n += 64) __builtin_prefetch(n, 0, 2);
}

// Fill groups, coordinates and atoms of centre c.
template <class R>
TNEP_FUNCTION void collect(const Model<R>& m, const Edges& e, int64_t c, Workspace<R>& w) {
  constexpr int W = kLanes<R>;
  const int T = m.species, center = int(e.species[e.centers[c]]);
  const R* rc_radial = m.radial_cutoffs + center * T;
  const R* rc_angular = m.angular_cutoffs + center * T;
  for (int t = 0; t < T; t++) {
    const double rc = rc_radial[t] > rc_angular[t] ? rc_radial[t] : rc_angular[t];
    w.cutoff2[t] = rc * rc;
    w.filled[t] = t * w.species_stride;
  }
  int64_t k = e.offsets[c];
#if defined(__AVX512F__)
  if (T <= 8) k = sort_edges_by_eight(e, k, e.offsets[c + 1], w.cutoff2, w);
#endif
  sort_edges(e, k, e.offsets[c + 1], w.cutoff2, w);
  prefetch_next(e, c);

  w.n_groups = 0;
  for (int t = 0; t < T; t++) {
    const int begin = t * w.species_stride, count = w.filled[t] - begin;
    if (count == 0) continue;
    w.groups[w.n_groups++] = {t, begin, count, (count + W - 1) / W};
    const Vec<R> far = fill<Vec<R>>(R(2) * rc_radial[t] + R(2) * rc_angular[t]);
    store<Vec<R>>(w.x + w.filled[t], far);
    store<Vec<R>>(w.y + w.filled[t], far);
    store<Vec<R>>(w.z + w.filled[t], far);
  }
}

// Distances, cutoff function and Chebyshev argument of all slots; list of angular neighbours.
template <int Order, class R>
TNEP_FUNCTION void geometry(const Model<R>& m, int center, Workspace<R>& w) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const V tiny = fill<V>(R(1e-24));  // coincident atoms: zero unit vector instead of 0/0
  int n_angular = 0;
  for (int i = 0; i < w.n_groups; i++) {
    const Group& group = w.groups[i];
    const R inverse_cutoff = R(1) / m.radial_cutoffs[center * m.species + group.species];
    const R angular_cutoff = m.angular_cutoffs[center * m.species + group.species];
    const int first = n_angular;
    for (int b = 0; b < group.vectors; b++) {
      const int slot = group.begin + b * W;
      const V x = load<V>(w.x + slot), y = load<V>(w.y + slot), z = load<V>(w.z + slot);
      V r2 = x * x + y * y + z * z;
      r2 = r2 > tiny ? r2 : tiny;
      const V r = square_root(r2), t = r * inverse_cutoff;
      store<V>(w.r + slot, r);
      store<V>(w.inverse_r + slot, R(1) / r);
      V f[3], c[3];
      cutoff_function<Order>(t, inverse_cutoff, f);
      chebyshev_argument<0>(t, inverse_cutoff, c);
      for (int d = 0; d <= Order; d++) store<V>(w.f[d] + slot, f[d]);
      store<V>(w.cheb + slot, c[0]);
      n_angular += append_below<V>(r, angular_cutoff, slot, w.angular_slot + n_angular);
    }
    const R inverse_angular = R(1) / angular_cutoff;
    for (int k = first; k < n_angular; k++) {
      const int slot = w.angular_slot[k];
      w.angular_species[k] = group.species;
      w.ax[k] = w.x[slot] * w.inverse_r[slot];
      w.ay[k] = w.y[slot] * w.inverse_r[slot];
      w.az[k] = w.z[slot] * w.inverse_r[slot];
      w.ar[k] = w.r[slot];
      w.a_inverse_r[k] = w.inverse_r[slot];
      w.a_inverse_cutoff[k] = inverse_angular;
    }
  }
  w.n_angular = n_angular;
  w.n_blocks = (n_angular + W - 1) / W;
  for (int k = n_angular; k < w.n_blocks * W; k++) {
    w.ax[k] = w.ay[k] = w.az[k] = w.a_inverse_r[k] = 0;
    w.ar[k] = 2;
    w.a_inverse_cutoff[k] = 1;
  }
}

TNEP_END
