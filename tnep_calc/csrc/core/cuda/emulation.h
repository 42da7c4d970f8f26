// Emulation of blocks of threads on the CPU, for the kernels of this folder compiled by a C++ compiler.  Blocks, and
// the phases of a block, run in sequence.  The environment variable TNEP_EMULATED_ORDER sets the order of the threads
// within a phase (0 ascending, 1 descending, 2 odd indices first).  Results that depend on it indicate a race, because
// the order is undefined on a GPU.  Sums over a block are added in the same order as by warps.  The emulation does not
// detect missing memory fences between blocks, or limits of registers and memory.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <vector>

TNEP_BEGIN

// State of the block that is running.
struct Emulated {
  int64_t block = 0, blocks = 1;
  std::vector<char> shared;
  int order = 0;

  static Emulated& now() {
    static thread_local Emulated emulated;
    return emulated;
  }

  // Call f(i) for i < n in the chosen order.
  template <class F>
  void in_order(int64_t n, F&& f) const {
    if (order == 1)
      for (int64_t i = n; i-- > 0;) f(i);
    else if (order == 2)
      for (int64_t start = 1; start >= 0; start--)
        for (int64_t i = start; i < n; i += 2) f(i);
    else
      for (int64_t i = 0; i < n; i++) f(i);
  }
};

struct Block {
  double* reduced;

  static int64_t index() { return Emulated::now().block; }
  static int64_t count() { return Emulated::now().blocks; }

  template <class F>
  void each(int64_t n, F&& f) const {
    Emulated::now().in_order(n, f);
  }

  template <class F>
  double sum(int64_t n, F&& f) const {
    double lane[kThreads] = {};
    for (int thread = 0; thread < kThreads; thread++)
      for (int64_t i = thread; i < n; i += kThreads) lane[thread] += f(i);
    for (int step = kWarp / 2; step > 0; step /= 2)
      for (int first = 0; first < kThreads; first += kWarp)
        for (int i = 0; i < step; i++) lane[first + i] += lane[first + i + step];
    double all = lane[0];
    for (int first = kWarp; first < kThreads; first += kWarp) all += lane[first];
    return all;
  }
};

inline void atomic_add(double* to, double value) { *to += value; }

inline void require(bool sound) {
  if (!sound) throw std::out_of_range("a neighbour, or its species, is out of range");
}

inline char* scratch_of(char* global, size_t bytes) {
  return global ? global + Emulated::now().block * bytes : Emulated::now().shared.data();
}

// Run a kernel for all blocks.
template <class Kernel>
void emulate(int64_t blocks, size_t shared_bytes, Kernel&& kernel) {
  Emulated& now = Emulated::now();
  const char* order = std::getenv("TNEP_EMULATED_ORDER");
  now.order = order ? std::atoi(order) : 0;
  now.blocks = blocks;
  for (now.block = 0; now.block < blocks; now.block++) {
    now.shared.assign(shared_bytes, char(0x7f));  // shared memory is undefined at first: fill it with large numbers
    kernel();
  }
}

TNEP_END

#define TNEP_LAUNCH(kernel, blocks, shared_bytes, stream, ...) \
  ((void)(stream), emulate(blocks, shared_bytes, [&] { kernel(__VA_ARGS__); }))
