// CPU implementation of the operator tnep::enthalpy: argument checks, threads, outputs.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "../core/enthalpy.h"
#include "arguments.h"
#include "recycled.h"

namespace tnep {
namespace {

struct Arguments : ModelAndEdges {
  Tensor constants, vectors, field;
  std::vector<int64_t> seeds;
  bool atom_virials;
  int64_t order;
};

// Check everything that the kernels rely on, but for the model, and make the arrays contiguous.
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

// Evaluate in one chunk of centres per thread.  Each chunk adds to rows of its own, and the rows are summed
// in the order of the chunks: the result depends on the number of threads only.
template <class R>
void run(const Arguments& a, EnthalpyTask task, const EnthalpyOutputs& out, int64_t per_atom) {
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
  const int64_t chunks = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), edges.n_centers / 16));
  const auto evaluate = [&](int64_t chunk, const EnthalpyOutputs& to) {
    k.evaluate(m, task, edges, order.data(), edges.n_centers * chunk / chunks, edges.n_centers * (chunk + 1) / chunks,
               longest, to, workspace(bytes));
  };
  if (chunks == 1) return evaluate(0, out);

  const int64_t strain = 9 * task.n_seeds, gradients = 4 * task.n_seeds * edges.n_atoms;
  const int64_t size = per_atom * edges.n_atoms + strain;
  std::vector<double> extra((chunks - 1) * size);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
      EnthalpyOutputs mine = out;
      if (chunk > 0) {
        mine.gradients = extra.data() + (chunk - 1) * size;
        mine.virials = out.virials ? mine.gradients + gradients : nullptr;
        mine.strain = mine.gradients + per_atom * edges.n_atoms;
      }
      evaluate(chunk, mine);
    }
  });
  add_rows(extra.data(), chunks - 1, size, gradients, out.gradients);
  if (out.virials) add_rows(extra.data() + gradients, chunks - 1, size, 9 * edges.n_atoms, out.virials);
  add_rows(extra.data() + size - strain, chunks - 1, size, strain, out.strain);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> enthalpy(
    const Tensor& header, const Tensor& params, const Tensor& constants, const Tensor& species, const Tensor& centers,
    const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors, const std::optional<Tensor>& field,
    at::IntArrayRef seeds, bool atom_virials, int64_t order) {
  Arguments a{{header, params, species, centers, offsets, neighbors},
              constants, vectors, field ? *field : Tensor(), seeds.vec(), atom_virials, order};
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
  const int64_t per_atom = 4 * s + (atom_virials ? 9 : 0);
  if (a.params.scalar_type() == at::kFloat) run<float>(a, task, out, per_atom);
  else run<double>(a, task, out, per_atom);
  return {energies, dipoles, polarizabilities, gradients.slice(2, 0, 3).permute({1, 0, 2}).contiguous(), strain,
          virials};
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) { m.impl("enthalpy", &tnep::enthalpy); }
