// Tensors on recycled memory.  Edge arrays of large systems need tens of megabytes in every call.  Obtaining fresh
// pages from the operating system takes several times as long as the search itself, so freed blocks are kept for the
// next call.
#pragma once

#include <ATen/Functions.h>
#include <c10/core/impl/alloc_cpu.h>

#include <cstddef>
#include <mutex>
#include <vector>

namespace tnep {

class Recycler {
 public:
  // The instance is never destroyed, because tensors may outlive all static objects.
  static Recycler& instance() {
    static auto* recycler = new Recycler;
    return *recycler;
  }

  // Uninitialised CPU tensor; its memory is returned to the recycler when the last reference is gone.
  at::Tensor empty(at::IntArrayRef shape, const at::TensorOptions& options) {
    size_t bytes = options.dtype().itemsize();
    for (const int64_t n : shape) bytes *= size_t(n);
    if (bytes < kSmall) return at::empty(shape, options);
    const Block block = take(bytes);
    return at::from_blob(block.data, shape, [this, block](void*) { give(block); }, options);
  }

 private:
  static constexpr size_t kSmall = size_t(1) << 18;  // malloc keeps smaller blocks itself
  static constexpr size_t kKept = 8;

  struct Block {
    void* data;
    size_t bytes;
  };

  // A free block of the right size (at most half too large), or a new one.
  Block take(size_t bytes) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (size_t i = free_.size(); i-- > 0;)
        if (free_[i].bytes >= bytes && free_[i].bytes <= bytes + bytes / 2) {
          const Block block = free_[i];
          free_.erase(free_.begin() + i);
          return block;
        }
    }
    bytes += bytes / 16;
    return {c10::alloc_cpu(bytes), bytes};
  }

  // Keep the block for reuse, and free the oldest one if there are too many.
  void give(Block block) {
    Block oldest{nullptr, 0};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(block);
      if (free_.size() > kKept) {
        oldest = free_.front();
        free_.erase(free_.begin());
      }
    }
    if (oldest.data) c10::free_cpu(oldest.data);
  }

  std::mutex mutex_;
  std::vector<Block> free_;
};

}  // namespace tnep
