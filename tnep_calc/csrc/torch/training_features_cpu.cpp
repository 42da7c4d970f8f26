// CPU implementation of the operators in tnep_calc/ops/schemas.inc that compute the moments of training from edges.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "core/nep/layout.h"
#include "core/training/api.h"
#include "torch/arguments.h"

namespace tnep {
namespace {

// Number of centres whose sums stay in the cache until they are written to rows of centres.
constexpr int64_t kTile = 16;

void check_integers(const Tensor& t, const char* name, int64_t count, int64_t below) {
  TORCH_CHECK(t.dim() == 1 && t.size(0) == count && t.scalar_type() == at::kLong && t.device().is_cpu(), name,
              " must be an int64 tensor of shape (", count, ",) on the CPU, got ", t.scalar_type(), " of shape ",
              t.sizes());
  TORCH_CHECK(count == 0 || (t.min().item<int64_t>() >= 0 && t.max().item<int64_t>() < below), name,
              " must be from 0 to ", below - 1);
}

// Edges sorted by the atom where they begin, and the places where their features are summed.
struct Edges {
  Tensor vectors, offsets, centre, neighbor, place, cutoffs;
  FeatureProblem<double> problem;
  int64_t numbers, components, scratch;

  Edges(const Tensor& vectors_, const Tensor& offsets_, const Tensor& centre_, const Tensor& neighbor_,
        const Tensor& place_, int64_t places, const Tensor& cutoffs_, at::IntArrayRef sizes, Field field)
      : vectors(vectors_.contiguous()),
        offsets(offsets_.contiguous()),
        centre(centre_.contiguous()),
        neighbor(neighbor_.contiguous()),
        place(place_.contiguous()),
        cutoffs(cutoffs_.contiguous()) {
    TORCH_CHECK(
        vectors.dim() == 2 && vectors.size(1) == 3 && vectors.scalar_type() == at::kDouble && vectors.device().is_cpu(),
        "vectors must be a float64 tensor of shape (edges, 3) on the CPU, got ", vectors.scalar_type(), " of shape ",
        vectors.sizes());
    TORCH_CHECK(sizes.size() == 3 && sizes[0] >= 1 && sizes[1] >= 1 && sizes[2] >= 1 && sizes[2] <= kMaxL,
                "sizes must be the numbers of radial and angular functions and l_max up to ", kMaxL, ", got ", sizes);
    TORCH_CHECK(
        cutoffs.dim() == 2 && cutoffs.size(0) == 2 && cutoffs.scalar_type() == at::kDouble && cutoffs.device().is_cpu(),
        "cutoffs must be a float64 tensor of shape (2, species) on the CPU, got ", cutoffs.scalar_type(), " of shape ",
        cutoffs.sizes());
    const int64_t edges = vectors.size(0), species = cutoffs.size(1);
    check_integers(centre, "centre", edges, species);
    check_integers(neighbor, "neighbor", edges, species);
    check_integers(place, "place", edges, places);
    check_integers(offsets, "offsets", offsets.numel(), edges + 1);
    const int64_t* at = offsets.const_data_ptr<int64_t>();
    TORCH_CHECK(offsets.size(0) >= 1 && at[0] == 0 && at[atoms()] == edges && std::is_sorted(at, at + atoms() + 1),
                "offsets must rise from 0 to the number of edges ", edges);
    problem = {int(sizes[0]),
               int(sizes[1]),
               int(sizes[2]),
               int(species),
               field,
               vectors.const_data_ptr<double>(),
               cutoffs.const_data_ptr<double>(),
               centre.const_data_ptr<int64_t>(),
               neighbor.const_data_ptr<int64_t>(),
               place.const_data_ptr<int64_t>()};
    const int64_t s = angular();
    components = components_of(field);
    numbers = sizes[0] + sizes[1] * s;
    scratch = 2 * (sizes[0] + sizes[1]) + s * (4 + 2 * components);
  }

