// Macros shared by all files of core/.
#pragma once

#if defined(__CUDACC__)
#define TNEP_HD __host__ __device__ __forceinline__
#define TNEP_LAMBDA  // a lambda is compiled for the same targets as the enclosing function
#define TNEP_UNROLL(times) TNEP_PRAGMA(unroll times)
#else
#define TNEP_HD inline __attribute__((always_inline))
#define TNEP_LAMBDA __attribute__((always_inline))
#define TNEP_UNROLL(times) TNEP_PRAGMA(GCC unroll times)
#endif
#define TNEP_PRAGMA(text) _Pragma(#text)
// TNEP_FUNCTION marks larger functions, which are not inlined.  TNEP_TABLE marks tables of constants.
#if defined(__CUDACC__)
#define TNEP_FUNCTION __host__ __device__
#define TNEP_TABLE static __device__ constexpr
#else
#define TNEP_FUNCTION __attribute__((noinline))
#define TNEP_TABLE constexpr
#endif

// Every kernel source is compiled once per instruction set.  All inline code is in a namespace named after the set, so
// that the linker cannot use a copy with AVX-512 instructions for the code of another set.
#ifndef TNEP_ISA
#define TNEP_ISA portable
#endif
#define TNEP_BEGIN \
  namespace tnep { \
  namespace TNEP_ISA {
#define TNEP_END \
  }              \
  }

// Call a macro with the name of every instruction set, from the least to the most capable.
#if defined(__x86_64__)
#define TNEP_SETS(F) F(generic) F(avx2) F(avx512)
#else
#define TNEP_SETS(F) F(generic)
#endif

TNEP_BEGIN

template <int I>
struct Int {
  static constexpr int value = I;
};

// Call f(Int<First>{}), ..., f(Int<Last - 1>{}): a loop whose index is a constant.
template <int First, int Last, class F>
TNEP_HD void static_for(F&& f) {
  if constexpr (First < Last) {
    f(Int<First>{});
    static_for<First + 1, Last>(f);
  }
}

TNEP_END
