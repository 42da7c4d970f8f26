// Fixed-width vectors of real numbers, made with the vector extensions of GCC and Clang, and the operations that those
// lack.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/common/macros.h"

TNEP_BEGIN

#if defined(TNEP_VECTOR_BYTES)
constexpr int kVectorBytes = TNEP_VECTOR_BYTES;
#elif defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
template <class R>
constexpr int kLanes = kVectorBytes / int(sizeof(R));
// Lanes of vectors over basis functions n.  Few models have more than eight, so longer vectors would be half empty.
template <class R>
constexpr int kShortLanes = kLanes<R> > 8 ? 8 : kLanes<R>;

template <class R, int W>
struct VectorOf {
  typedef R type __attribute__((vector_size(sizeof(R) * W)));
};
template <class R>
using Vec = typename VectorOf<R, kLanes<R>>::type;
template <class R>
using ShortVec = typename VectorOf<R, kShortLanes<R>>::type;

template <class V>
struct RealOf {
  typedef V type;
};
template <class V>
using real_of = typename RealOf<V>::type;
template <>
struct RealOf<Vec<float>> {
  typedef float type;
};
template <>
struct RealOf<Vec<double>> {
  typedef double type;
};
#if defined(__AVX512F__) && !defined(TNEP_VECTOR_BYTES)
template <>
struct RealOf<ShortVec<float>> {
  typedef float type;
};
#endif

template <class V>
TNEP_HD V load(const real_of<V>* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <class V>
TNEP_HD void store(real_of<V>* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Load the first `count` >= 1 lanes (all if `count` is larger than the vector) and set the others to 0.
template <class V>
TNEP_HD V load_some(const real_of<V>* p, int count) {
  constexpr int W = sizeof(V) / sizeof(real_of<V>);
  if (count >= W) return load<V>(p);
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && W == 16) return (V)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
  else if constexpr (sizeof(V) == 64) return (V)_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), p);
#endif
  V v{};
  for (int i = 0; i < count; i++) v[i] = p[i];
  return v;
}

// Write the first `count` lanes.
template <class V>
TNEP_HD void store_some(real_of<V>* p, V v, int count) {
  constexpr int W = sizeof(V) / sizeof(real_of<V>);
  if (count >= W) return store<V>(p, v);
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && W == 16) return _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), (__m512)v);
  else if constexpr (sizeof(V) == 64) return _mm512_mask_storeu_pd(p, __mmask8((1u << count) - 1), (__m512d)v);
#endif
  for (int i = 0; i < count; i++) p[i] = v[i];
}

// Vector with all lanes equal.  Compilers turn the initializer list into a single broadcast instruction.
template <class V>
TNEP_HD V fill(real_of<V> s) {
  constexpr int W = sizeof(V) / sizeof(s);
  if constexpr (W == 1) return s;
  else if constexpr (W == 2) return V{s, s};
  else if constexpr (W == 4) return V{s, s, s, s};
  else if constexpr (W == 8) return V{s, s, s, s, s, s, s, s};
  else return V{s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s};
}

#if defined(__CUDA_ARCH__)
TNEP_HD float square_root(float x) { return ::sqrtf(x); }
TNEP_HD double square_root(double x) { return ::sqrt(x); }
#else
TNEP_HD float square_root(float x) { return __builtin_sqrtf(x); }
TNEP_HD double square_root(double x) { return __builtin_sqrt(x); }
#endif

template <class V>
TNEP_HD V square_root(V v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && sizeof(real_of<V>) == 4) return (V)_mm512_sqrt_ps((__m512)v);
  else if constexpr (sizeof(V) == 64) return (V)_mm512_sqrt_pd((__m512d)v);
  else
#endif
#if defined(__AVX__)
      if constexpr (sizeof(V) == 32 && sizeof(real_of<V>) == 4)
    return (V)_mm256_sqrt_ps((__m256)v);
  else if constexpr (sizeof(V) == 32) return (V)_mm256_sqrt_pd((__m256d)v);
  else
#endif
  {
    TNEP_UNROLL(16)
    for (size_t i = 0; i < sizeof(V) / sizeof(v[0]); i++) v[i] = square_root(v[i]);
    return v;
  }
}

// Sum of the lanes.
template <class V>
TNEP_HD real_of<V> sum(V v) {
  constexpr int W = sizeof(V) / sizeof(real_of<V>);
  if constexpr (W == 2) {
    return v[0] + v[1];
  } else {
    using H = typename VectorOf<real_of<V>, W / 2>::type;
    H halves[2];
    __builtin_memcpy(halves, &v, sizeof v);
    H h = halves[0] + halves[1];
    if constexpr (W == 4) {
      return h[0] + h[1];
    } else {
      using Q = typename VectorOf<real_of<V>, W / 4>::type;
      Q quarters[2];
      __builtin_memcpy(quarters, &h, sizeof h);
      Q q = quarters[0] + quarters[1];
      if constexpr (W == 8) return q[0] + q[1];
      else return (q[0] + q[2]) + (q[1] + q[3]);
    }
  }
}

