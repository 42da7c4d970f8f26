// Sorts the edges of one centre into slots: those within the cutoff, grouped by species.  Edges are given as vectors,
// or as positions with a list of neighbours (in this case the vectors exist only in registers).
#pragma once

#include "core/common/graph.h"
#include "core/common/simd.h"

TNEP_BEGIN

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// The arrays that receive the neighbours of one centre, one range of slots for each species.
template <class R>
struct Slots {
  int n_species;
  double* cutoff2;  // [T]: squares of the cutoffs of the centre's species
  int32_t* filled;  // [T]: next free slot
  int32_t* atom;    // [slots]
  R *x, *y, *z;     // [slots], A, neighbour minus centre
};

// One edge of a centre: vector to the neighbour (A), its atom index and species.
struct Edge {
  double x, y, z;
  int32_t atom, species;
};

#if defined(__AVX512F__)
// Eight edges.
struct EightEdges {
  __m512d x, y, z;
  __m256i atom, species;
};
#endif

// Reads edges that are given as vectors.
struct VectorSource {
  const Edges& e;
  bool one_species;

  TNEP_HD Edge get(int64_t k) const {
    const double* v = e.vectors + 3 * k;
    const int64_t j = e.neighbors[k];
    return {v[0], v[1], v[2], int32_t(j), one_species ? 0 : int32_t(e.species[j])};
  }

#if defined(__AVX512F__)
  // Edges k .. k + count - 1 (count <= 8); the other lanes are undefined.
  TNEP_HD EightEdges get_eight(int64_t k, int count) const {
    const double* v = e.vectors + 3 * k;
    __m512d a, b, c;
    __m512i j;
    if (count == 8) {
      a = _mm512_loadu_pd(v);
      b = _mm512_loadu_pd(v + 8);
      c = _mm512_loadu_pd(v + 16);
      j = _mm512_loadu_si512(e.neighbors + k);
    } else {
      const unsigned numbers = (1u << 3 * count) - 1;
      a = _mm512_maskz_loadu_pd(__mmask8(numbers), v);
      b = _mm512_maskz_loadu_pd(__mmask8(numbers >> 8), v + 8);
      c = _mm512_maskz_loadu_pd(__mmask8(numbers >> 16), v + 16);
      j = _mm512_maskz_loadu_epi64(__mmask8((1u << count) - 1), e.neighbors + k);
    }
    const auto pick = [&](__m512i from_ab, __m512i from_c, __mmask8 last) TNEP_LAMBDA {
      return _mm512_mask_permutexvar_pd(_mm512_permutex2var_pd(a, from_ab, b), last, from_c, c);
    };
    EightEdges out;
    out.x = pick(_mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0), _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 2, 5), 0xc0);
    out.y = pick(_mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0), _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 3, 6), 0xe0);
    out.z = pick(_mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0), _mm512_setr_epi64(0, 0, 0, 0, 0, 1, 4, 7), 0xe0);
    out.atom = _mm512_cvtepi64_epi32(j);
    out.species = _mm256_setzero_si256();
    if (one_species) return out;
    // Eight loads are faster than a gather.
    const auto s = [&](int i) TNEP_LAMBDA { return i < count ? int(e.species[e.neighbors[k + i]]) : 0; };
    out.species = _mm256_setr_epi32(s(0), s(1), s(2), s(3), s(4), s(5), s(6), s(7));
    return out;
  }
#endif
};

// Reads edges that are given as positions and a list.
struct ListSource {
  const Edges& e;
  double center[3];

  TNEP_HD Edge get(int64_t k) const {
    const int32_t j = e.list[k];
    const AtomRow& row = e.rows[j];
    return {row.x - center[0], row.y - center[1], row.z - center[2], j, int32_t(row.species)};
  }

#if defined(__AVX512F__)
  TNEP_HD EightEdges get_eight(int64_t k, int count) const {
    const int32_t* j = e.list + k;
    int32_t copy[8];
    EightEdges out;
    if (count == 8) {
      out.atom = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(j));
    } else {
      out.atom = _mm256_maskz_loadu_epi32(__mmask8((1u << count) - 1), j);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(copy), out.atom);
      j = copy;
    }
    // Transpose eight rows of four numbers: load the pairs of rows 0 4 | 1 5 | 2 6 | 3 7, then interleave twice.
    const auto pair = [&](int i) TNEP_LAMBDA {
      const __m512d low = _mm512_castpd256_pd512(_mm256_loadu_pd(&e.rows[j[i]].x));
      return _mm512_insertf64x4(low, _mm256_loadu_pd(&e.rows[j[i + 4]].x), 1);
    };
    const __m512d a = pair(0), b = pair(1), c = pair(2), d = pair(3);
    const __m512d xz_ab = _mm512_unpacklo_pd(a, b), ys_ab = _mm512_unpackhi_pd(a, b);
    const __m512d xz_cd = _mm512_unpacklo_pd(c, d), ys_cd = _mm512_unpackhi_pd(c, d);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    out.x = _mm512_sub_pd(_mm512_permutex2var_pd(xz_ab, first, xz_cd), _mm512_set1_pd(center[0]));
    out.y = _mm512_sub_pd(_mm512_permutex2var_pd(ys_ab, first, ys_cd), _mm512_set1_pd(center[1]));
    out.z = _mm512_sub_pd(_mm512_permutex2var_pd(xz_ab, second, xz_cd), _mm512_set1_pd(center[2]));
    out.species = _mm512_cvtepi64_epi32(_mm512_castpd_si512(_mm512_permutex2var_pd(ys_ab, second, ys_cd)));
    return out;
  }
#endif
};

