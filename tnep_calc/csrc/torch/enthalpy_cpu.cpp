// CPU implementation of the operator tnep::enthalpy: argument checks, threads, outputs.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <array>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "core/enthalpy/api.h"
#include "torch/arguments.h"
#include "torch/recycled.h"
#include "torch/threads.h"

namespace tnep {
namespace {

struct Arguments : ModelAndEdges {
  Tensor constants, vectors, field;
  std::vector<int64_t> seeds;
  bool atom_virials;
  int64_t order;
};

// Check everything that the kernels rely on except the model, and make the arrays contiguous.
void check(Arguments& a) {
  check_edge_vectors(a.vectors, a.neighbors);
  check_edges(a, at::kLong, "int64");
  check_doubles(a.constants, "constants", a.constants.dim() == 1, "(1 + 2 n_species,)");
  if (a.field.defined())
    check_doubles(a.field, "field",
                  a.field.dim() > 0 && a.field.size(-1) == 3 &&
                      (a.field.dim() == 1 || (a.field.dim() == 2 && a.field.size(0) == a.centers.size(0))),
                  "(3,) or (n_centers, 3)");
  for (Tensor* t : {&a.constants, &a.vectors}) *t = t->contiguous();
  if (a.field.defined()) a.field = a.field.contiguous();
  check_range<int64_t>(a.neighbors, "neighbors", a.species.size(0), "n_atoms");
  for (const int64_t s : a.seeds)
    TORCH_CHECK(s >= 0 && s < kSeeds, "seeds must be from 0 to ", int(kSeeds) - 1, ", got ", s);
  TORCH_CHECK(a.order >= 0 && a.order <= 2, "order must be 0, 1 or 2, got ", a.order);
  TORCH_CHECK(!a.atom_virials || (!a.seeds.empty() && a.seeds[0] == kSeedEnthalpy),
              "atom_virials needs the enthalpy, 0, as the first of the seeds");
}

// Evaluate all centres, one chunk per thread.
template <class R>
void run(const Arguments& a, EnthalpyTask task, const EnthalpyOutputs& out) {
  EnthalpyModel<R> m;
  try {
    m = make_enthalpy_model<R>(a.header.const_data_ptr<int64_t>(), a.header.numel(), a.params.const_data_ptr<R>(),
                               a.params.numel());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK(false, error.what());
  }
  check_range<int64_t>(a.species, "species", m.species, "number of species of the model");
  TORCH_CHECK(a.constants.numel() == 1 + 2 * m.species, "constants must have 1 + 2 n_species = ", 1 + 2 * m.species,
              " numbers, got ", a.constants.numel());
  const double* constants = a.constants.const_data_ptr<double>();
  TORCH_CHECK(constants[0] > 0, "the cutoff, the first of the constants, must be positive, got ", constants[0]);
  task.cutoff = constants[0];
  task.site = constants + 1;
  const Edges edges{a.species.size(0),
                    a.centers.size(0),
                    a.species.const_data_ptr<int64_t>(),
                    a.centers.const_data_ptr<int64_t>(),
                    a.offsets.const_data_ptr<int64_t>(),
                    a.neighbors.const_data_ptr<int64_t>(),
                    a.vectors.const_data_ptr<double>()};
  std::vector<int64_t> order(edges.n_centers), place(m.species + 1, 0);
  for (int64_t c = 0; c < edges.n_centers; c++) place[edges.species[edges.centers[c]] + 1]++;
  std::partial_sum(place.begin(), place.end(), place.begin());
  for (int64_t c = 0; c < edges.n_centers; c++) order[place[edges.species[edges.centers[c]]]++] = c;

  const int64_t longest = most_edges(edges);
  const EnthalpyKernel<R>& k = enthalpy_kernel<R>();
  const size_t bytes = k.workspace_bytes(m, task.n_seeds, longest);
  const int64_t chunks = count_chunks(edges.n_centers, 16);
  const std::array<Sum<double>, 3> sums = {{{out.gradients, 4 * task.n_seeds * edges.n_atoms},
                                            {out.virials, out.virials ? 9 * edges.n_atoms : 0},
                                            {out.strain, 9 * task.n_seeds}}};
  in_chunks(chunks, sums, [&](int64_t chunk, const std::array<double*, 3>& rows) {
    EnthalpyOutputs mine = out;
    mine.gradients = rows[0];
    mine.virials = rows[1];
    mine.strain = rows[2];
    k.evaluate(m, task, edges, order.data(), edges.n_centers * chunk / chunks, edges.n_centers * (chunk + 1) / chunks,
               longest, mine, workspace(bytes));
  });
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> enthalpy(
    const Tensor& header, const Tensor& params, const Tensor& constants, const Tensor& species, const Tensor& centers,
    const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors, const std::optional<Tensor>& field,
    at::IntArrayRef seeds, bool atom_virials, int64_t order) {
  Arguments a{{header, params, species, centers, offsets, neighbors},
              constants,
              vectors,
              field ? *field : Tensor(),
              seeds.vec(),
              atom_virials,
              order};
  check(a);
  const int64_t atoms = species.size(0), n = centers.size(0), s = int64_t(seeds.size());
  const auto options = a.vectors.options();
  Tensor energies = at::empty({n}, options), dipoles = at::empty({order > 0 ? n : 0, 3}, options);
  Tensor polarizabilities = at::empty({order > 1 ? n : 0, 3, 3}, options);
  Tensor gradients = Recycler::instance().empty({atoms, s, 4}, options).zero_(), strain = at::zeros({s, 3, 3}, options);
  Tensor virials = at::zeros({atom_virials ? atoms : 0, 3, 3}, options);
  EnthalpyTask task{};
  task.field = field ? a.field.const_data_ptr<double>() : nullptr;
  task.field_stride = field && a.field.dim() == 2 ? 3 : 0;
  task.seeds = a.seeds.data();
  task.n_seeds = int(s);
  task.order = needed_order(int(order), task.field, task.seeds, task.n_seeds);
  const EnthalpyOutputs out{energies.mutable_data_ptr<double>(),
                            order > 0 ? dipoles.mutable_data_ptr<double>() : nullptr,
                            order > 1 ? polarizabilities.mutable_data_ptr<double>() : nullptr,
                            gradients.mutable_data_ptr<double>(),
                            strain.mutable_data_ptr<double>(),
                            atom_virials ? virials.mutable_data_ptr<double>() : nullptr};
  if (a.params.scalar_type() == at::kFloat) run<float>(a, task, out);
  else run<double>(a, task, out);
  return {energies, dipoles, polarizabilities, gradients.slice(2, 0, 3).permute({1, 0, 2}).contiguous(),
          strain,   virials};
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) { m.impl("enthalpy", &tnep::enthalpy); }
