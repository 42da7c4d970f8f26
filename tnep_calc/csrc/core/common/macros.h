// Markers shared by every file of core/.
#pragma once

#if defined(__CUDACC__)
#define TNEP_HD __host__ __device__ __forceinline__
#else
#define TNEP_HD inline __attribute__((always_inline))
#endif
// Larger functions: compiled once per set of template arguments.
#define TNEP_FUNCTION __attribute__((noinline))

// Every kernel source is compiled once per instruction set.  All inline code lives in a namespace of that
// instruction set, so that the linker can never hand AVX-512 code to a processor that lacks it.
#ifndef TNEP_ISA
#define TNEP_ISA portable
#endif
#define TNEP_BEGIN namespace tnep { namespace TNEP_ISA {
#define TNEP_END } }

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

#if defined(__CUDACC__)
#define TNEP_LAMBDA __host__ __device__
#else
#define TNEP_LAMBDA __attribute__((always_inline))
#endif
