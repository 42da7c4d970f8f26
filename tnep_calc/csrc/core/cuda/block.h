// Blocks of threads, for kernels written as a sequence of phases.
//
// A phase is block.each(n, f): the threads of the block share the calls f(0), ..., f(n - 1), and then meet at a
// barrier. Within a phase, no f(i) may read what another f(j) writes.  Control flow between phases must be the same for
// all threads of a block.  With nvcc, this file gives CUDA code; with a C++ compiler, it gives the emulation in
// emulation.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/macros.h"

#if defined(__CUDACC__)
#define TNEP_DEVICE __device__ __forceinline__
#define TNEP_DEVICE_FUNCTION __device__ __noinline__
#define TNEP_GLOBAL __global__ void
#else
#define TNEP_DEVICE inline
#define TNEP_DEVICE_FUNCTION
#define TNEP_GLOBAL void
#endif

TNEP_BEGIN

constexpr int kWarp = 32;
constexpr int kThreads = 64;  // threads per block

TNEP_END

#if defined(__CUDACC__)

TNEP_BEGIN

struct Block {
  double* reduced;  // [kThreads / kWarp + 1], shared

  static __device__ __forceinline__ int64_t index() { return blockIdx.x; }
  static __device__ __forceinline__ int64_t count() { return gridDim.x; }

  template <class F>
  __device__ __forceinline__ void each(int64_t n, F&& f) const {
    for (int64_t i = threadIdx.x; i < n; i += kThreads) f(i);
    __syncthreads();
  }

  // Return f(0) + ... + f(n - 1) to every thread; the order of the additions depends only on n.
  template <class F>
  __device__ __forceinline__ double sum(int64_t n, F&& f) const {
    double total = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) total += f(i);
    for (int step = kWarp / 2; step > 0; step /= 2) total += __shfl_down_sync(0xffffffffu, total, step);
    if (threadIdx.x % kWarp == 0) reduced[threadIdx.x / kWarp] = total;
    __syncthreads();
    if (threadIdx.x == 0) {
      double all = reduced[0];
      for (int warp = 1; warp < kThreads / kWarp; warp++) all += reduced[warp];
      reduced[kThreads / kWarp] = all;
    }
    __syncthreads();
    const double result = reduced[kThreads / kWarp];
    __syncthreads();
    return result;
  }
};

TNEP_DEVICE void atomic_add(double* to, double value) { atomicAdd(to, value); }

// Stop the kernel if an argument is invalid.
TNEP_DEVICE void require(bool sound) {
  if (!sound) __trap();
}

// Scratch memory of a block: its part of `global`, or shared memory if `global` is null.
TNEP_DEVICE char* scratch_of(char* global, size_t bytes) {
  extern __shared__ __align__(16) char shared[];
  return global ? global + blockIdx.x * bytes : shared;
}

TNEP_END

#define TNEP_LAUNCH(kernel, blocks, shared_bytes, stream, ...) \
  kernel<<<unsigned(blocks), kThreads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)

#else
#include "core/cuda/emulation.h"
#endif