// Write those of the edges [begin, end) that are within the cutoff of their species to its slots, one by one.
template <class Source, class R>
TNEP_HD void sort_one_by_one(const Source& source, int64_t begin, int64_t end, Slots<R>& w) {
  R *const x = w.x, *const y = w.y, *const z = w.z;
  int32_t *const atom = w.atom, *const filled = w.filled;
  const double* cutoff2 = w.cutoff2;
  for (int64_t k = begin; k < end; k++) {
    const Edge edge = source.get(k);
    const int slot = filled[edge.species];
    x[slot] = R(edge.x);
    y[slot] = R(edge.y);
    z[slot] = R(edge.z);
    atom[slot] = edge.atom;
    const double r2 = edge.x * edge.x + edge.y * edge.y + edge.z * edge.z;
    filled[edge.species] = slot + (r2 < cutoff2[edge.species]);
  }
}

#if defined(__AVX512F__)
// Store the lanes of v in the order given by `packing` at p.
TNEP_HD void store_packed(float* p, __m256i packing, __m512d v) {
  _mm256_storeu_ps(p, _mm256_permutevar8x32_ps(_mm512_cvtpd_ps(v), packing));
}
TNEP_HD void store_packed(double* p, __m256i packing, __m512d v) {
  _mm512_storeu_pd(p, _mm512_permutexvar_pd(_mm512_cvtepi32_epi64(packing), v));
}

// The same as sort_one_by_one, eight edges at a time, for Species = w.n_species <= 8.
template <int Species, class Source, class R>
TNEP_FUNCTION void sort_by_eight(const Source& source, int64_t begin, int64_t end, Slots<R>& w) {
  const __m512d limits = _mm512_loadu_pd(w.cutoff2);
  R *const x = w.x, *const y = w.y, *const z = w.z;
  int32_t* const atom = w.atom;
  int slot[Species];
  TNEP_UNROLL(8)
  for (int s = 0; s < Species; s++) slot[s] = w.filled[s];
  const auto sort = [&](const EightEdges& edges, __mmask8 valid) TNEP_LAMBDA {
    const __m512d r2 =
        _mm512_fmadd_pd(edges.x, edges.x, _mm512_fmadd_pd(edges.y, edges.y, _mm512_mul_pd(edges.z, edges.z)));
    const __m512d limit = Species == 1 ? _mm512_broadcastsd_pd(_mm512_castpd512_pd128(limits))
                                       : _mm512_permutexvar_pd(_mm512_cvtepi32_epi64(edges.species), limits);
    const __mmask8 inside = _mm512_mask_cmp_pd_mask(valid, r2, limit, _CMP_LT_OQ);
    TNEP_UNROLL(8)
    for (int s = 0; s < Species; s++) {
      const __mmask8 keep =
          Species == 1 ? inside : _mm256_mask_cmpeq_epi32_mask(inside, edges.species, _mm256_set1_epi32(s));
      const __m256i packing = set_bits(keep);
      store_packed(x + slot[s], packing, edges.x);
      store_packed(y + slot[s], packing, edges.y);
      store_packed(z + slot[s], packing, edges.z);
      const __m256i packed = _mm256_permutevar8x32_epi32(edges.atom, packing);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(atom + slot[s]), packed);
      slot[s] += __builtin_popcount(keep);
    }
  };
  int64_t k = begin;
  for (; k + 8 <= end; k += 8) sort(source.get_eight(k, 8), 0xff);
  if (k < end) sort(source.get_eight(k, int(end - k)), __mmask8((1u << (end - k)) - 1));
  TNEP_UNROLL(8)
  for (int s = 0; s < Species; s++) w.filled[s] = slot[s];
}
#endif

// Sort all edges of a centre with the fastest method available.
template <class Source, class R>
TNEP_HD void sort_edges(const Source& source, int64_t begin, int64_t end, Slots<R>& w) {
#if defined(__AVX512F__)
  switch (w.n_species) {
    case 1:
      return sort_by_eight<1>(source, begin, end, w);
    case 2:
      return sort_by_eight<2>(source, begin, end, w);
    case 3:
      return sort_by_eight<3>(source, begin, end, w);
    case 4:
      return sort_by_eight<4>(source, begin, end, w);
    case 5:
      return sort_by_eight<5>(source, begin, end, w);
    case 6:
      return sort_by_eight<6>(source, begin, end, w);
    case 7:
      return sort_by_eight<7>(source, begin, end, w);
    case 8:
      return sort_by_eight<8>(source, begin, end, w);
  }
#endif
  sort_one_by_one(source, begin, end, w);
}

// Whether all entries [begin, end) of the list are valid atom indices.
template <class I>
TNEP_HD bool all_atoms(const I* list, int64_t begin, int64_t end, int64_t n_atoms) {
  const I limit = I(n_atoms);
  I outside = 0;
  for (int64_t k = begin; k < end; k++) outside |= (list[k] < 0) | (list[k] >= limit);
  return outside == 0;
}

// Prefetch the memory from `from` to `to`.  The edges are used only once, so the hint keeps them from displacing atoms,
// tables and networks in the second-level cache.
template <class T>
TNEP_HD void prefetch(const T* from, const T* to) {
  const char* end = reinterpret_cast<const char*>(to);
  for (const char* p = reinterpret_cast<const char*>(from); p < end; p += 64) __builtin_prefetch(p, 0, 0);
}

// Prefetch the edges of the centre after c while c is being computed.
TNEP_HD void prefetch_next(const Edges& e, int64_t c) {
  if (c + 1 >= e.n_centers) return;
  const int64_t begin = e.offsets[c + 1], end = e.offsets[c + 2];
  if (e.list) return prefetch(e.list + begin, e.list + end);
  prefetch(e.vectors + 3 * begin, e.vectors + 3 * end);
  prefetch(e.neighbors + begin, e.neighbors + end);
}

TNEP_END
