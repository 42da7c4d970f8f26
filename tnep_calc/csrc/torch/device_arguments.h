// Arguments, launches and memory of the operators on a GPU, or on its emulation (TNEP_EMULATED).
#pragma once

#include <ATen/Context.h>
#include <ATen/Functions.h>

#include "core/cuda/device.h"

#if defined(TNEP_EMULATED)
#define TNEP_DEVICE_TYPE at::kCPU
#else
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#define TNEP_DEVICE_TYPE at::kCUDA
#endif

namespace tnep {
namespace {

using at::Tensor;
namespace device = tnep::TNEP_ISA;

#if defined(TNEP_EMULATED)
struct Guard {
  explicit Guard(const at::Device&) {}
};
void* stream() { return nullptr; }
void check_launch() {}
constexpr size_t kSharedLimit = 48 * 1024;
constexpr int64_t kBlocksInMemory = 3;  // few, so that every block has several centres
#else
using Guard = c10::cuda::CUDAGuard;
void* stream() { return static_cast<void*>(c10::cuda::getCurrentCUDAStream().stream()); }
void check_launch() { C10_CUDA_KERNEL_LAUNCH_CHECK(); }
constexpr size_t kSharedLimit = 48 * 1024;  // available on every GPU without an opt-in
constexpr int64_t kBlocksInMemory = 4096;
#endif

// The arguments of most operators, checked and contiguous.
struct Input {
  Tensor header, params, species, centers, offsets, neighbors, vectors, positions;

  int64_t atoms() const { return species.size(0); }
  int64_t centres() const { return centers.size(0); }
  int64_t edges() const { return neighbors.size(0); }
  at::TensorOptions doubles() const { return params.options().dtype(at::kDouble); }

  device::DeviceEdges view() const {
    const bool listed = positions.defined();
    return {atoms(),
            centres(),
            edges(),
            species.const_data_ptr<int64_t>(),
            centers.const_data_ptr<int64_t>(),
            offsets.const_data_ptr<int64_t>(),
            listed ? nullptr : neighbors.const_data_ptr<int64_t>(),
            listed ? nullptr : vectors.const_data_ptr<double>(),
            listed ? neighbors.const_data_ptr<int32_t>() : nullptr,
            listed ? positions.const_data_ptr<double>() : nullptr};
  }
};

void check(const Tensor& t, const char* name, const Tensor& params, at::ScalarType type, at::IntArrayRef shape) {
  TORCH_CHECK(t.sizes() == shape && t.scalar_type() == type && t.device() == params.device(), name, " must be a ", type,
              " tensor of shape ", shape, " on ", params.device(), ", got ", t.scalar_type(), " of shape ", t.sizes(),
              " on ", t.device());
}

// Check the arguments.  The values of species, centers and neighbors are checked by the kernels, because reading them
// here would have to wait for the GPU.
Input checked(Input in, bool listed) {
  const Tensor& p = in.params;
  TORCH_CHECK(p.dim() == 1 && (p.scalar_type() == at::kFloat || p.scalar_type() == at::kDouble) &&
                  p.device().type() == TNEP_DEVICE_TYPE,
              "params must be a 1-dimensional float32 or float64 tensor on ", TNEP_DEVICE_TYPE, ", got ",
              p.scalar_type(), " of shape ", p.sizes(), " on ", p.device());
  check(in.header, "header", p, at::kLong, {in.header.numel()});
  check(in.species, "species", p, at::kLong, {in.species.numel()});
  check(in.centers, "centers", p, at::kLong, {in.centers.numel()});
  check(in.offsets, "offsets", p, at::kLong, {in.centers.numel() + 1});
  check(in.neighbors, "neighbors", p, listed ? at::kInt : at::kLong, {in.neighbors.numel()});
  if (listed) check(in.positions, "positions", p, at::kDouble, {in.species.numel(), 3});
  else check(in.vectors, "vectors", p, at::kDouble, {in.neighbors.numel(), 3});
  for (Tensor* t :
       {&in.header, &in.params, &in.species, &in.centers, &in.offsets, &in.neighbors, &in.vectors, &in.positions})
    if (t->defined()) *t = t->contiguous();
  return in;
}

// Edges sorted by the atom at their end.  Undefined unless results must not depend on the order of atomic additions.
struct Incoming {
  Tensor edges, starts;

  const int64_t* edge() const { return edges.defined() ? edges.const_data_ptr<int64_t>() : nullptr; }
  const int64_t* start() const { return starts.defined() ? starts.const_data_ptr<int64_t>() : nullptr; }
};

Incoming incoming(const Input& in) {
  if (!at::globalContext().deterministicAlgorithms()) return {};
  const Tensor ends = in.neighbors.to(at::kLong);
  Tensor order = at::argsort(ends, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  Tensor starts = at::searchsorted(ends.index_select(0, order), at::arange(in.atoms() + 1, ends.options()));
  return {order, starts};
}

}  // namespace
}  // namespace tnep