// Interleave the low (High = 0) or high halves of a and b: a0 b0 a1 b1 ...
template <int High, class V>
TNEP_HD V interleave(V a, V b) {
  constexpr int W = sizeof(V) / sizeof(a[0]);
  constexpr int o = High * W / 2;
  if constexpr (W == 2) return __builtin_shufflevector(a, b, o, 2 + o);
  else if constexpr (W == 4) return __builtin_shufflevector(a, b, o, 4 + o, 1 + o, 5 + o);
  else return __builtin_shufflevector(a, b, o, 8 + o, 1 + o, 9 + o, 2 + o, 10 + o, 3 + o, 11 + o);
}

// Transpose a square block: rows of `from` (stride `from_stride`) become columns of `to`.
template <class V>
TNEP_HD void transpose(const real_of<V>* from, size_t from_stride, real_of<V>* to, size_t to_stride) {
  constexpr int W = sizeof(V) / sizeof(real_of<V>);
  static_assert(W <= 8, "blocks of at most 8 x 8");
  V a[W], b[W];
  TNEP_UNROLL(16)
  for (int i = 0; i < W; i++) a[i] = load<V>(from + i * from_stride);
  TNEP_UNROLL(4)
  for (int stage = 1; stage < W; stage *= 2) {
    TNEP_UNROLL(16)
    for (int i = 0; i < W / 2; i++) {
      b[2 * i] = interleave<0>(a[i], a[i + W / 2]);
      b[2 * i + 1] = interleave<1>(a[i], a[i + W / 2]);
    }
    TNEP_UNROLL(16)
    for (int i = 0; i < W; i++) a[i] = b[i];
  }
  TNEP_UNROLL(16)
  for (int i = 0; i < W; i++) store<V>(to + i * to_stride, a[i]);
}

#if defined(__AVX2__)
// For every byte, the positions of its set bits in ascending order.
struct BitTable {
  unsigned char of[256][8];
};
constexpr BitTable make_bit_table() {
  BitTable table{};
  for (int byte = 0; byte < 256; byte++)
    for (int bit = 0, n = 0; bit < 8; bit++)
      if (byte >> bit & 1) table.of[byte][n++] = static_cast<unsigned char>(bit);
  return table;
}
constexpr BitTable kBits = make_bit_table();

// The positions of the set bits as the index vector of a permutation that packs those lanes.  (The compress
// instructions of AVX-512 are several times slower on Zen 4.)
TNEP_HD __m256i set_bits(unsigned byte) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kBits.of[byte])));
}
#endif

// Append base + lane to `list` for every lane with v < limit; return the number of entries appended.
// Memory up to one vector beyond the last entry may be overwritten.
template <class V>
TNEP_HD int append_below(V v, real_of<V> limit, int32_t base, int32_t* list) {
  constexpr int W = sizeof(V) / sizeof(limit);
  unsigned below = 0;
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64 && W == 8) below = _mm512_cmp_pd_mask((__m512d)v, _mm512_set1_pd(limit), _CMP_LT_OQ);
  else if constexpr (sizeof(V) == 64) below = _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(limit), _CMP_LT_OQ);
  else
#endif
#if defined(__AVX__)
      if constexpr (W == 4)
    below = _mm256_movemask_pd(_mm256_cmp_pd((__m256d)v, _mm256_set1_pd(limit), _CMP_LT_OQ));
  else below = _mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_set1_ps(limit), _CMP_LT_OQ));
#elif defined(__SSE2__)
  if constexpr (W == 2) below = _mm_movemask_pd(_mm_cmplt_pd((__m128d)v, _mm_set1_pd(limit)));
  else below = _mm_movemask_ps(_mm_cmplt_ps((__m128)v, _mm_set1_ps(limit)));
#else
  for (int i = 0; i < W; i++) below |= unsigned(v[i] < limit) << i;
#endif
#if defined(__AVX2__)
  const auto put = [&](unsigned byte, int first, int32_t* to) TNEP_LAMBDA {
    const __m256i found = _mm256_add_epi32(set_bits(byte), _mm256_set1_epi32(base + first));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), found);
  };
  put(below & 0xff, 0, list);
  if constexpr (W == 16) put(below >> 8, 8, list + __builtin_popcount(below & 0xff));
  return __builtin_popcount(below);
#else
  int n = 0;
  for (; below; below &= below - 1) list[n++] = base + __builtin_ctz(below);
  return n;
#endif
}

TNEP_END
