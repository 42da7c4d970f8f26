// Checks of the arguments of operators.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>

#include "core/common/graph.h"

namespace tnep {

using at::Tensor;

inline void check_vector(const Tensor& t, const char* name, at::ScalarType type, const char* type_name) {
  TORCH_CHECK(t.dim() == 1 && t.scalar_type() == type && t.device().is_cpu(), name, " must be a 1-dimensional ",
              type_name, " tensor on the CPU, got ", t.scalar_type(), " of shape ", t.sizes(), " on ", t.device());
}

// The arguments `shape` are pieces of the text that describes the shape.
template <class... Text>
void check_doubles(const Tensor& t, const char* name, bool right_shape, const Text&... shape) {
  TORCH_CHECK(right_shape && t.scalar_type() == at::kDouble && t.device().is_cpu(), name,
              " must be a float64 tensor of shape ", shape..., " on the CPU, got ", t.scalar_type(), " of shape ",
              t.sizes(), " on ", t.device());
}

template <class I>
void check_range(const Tensor& t, const char* name, int64_t limit, const char* limit_name) {
  const I* p = t.const_data_ptr<I>();
  int64_t outside = 0;  // any value below 0 or above limit - 1 sets its sign bit
  for (int64_t i = 0; i < t.numel(); i++) outside |= p[i] | (limit - 1 - p[i]);
  if (outside >= 0) return;
  const auto [low, high] = std::minmax_element(p, p + t.numel());
  TORCH_CHECK(false, name, " must be from 0 to ", limit_name, " - 1 = ", limit - 1, ", got values from ", *low, " to ",
              *high);
}

// Arguments of most operators: a packed model and the edges of centres.
struct ModelAndEdges {
  Tensor header, params, species, centers, offsets, neighbors;
};

// Check everything that the kernels rely on except the model and the values of `neighbors`, and make arrays contiguous.
inline void check_edges(ModelAndEdges& a, at::ScalarType neighbor_type, const char* neighbor_type_name) {
  check_vector(a.header, "header", at::kLong, "int64");
  check_vector(a.species, "species", at::kLong, "int64");
  check_vector(a.centers, "centers", at::kLong, "int64");
  check_vector(a.offsets, "offsets", at::kLong, "int64");
  check_vector(a.neighbors, "neighbors", neighbor_type, neighbor_type_name);
  const Tensor& p = a.params;
  TORCH_CHECK(p.dim() == 1 && (p.scalar_type() == at::kFloat || p.scalar_type() == at::kDouble) && p.device().is_cpu(),
              "params must be a 1-dimensional float32 or float64 tensor on the CPU, got ", p.scalar_type(),
              " of shape ", p.sizes(), " on ", p.device());
  const int64_t n_centers = a.centers.size(0), n_atoms = a.species.size(0), n_edges = a.neighbors.size(0);
  TORCH_CHECK(a.offsets.size(0) == n_centers + 1, "offsets must have one number more than centers, got ",
              a.offsets.size(0), " for ", n_centers, " centers");
  TORCH_CHECK(n_atoms < (int64_t(1) << 31), "more than 2^31 atoms: ", n_atoms);
  for (Tensor* t : {&a.header, &a.params, &a.species, &a.centers, &a.offsets, &a.neighbors}) *t = t->contiguous();
  const int64_t* o = a.offsets.const_data_ptr<int64_t>();
  bool ordered = o[0] == 0;
  for (int64_t c = 0; c < n_centers; c++) ordered = ordered && o[c] <= o[c + 1];
  TORCH_CHECK(ordered && o[n_centers] == n_edges, "offsets must rise from 0 to the number of edges ", n_edges, ", got ",
              o[0], " to ", o[n_centers]);
  check_range<int64_t>(a.centers, "centers", n_atoms, "n_atoms");
}

inline void check_edge_vectors(const Tensor& vectors, const Tensor& neighbors) {
  check_doubles(vectors, "vectors", vectors.dim() == 2 && vectors.size(1) == 3, "(n_edges, 3)");
  TORCH_CHECK(neighbors.numel() == vectors.size(0), "neighbors and vectors must be equally long, got ",
              neighbors.numel(), " and ", vectors.size(0));
}

// The largest number of edges of a centre.
inline int64_t most_edges(const Edges& e) {
  int64_t longest = 0;
  for (int64_t c = 0; c < e.n_centers; c++) longest = std::max(longest, e.offsets[c + 1] - e.offsets[c]);
  return longest;
}

}  // namespace tnep