  int64_t atoms() const { return offsets.size(0) - 1; }
  int64_t angular() const { return int64_t(problem.l_max + 1) * (problem.l_max + 1) - 1; }
  int64_t begin(int64_t atom) const { return offsets.const_data_ptr<int64_t>()[atom]; }
};

// Centres that have neighbours of the same species, and their moments: radial (near k, 1 + components, centres),
// angular (near k, S, centres), and the changes of the angular moments along the field (near k, components, S,
// centres).
struct Group {
  int64_t near, first, count, slot;  // number of neighbour species; first centre and number of centres; first slot
  Tensor radial, angular, along;
};

// Write the sums of the centres of a tile to the moments of the group: `plain` [centre][near][numbers] and `changes`
// [centre][near][numbers][components].
template <class R>
void write_tile(const Edges& in, const Group& group, int64_t first, int64_t count, const double* plain,
                const double* changes) {
  const int64_t kr = in.problem.k_radial, ka = in.problem.k_angular, s = in.angular(), c = in.components;
  const int64_t step = group.near * in.numbers;
  const auto put = [&](R* to, const double* from, int64_t stride) {
    for (int64_t i = 0; i < count; i++) to[i] = R(from[i * stride]);
  };
  for (int64_t near = 0; near < group.near; near++) {
    const double* value = plain + near * in.numbers;
    const double* change = changes + near * in.numbers * c;
    R* radial = group.radial.mutable_data_ptr<R>() + near * kr * (1 + c) * group.count + first;
    for (int64_t k = 0; k < kr; k++) {
      put(radial + k * (1 + c) * group.count, value + k, step);
      for (int64_t a = 0; a < c; a++) put(radial + (k * (1 + c) + 1 + a) * group.count, change + k * c + a, step * c);
    }
    R* angular = group.angular.mutable_data_ptr<R>() + near * ka * s * group.count + first;
    for (int64_t i = 0; i < ka * s; i++) put(angular + i * group.count, value + kr + i, step);
    if (c == 0) continue;
    R* along = group.along.mutable_data_ptr<R>() + near * ka * c * s * group.count + first;
    for (int64_t k = 0; k < ka; k++)
      for (int64_t a = 0; a < c; a++)
        for (int64_t i = 0; i < s; i++)
          put(along + ((k * c + a) * s + i) * group.count, change + (kr + k * s + i) * c + a, step * c);
  }
}

std::vector<Tensor> moments(const Tensor& vectors, const Tensor& offsets, const Tensor& centre, const Tensor& neighbor,
                            const Tensor& place, const Tensor& order_, at::IntArrayRef near, at::IntArrayRef counts,
                            const Tensor& cutoffs, at::IntArrayRef sizes, int64_t field, at::ScalarType dtype) {
  TORCH_CHECK(field >= 0 && field <= 2 && (dtype == at::kFloat || dtype == at::kDouble) && near.size() == counts.size(),
              "expected a field from 0 to 2, float32 or float64, and a count for every group, got ", field, ", ", dtype,
              " and ", counts.size(), " of ", near.size());
  std::vector<Group> groups;
  struct Tile {
    size_t group;
    int64_t begin, end;
  };
  std::vector<Tile> tiles;
  int64_t centres = 0, slots = 0;
  for (size_t g = 0; g < near.size(); g++) {
    TORCH_CHECK(near[g] >= 1 && counts[g] >= 1, "a group must have centres and species of neighbours");
    groups.push_back({near[g], centres, counts[g], slots, {}, {}, {}});
    for (int64_t begin = 0; begin < counts[g]; begin += kTile)
      tiles.push_back({g, begin, std::min(begin + kTile, counts[g])});
    centres += counts[g];
    slots += near[g] * counts[g];
  }
  const Edges in(vectors, offsets, centre, neighbor, place, slots, cutoffs, sizes, Field(field));
  check_integers(order_, "order", centres, in.atoms());
  TORCH_CHECK(centres == in.atoms(), "the groups must have all ", in.atoms(), " atoms, got ", centres);
  const Tensor order = order_.contiguous();
  const int64_t* const atoms = order.const_data_ptr<int64_t>();
  const int64_t s = in.angular(), c = in.components;
  std::vector<Tensor> out;
  for (Group& group : groups) {
    const auto options = at::TensorOptions(dtype);
    group.radial = at::empty({group.near * sizes[0], 1 + c, group.count}, options);
    group.angular = at::empty({group.near * sizes[1], s, group.count}, options);
    out.insert(out.end(), {group.radial, group.angular});
    if (c == 0) continue;
    group.along = at::empty({group.near * sizes[1], c, s, group.count}, options);
    out.push_back(group.along);
  }
  at::parallel_for(0, int64_t(tiles.size()), 1, [&](int64_t first, int64_t last) {
    std::vector<double> memory(in.scratch), plain, changes;
    std::vector<int64_t> own;
    for (int64_t t = first; t < last; t++) {
      const Tile& tile = tiles[t];
      const Group& group = groups[tile.group];
      const int64_t size = (tile.end - tile.begin) * group.near, slot = group.slot + tile.begin * group.near;
      plain.assign(size * in.numbers, 0.0);
      changes.assign(size * in.numbers * c, 0.0);
      for (int64_t row = tile.begin; row < tile.end; row++) {
        const int64_t atom = atoms[group.first + row], begin = in.begin(atom), end = in.begin(atom + 1);
        own.assign(in.problem.place + begin, in.problem.place + end);
        for (int64_t& place : own) {
          place -= slot;
          TORCH_CHECK(place >= (row - tile.begin) * group.near && place < (row - tile.begin + 1) * group.near,
                      "an edge of atom ", atom, " has a slot of another atom");
        }
        FeatureProblem<double> p = in.problem;
        p.vectors += 3 * begin;
        p.centre += begin;
        p.neighbor += begin;
        p.place = own.data();
        training_kernel<double>().features(p, 0, end - begin, plain.data(), changes.data(), memory.data());
      }
      const int64_t count = tile.end - tile.begin;
      if (dtype == at::kFloat) write_tile<float>(in, group, tile.begin, count, plain.data(), changes.data());
      else write_tile<double>(in, group, tile.begin, count, plain.data(), changes.data());
    }
  });
  return out;
}

Tensor pair_gradients(const Tensor& vectors, const Tensor& offsets, const Tensor& centre, const Tensor& neighbor,
                      const Tensor& place, int64_t places, const Tensor& cutoffs, at::IntArrayRef sizes) {
  const Edges in(vectors, offsets, centre, neighbor, place, places, cutoffs, sizes, Field::gradient);
  Tensor out = at::zeros({places, in.numbers, 3}, in.vectors.options());
  double* const to = out.mutable_data_ptr<double>();
  at::parallel_for(0, in.atoms(), kTile, [&](int64_t first, int64_t last) {
    std::vector<double> memory(in.scratch);
    training_kernel<double>().features(in.problem, in.begin(first), in.begin(last), nullptr, to, memory.data());
  });
  return out;
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) {
  m.impl("training_moments", &tnep::moments);
  m.impl("training_pair_gradients", &tnep::pair_gradients);
}
