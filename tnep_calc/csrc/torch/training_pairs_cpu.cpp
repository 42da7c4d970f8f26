// CPU implementation of the operator training_pairs in tnep_calc/ops/schemas.inc: argument checks, threads, output.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <array>
#include <vector>

#include "core/training/api.h"
#include "torch/arguments.h"
#include "torch/threads.h"

namespace tnep {
namespace {

constexpr int64_t kLeast = 64;  // smallest number of centres in a chunk

const int64_t* indices(const Tensor& t, const char* name, int64_t count, int64_t below) {
  TORCH_CHECK(
      t.dim() == 1 && t.size(0) == count && t.scalar_type() == at::kLong && t.device().is_cpu() && t.is_contiguous(),
      name, " must be a contiguous int64 tensor of shape (", count, ",) on the CPU, got ", t.scalar_type(),
      " of shape ", t.sizes());
  const int64_t* const values = t.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < count; i++)
    TORCH_CHECK(values[i] >= 0 && values[i] < below, name, " must be from 0 to ", below - 1, ", got ", values[i]);
  return values;
}

// Coefficients (P, T, T, n, k) as (T, T, n, k, padded), with zeros after the P models.
Tensor models_last(const Tensor& c, int64_t padded) {
  Tensor out = at::zeros({c.size(1), c.size(2), c.size(3), c.size(4), padded}, c.options());
  out.narrow(4, 0, c.size(0)).copy_(c.permute({1, 2, 3, 4, 0}));
  return out;
}

template <class R>
Tensor pairs_of(const Tensor& radial, const Tensor& angular, const Tensor& c_radial, const Tensor& c_angular,
                at::IntArrayRef near, at::IntArrayRef counts, const Tensor& gradient, const Tensor& slot,
                const Tensor& center, const Tensor& neighbor) {
  const TrainingKernel<R>& kernel = training_kernel<R>();
  const int64_t models = radial.size(0), centres = radial.size(2), species = c_radial.size(1);
  const int64_t padded = (models + kernel.lanes - 1) / kernel.lanes * kernel.lanes, n_pairs = gradient.size(0);
  int64_t slots = 0, rows = 0;
  size_t at = 0;
  for (const int64_t count : counts) {
    TORCH_CHECK(
        count >= 0 && at + 2 <= near.size() && near[at + 1] >= 0 && at + 2 + size_t(near[at + 1]) <= near.size(),
        "near is too short for ", counts.size(), " groups");
    for (size_t k = at; k < at + 2 + size_t(near[at + 1]); k++)
      TORCH_CHECK(k == at + 1 || (near[k] >= 0 && near[k] < species), "near must have species from 0 to ", species - 1,
                  ", got ", near[k]);
    slots += count * near[at + 1];
    rows += count;
    at += 2 + size_t(near[at + 1]);
  }
  TORCH_CHECK(at == near.size(), "near is too long for ", counts.size(), " groups");
  TORCH_CHECK(rows == centres, "counts must add up to the number of centres ", centres, ", got ", rows);
  const int64_t* const of_pair = indices(slot, "slot", n_pairs, slots);
  std::vector<int64_t> ends(slots + 1, 0);
  for (int64_t i = 0; i < n_pairs; i++) {
    TORCH_CHECK(i == 0 || of_pair[i - 1] <= of_pair[i], "pairs must be sorted by slot");
    ends[of_pair[i] + 1]++;
  }
  for (int64_t i = 0; i < slots; i++) ends[i + 1] += ends[i];

  const Tensor by_radial = models_last(c_radial, padded), by_angular = models_last(c_angular, padded);
  PairProblem<R> p{int(models),
                   int(radial.size(1)),
                   int(c_radial.size(4)),
                   int(angular.size(1)),
                   int(c_angular.size(4)),
                   int(angular.size(2)),
                   0,
                   centres,
                   0,
                   radial.const_data_ptr<R>(),
                   angular.const_data_ptr<R>(),
                   nullptr,
                   nullptr,
                   nullptr,
                   gradient.const_data_ptr<R>(),
                   indices(center, "center", n_pairs, centres),
                   indices(neighbor, "neighbor", n_pairs, centres)};
  Tensor out = at::zeros({centres, 3, padded}, radial.options());
  const std::array<Sum<R>, 1> sums = {{{out.mutable_data_ptr<R>(), out.numel()}}};
  const int64_t chunks = count_chunks(centres, kLeast);
  in_chunks(chunks, sums, [&](int64_t chunk, const std::array<R*, 1>& to) {
    PairProblem<R> own = p;
    const int64_t first = centres * chunk / chunks, last = centres * (chunk + 1) / chunks;
    const int64_t* ends_of_group = ends.data();
    size_t place = 0;
    for (const int64_t count : counts) {
      const int64_t centre = near[place], many = near[place + 1];
      std::vector<const R*> radials, angulars;
      for (int64_t k = 0; k < many; k++) {
        const int64_t other = near[place + 2 + k];
        radials.push_back(by_radial.const_data_ptr<R>() + centre * by_radial.stride(0) + other * by_radial.stride(1));
        angulars.push_back(by_angular.const_data_ptr<R>() + centre * by_angular.stride(0) +
                           other * by_angular.stride(1));
      }
      own.near = int(many);
      own.c_radial = radials.data();
      own.c_angular = angulars.data();
      own.ends = ends_of_group;
      const int64_t begin = std::max<int64_t>(first - own.first, 0), end = std::min(last - own.first, count);
      if (begin < end && many > 0) kernel.pairs(own, begin, end, to[0], workspace(kernel.pair_workspace_bytes(own)));
      own.first += count;
      ends_of_group += count * many;
      place += 2 + size_t(many);
    }
  });
  return out.narrow(2, 0, models).permute({2, 0, 1}).contiguous();
}

Tensor pairs(const Tensor& radial, const Tensor& angular, const Tensor& c_radial, const Tensor& c_angular,
             at::IntArrayRef near, at::IntArrayRef counts, const Tensor& gradient, const Tensor& slot,
             const Tensor& center, const Tensor& neighbor) {
  const auto type = radial.scalar_type();
  TORCH_CHECK(radial.dim() == 3 && (type == at::kFloat || type == at::kDouble) && radial.device().is_cpu(),
              "radial must be a float32 or float64 tensor of shape (models, n, centres) on the CPU, got ", type,
              " of shape ", radial.sizes());
  TORCH_CHECK(angular.dim() == 4 && c_radial.dim() == 5 && c_angular.dim() == 5 && gradient.dim() == 3,
              "angular must have 4, coefficients 5, and gradient 3 dimensions");
  const int64_t models = radial.size(0), centres = radial.size(2), species = c_radial.size(1), s = angular.size(2);
  const auto check = [&](const Tensor& t, const char* name, at::IntArrayRef shape) {
    TORCH_CHECK(t.sizes() == shape && t.scalar_type() == type && t.device().is_cpu(), name, " must be a ", type,
                " tensor of shape ", shape, " on the CPU, got ", t.scalar_type(), " of shape ", t.sizes());
  };
  check(angular, "angular", {models, angular.size(1), s, centres});
  check(c_radial, "c_radial", {models, species, species, radial.size(1), c_radial.size(4)});
  check(c_angular, "c_angular", {models, species, species, angular.size(1), c_angular.size(4)});
  check(gradient, "gradient", {gradient.size(0), c_radial.size(4) + c_angular.size(4) * s, 3});
  TORCH_CHECK(s >= 3 && c_angular.size(4) >= 1, "there must be an angular function");
  const Tensor r = radial.contiguous(), a = angular.contiguous(), g = gradient.contiguous();
  if (type == at::kFloat) return pairs_of<float>(r, a, c_radial, c_angular, near, counts, g, slot, center, neighbor);
  return pairs_of<double>(r, a, c_radial, c_angular, near, counts, g, slot, center, neighbor);
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) { m.impl("training_pairs", &tnep::pairs); }
