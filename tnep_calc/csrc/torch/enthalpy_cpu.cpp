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
#include "recycled.h"

namespace tnep {
namespace {

using at::Tensor;

void check_integers(const Tensor& t, const char* name) {
  TORCH_CHECK(t.dim() == 1 && t.scalar_type() == at::kLong && t.device().is_cpu(), name,
              " must be a 1-dimensional int64 tensor on the CPU, got ", t.scalar_type(), " of shape ", t.sizes(),
              " on ", t.device());
}

void check_doubles(const Tensor& t, const char* name, bool right_shape, const char* shape) {
  TORCH_CHECK(right_shape && t.scalar_type() == at::kDouble && t.device().is_cpu(), name,
              " must be a float64 tensor of shape ", shape, " on the CPU, got ", t.scalar_type(), " of shape ",
              t.sizes(), " on ", t.device());
}

void check_range(const Tensor& t, const char* name, int64_t limit, const char* limit_name) {
  const int64_t* p = t.const_data_ptr<int64_t>();
  int64_t outside = 0;  // its sign bit is set by any value below 0 or above limit - 1
  for (int64_t i = 0; i < t.numel(); i++) outside |= p[i] | (limit - 1 - p[i]);
  if (outside >= 0) return;
  const auto [low, high] = std::minmax_element(p, p + t.numel());
  TORCH_CHECK(false, name, " must be from 0 to ", limit_name, " - 1 = ", limit - 1, ", got values from ", *low, " to ",
              *high);
}

struct Arguments {
  Tensor header, params, constants, species, centers, offsets, neighbors, vectors, field;
  std::vector<int64_t> seeds;
  bool atom_virials;
};

// Check everything that the kernels rely on, but for the model, and make the arrays contiguous.
void check(Arguments& a) {
  check_integers(a.header, "header");
  check_integers(a.species, "species");
  check_integers(a.centers, "centers");
  check_integers(a.offsets, "offsets");
  check_integers(a.neighbors, "neighbors");
  const Tensor& p = a.params;
  TORCH_CHECK(p.dim() == 1 && (p.scalar_type() == at::kFloat || p.scalar_type() == at::kDouble) && p.device().is_cpu(),
              "params must be a 1-dimensional float32 or float64 tensor on the CPU, got ", p.scalar_type(),
              " of shape ", p.sizes(), " on ", p.device());
  const int64_t n = a.centers.size(0);
  check_doubles(a.constants, "constants", a.constants.dim() == 1, "(1 + 2 n_species,)");
  check_doubles(a.vectors, "vectors", a.vectors.dim() == 2 && a.vectors.size(1) == 3, "(n_edges, 3)");
  if (a.field.defined())
    check_doubles(a.field, "field",
                  a.field.dim() > 0 && a.field.size(-1) == 3 &&
                      (a.field.dim() == 1 || (a.field.dim() == 2 && a.field.size(0) == n)),
                  "(3,) or (n_centers, 3)");
  TORCH_CHECK(a.neighbors.size(0) == a.vectors.size(0), "neighbors and vectors must be equally long, got ",
              a.neighbors.size(0), " and ", a.vectors.size(0));
  TORCH_CHECK(a.offsets.size(0) == n + 1, "offsets must have one number more than centers, got ", a.offsets.size(0),
              " for ", n, " centers");
  TORCH_CHECK(a.species.size(0) < (int64_t(1) << 31), "more than 2^31 atoms: ", a.species.size(0));
  for (Tensor* t : {&a.header, &a.params, &a.constants, &a.species, &a.centers, &a.offsets, &a.neighbors, &a.vectors})
    *t = t->contiguous();
  if (a.field.defined()) a.field = a.field.contiguous();
  const int64_t* o = a.offsets.const_data_ptr<int64_t>();
  bool ordered = o[0] == 0;
  for (int64_t c = 0; c < n; c++) ordered = ordered && o[c] <= o[c + 1];
  TORCH_CHECK(ordered && o[n] == a.neighbors.size(0), "offsets must rise from 0 to the number of edges ",
              a.neighbors.size(0), ", got ", o[0], " to ", o[n]);
  check_range(a.centers, "centers", a.species.size(0), "n_atoms");
  check_range(a.neighbors, "neighbors", a.species.size(0), "n_atoms");
  for (const int64_t s : a.seeds)
    TORCH_CHECK(s >= 0 && s < kSeeds, "seeds must be from 0 to ", int(kSeeds) - 1, ", got ", s);
  TORCH_CHECK(!a.atom_virials || (!a.seeds.empty() && a.seeds[0] == kSeedEnthalpy),
              "atom_virials needs the enthalpy, 0, as the first of the seeds");
}

// Scratch memory of this thread, grown on demand.
char* workspace(size_t bytes) {
  thread_local std::vector<char> memory;
  if (memory.size() < bytes + 64) memory.resize(bytes + 64 + bytes / 4);
  return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
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
  check_range(a.species, "species", m.species, "number of species of the model");
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

  int64_t longest = 0;
  for (int64_t c = 0; c < edges.n_centers; c++) longest = std::max(longest, edges.offsets[c + 1] - edges.offsets[c]);
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
  const auto add = [&](double* to, int64_t offset, int64_t count) {
    at::parallel_for(0, count, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = 0; chunk < chunks - 1; chunk++) {
        const double* from = extra.data() + chunk * size + offset;
        for (int64_t i = begin; i < end; i++) to[i] += from[i];
      }
    });
  };
  add(out.gradients, 0, gradients);
  if (out.virials) add(out.virials, gradients, 9 * edges.n_atoms);
  add(out.strain, size - strain, strain);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> enthalpy(
    const Tensor& header, const Tensor& params, const Tensor& constants, const Tensor& species, const Tensor& centers,
    const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors, const std::optional<Tensor>& field,
    at::IntArrayRef seeds, bool atom_virials) {
  Arguments a{header,    params,    constants, species, centers,
              offsets,   neighbors, vectors,   field ? *field : Tensor(), seeds.vec(), atom_virials};
  check(a);
  const int64_t atoms = species.size(0), n = centers.size(0), s = int64_t(seeds.size());
  const auto options = a.vectors.options();
  Tensor energies = at::empty({n}, options), dipoles = at::empty({n, 3}, options);
  Tensor polarizabilities = at::empty({n, 3, 3}, options);
  Tensor gradients = Recycler::instance().empty({atoms, s, 4}, options).zero_(), strain = at::zeros({s, 3, 3}, options);
  Tensor virials = at::zeros({atom_virials ? atoms : 0, 3, 3}, options);
  EnthalpyTask task{};
  task.field = field ? a.field.const_data_ptr<double>() : nullptr;
  task.field_stride = field && a.field.dim() == 2 ? 3 : 0;
  task.seeds = a.seeds.data();
  task.n_seeds = int(s);
  const EnthalpyOutputs out{energies.mutable_data_ptr<double>(),  dipoles.mutable_data_ptr<double>(),
                            polarizabilities.mutable_data_ptr<double>(), gradients.mutable_data_ptr<double>(),
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
