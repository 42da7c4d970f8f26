// Work in chunks, one per thread, whose results are summed; and the scratch memory of a thread.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tnep {

// Number of chunks for a number of items: one per thread, but each with at least `least` items.
inline int64_t count_chunks(int64_t items, int64_t least) {
  return std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), items / least));
}

// A result that all chunks add to: `count` numbers at `to` (null and 0 if the result is not wanted).
template <class R>
struct Sum {
  R* to;
  int64_t count;
};

// Call f(chunk, rows) for chunks 0, ..., chunks - 1, where rows[i] is the array in which the chunk accumulates sums[i].
// Every chunk except the first has its own arrays, which are then added in the order of the chunks, so the result
// depends only on the number of chunks.
template <class R, size_t N, class F>
void in_chunks(int64_t chunks, const std::array<Sum<R>, N>& sums, F&& f) {
  std::array<R*, N> rows;
  int64_t size = 0;
  for (size_t i = 0; i < N; i++) {
    rows[i] = sums[i].to;
    size += sums[i].count;
  }
  if (chunks == 1) return f(int64_t(0), rows);

  std::vector<R> extra((chunks - 1) * size);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
      std::array<R*, N> own = rows;
      R* next = extra.data() + (chunk - 1) * size;
      for (size_t i = 0; chunk > 0 && i < N; i++) {
        own[i] = sums[i].to ? next : nullptr;
        next += sums[i].count;
      }
      f(chunk, own);
    }
  });
  const R* from = extra.data();
  for (const Sum<R>& sum : sums) {
    at::parallel_for(0, sum.count, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t row = 0; row < chunks - 1; row++)
        for (int64_t i = begin; i < end; i++) sum.to[i] += from[row * size + i];
    });
    from += sum.count;
  }
}

// Scratch memory of this thread, aligned to 64 bytes; it grows on demand.
inline char* workspace(size_t bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < bytes + 64) memory.resize(bytes + 64 + bytes / 4);
  return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
}

}  // namespace tnep
