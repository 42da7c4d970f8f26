// CPU implementation of the neighbour operators in tnep_calc/ops/schemas.inc.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "core/search/grid.h"
#include "torch/arguments.h"
#include "torch/recycled.h"
#include "torch/threads.h"

namespace tnep {
namespace {

// Number of edges per atom to allocate at first: that of a homogeneous system, up to a limit.
int64_t edges_per_atom(const double* cell, int64_t n, double cutoff) {
  const double volume =
      std::abs(cell[0] * (cell[4] * cell[8] - cell[5] * cell[7]) + cell[1] * (cell[5] * cell[6] - cell[3] * cell[8]) +
               cell[2] * (cell[3] * cell[7] - cell[4] * cell[6]));
  const double expected = double(n) / volume * 4.1888 * cutoff * cutoff * cutoff;
  return int64_t(std::min(1.02 * expected + 8, 1000.0));
}

// Edges of one range of atoms.
struct Part {
  Tensor neighbors, shifts, vectors;
};

Part make_part(int64_t edges, const at::TensorOptions& options) {
  Recycler& memory = Recycler::instance();
  return {memory.empty({edges}, options.dtype(at::kLong)), memory.empty({edges, 3}, options.dtype(at::kInt)),
          memory.empty({edges, 3}, options)};
}

// The first `edges` edges.
Part head(const Part& part, int64_t edges) {
  return {part.neighbors.narrow(0, 0, edges), part.shifts.narrow(0, 0, edges), part.vectors.narrow(0, 0, edges)};
}

Part search_range(const Grid& grid, int64_t begin, int64_t end, int64_t n_atoms, int64_t guess, int64_t* counts,
                  const at::TensorOptions& options) {
  std::vector<int32_t> list(n_atoms + 16);
  const SearchFunction search = search_function();
  Part part = make_part(guess, options);
  int64_t done = begin, count = 0;
  while (true) {
    EdgeBuffer buffer{count,
                      guess,
                      counts + (done - begin),
                      part.neighbors.mutable_data_ptr<int64_t>(),
                      part.shifts.mutable_data_ptr<int32_t>(),
                      part.vectors.mutable_data_ptr<double>(),
                      list.data()};
    done = search(grid, done, end, buffer);
    count = buffer.count;
    if (done == end) return head(part, count);
    guess += guess / 2 + 1024;
    const Part larger = make_part(guess, options), old = head(part, count), copy = head(larger, count);
    copy.neighbors.copy_(old.neighbors);
    copy.shifts.copy_(old.shifts);
    copy.vectors.copy_(old.vectors);
    part = larger;
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor> neighbor_list(const Tensor& positions, const Tensor& cell, const Tensor& pbc,
                                                         double cutoff) {
  check_doubles(positions, "positions", positions.dim() == 2 && positions.size(1) == 3, "(n_atoms, 3)");
  check_doubles(cell, "cell", cell.dim() == 2 && cell.size(0) == 3 && cell.size(1) == 3, "(3, 3)");
  TORCH_CHECK(pbc.dim() == 1 && pbc.size(0) == 3 && pbc.scalar_type() == at::kBool && pbc.device().is_cpu(),
              "pbc must be a bool tensor of shape (3,) on the CPU, got ", pbc.scalar_type(), " of shape ", pbc.sizes());
  const int64_t n = positions.size(0);
  TORCH_CHECK(n < (int64_t(1) << 30), "more than 2^30 atoms: ", n);
  const Tensor p = positions.contiguous(), c = cell.contiguous(), periodic = pbc.contiguous();
  const auto make = [&] {
    try {
      return GridStorage(p.const_data_ptr<double>(), n, c.const_data_ptr<double>(), periodic.const_data_ptr<bool>(),
                         cutoff);
    } catch (const std::invalid_argument& error) {
      TORCH_CHECK(false, "neighbor_list: ", error.what());
    }
  };
  const GridStorage storage = make();
  const Grid& grid = storage.grid();
  const int64_t guess = edges_per_atom(grid.cell, n, cutoff);

  Tensor offsets = at::zeros({n + 1}, p.options().dtype(at::kLong));
  int64_t* counts = offsets.mutable_data_ptr<int64_t>() + 1;
  const int64_t chunks = count_chunks(n, 64);
  std::vector<Part> parts(chunks);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; k++) {
      const int64_t begin = n * k / chunks, end = n * (k + 1) / chunks;
      parts[k] = search_range(grid, begin, end, n, guess * (end - begin), counts + begin, p.options());
    }
  });
  for (int64_t i = 0; i < n; i++) counts[i] += counts[i - 1];
  if (chunks == 1) return {offsets, parts[0].neighbors, parts[0].shifts, parts[0].vectors};
  std::vector<Tensor> neighbors, shifts, vectors;
  for (Part& part : parts) {
    neighbors.push_back(part.neighbors);
    shifts.push_back(part.shifts);
    vectors.push_back(part.vectors);
  }
  return {offsets, at::cat(neighbors), at::cat(shifts), at::cat(vectors)};
}

Tensor edge_vectors(const Tensor& positions, const Tensor& cell, const Tensor& offsets, const Tensor& neighbors,
                    const Tensor& shifts) {
  check_doubles(positions, "positions", positions.dim() == 2 && positions.size(1) == 3, "(n_atoms, 3)");
  check_doubles(cell, "cell", cell.dim() == 2 && cell.size(0) == 3 && cell.size(1) == 3, "(3, 3)");
  const int64_t n = positions.size(0), edges = neighbors.numel();
  TORCH_CHECK(offsets.dim() == 1 && offsets.scalar_type() == at::kLong && offsets.size(0) == n + 1,
              "offsets must be int64 of shape (n_atoms + 1,), got ", offsets.scalar_type(), " of shape ",
              offsets.sizes());
  TORCH_CHECK(neighbors.dim() == 1 && neighbors.scalar_type() == at::kLong,
              "neighbors must be int64 of shape (n_edges,), got ", neighbors.scalar_type(), " of shape ",
              neighbors.sizes());
  TORCH_CHECK(shifts.dim() == 2 && shifts.size(0) == edges && shifts.size(1) == 3 && shifts.scalar_type() == at::kInt,
              "shifts must be int32 of shape (n_edges, 3), got ", shifts.scalar_type(), " of shape ", shifts.sizes());
  const Tensor p = positions.contiguous(), h = cell.contiguous(), o = offsets.contiguous(), j = neighbors.contiguous(),
               s = shifts.contiguous();
  Tensor vectors = Recycler::instance().empty({edges, 3}, p.options());
  const double *r = p.const_data_ptr<double>(), *c = h.const_data_ptr<double>();
  const int64_t *start = o.const_data_ptr<int64_t>(), *end = j.const_data_ptr<int64_t>();
  const int32_t* shift = s.const_data_ptr<int32_t>();
  double* v = vectors.mutable_data_ptr<double>();
  TORCH_CHECK(n == 0 ? edges == 0 : start[0] == 0 && start[n] == edges,
              "offsets must rise from 0 to the number of edges ", edges);
  bool sound = true;
  for (int64_t i = 0; i < n; i++) sound = sound && start[i] <= start[i + 1];
  for (int64_t e = 0; e < edges; e++) sound = sound && end[e] >= 0 && end[e] < n;
  TORCH_CHECK(sound, "offsets must not fall, and neighbors must be from 0 to n_atoms - 1 = ", n - 1);
  at::parallel_for(0, n, 256, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++)
      for (int64_t e = start[i]; e < start[i + 1]; e++)
        for (int a = 0; a < 3; a++)
          v[3 * e + a] = r[3 * end[e] + a] - r[3 * i + a] + shift[3 * e] * c[a] + shift[3 * e + 1] * c[3 + a] +
                         shift[3 * e + 2] * c[6 + a];
  });
  return vectors;
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) {
  m.impl("neighbor_list", &tnep::neighbor_list);
  m.impl("edge_vectors", &tnep::edge_vectors);
}
