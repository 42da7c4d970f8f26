// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/staging.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cstring>

using namespace LAMMPS_NS;

static constexpr int64_t ALIGNMENT = 16;  // bytes; views as numbers of 8 bytes need a multiple of 8

static int64_t padded(int64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

TnepStaging::TnepStaging(at::Device where, bool is_pinned) : device(where), pinned(is_pinned) {}

at::Tensor& TnepStaging::grown(at::Tensor& memory, int64_t bytes) const {
  if (!memory.defined() || memory.numel() < bytes)
    memory = at::empty({bytes + bytes / 8}, at::TensorOptions(at::kByte).pinned_memory(pinned));
  return memory;
}

// Copy the parts to the device at once; each begins at a multiple of ALIGNMENT.  The copy may still be in progress on
// return: results() waits for it, so that `memory` is free in the next step.
at::Tensor TnepStaging::send(at::Tensor& memory, const std::vector<Part>& parts) {
  int64_t total = 0;
  for (const Part& part : parts) total += padded(part.bytes);
  auto* to = grown(memory, total).mutable_data_ptr<uint8_t>();
  for (const Part& part : parts) {
    if (part.bytes > 0) std::memcpy(to, part.data, part.bytes);
    to += padded(part.bytes);
  }
  at::Tensor there = at::empty({total}, at::TensorOptions(at::kByte).device(device));
  there.copy_(memory.narrow(0, 0, total), /*non_blocking=*/true);
  count.sent++;
  count.bytes_sent += total;
  return there;
}

// Numbers of a type in `memory`, from the byte `at`, which moves to the next part.
static at::Tensor take(const at::Tensor& memory, int64_t& at, int64_t numbers, at::ScalarType type) {
  const int64_t bytes = numbers * static_cast<int64_t>(c10::elementSize(type));
  const at::Tensor found = memory.narrow(0, at, bytes).view(type);
  at += padded(bytes);
  return found;
}

TnepStaging::Inputs TnepStaging::inputs(const TnepGraph& graph, const TnepFieldView& field) {
  count.steps++;
  const int64_t n = graph.n_atoms, c = graph.n_centers, e = graph.n_edges;
  const bool fresh = graph.revision != revision;
  if (fresh) {
    count.lists++;
    const at::Tensor there =
        send(list_memory, {{graph.centers, c * 8}, {graph.offsets, (c + 1) * 8}, {graph.list, e * 4}});
    int64_t at = 0;
    now.centers = take(there, at, c, at::kLong);
    now.offsets = take(there, at, c + 1, at::kLong);
    now.list = take(there, at, e, at::kInt);
    long_list = edge_centers = at::Tensor();
    revision = graph.revision;
  }
  const bool same =
      static_cast<int64_t>(species.size()) == n && std::equal(species.begin(), species.end(), graph.species);
  if (!same) species.assign(graph.species, graph.species + n);
  const int64_t fields = !field.values ? 0 : field.stride ? 3 * c : 3;
  const at::Tensor there =
      send(step_memory, {{graph.positions, n * 24}, {field.values, fields * 8}, {species.data(), same ? 0 : n * 8}});
  int64_t at = 0;
  now.positions = take(there, at, 3 * n, at::kDouble).view({n, 3});
  now.field = take(there, at, fields, at::kDouble);
  if (!field.values) now.field = at::Tensor();
  else if (field.stride) now.field = now.field.view({c, 3});
  if (!same) now.species = take(there, at, n, at::kLong);
  return now;
}

std::pair<at::Tensor, at::Tensor> TnepStaging::edges() {
  if (!long_list.defined()) {
    long_list = now.list.to(at::kLong);
    edge_centers = at::repeat_interleave(now.centers, now.offsets.diff(), 0, now.list.numel());
  }
  const at::Tensor& r = now.positions;
  return {long_list, r.index_select(0, long_list).sub(r.index_select(0, edge_centers))};
}

std::vector<at::Tensor> TnepStaging::results(const std::vector<at::Tensor>& found) {
  std::vector<at::Tensor> flat;
  for (const at::Tensor& one : found) flat.push_back(one.detach().to(at::kDouble).reshape({-1}));
  const at::Tensor all = at::cat(flat);
  const at::Tensor here = grown(result_memory, all.numel() * 8).narrow(0, 0, all.numel() * 8).view(at::kDouble);
  here.copy_(all);  // waits for the device
  count.received++;
  count.bytes_received += all.numel() * 8;
  std::vector<at::Tensor> parts;
  int64_t start = 0;
  for (const at::Tensor& one : flat) {
    parts.push_back(here.narrow(0, start, one.numel()));
    start += one.numel();
  }
  return parts;
}
