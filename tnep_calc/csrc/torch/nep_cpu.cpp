// CPU implementation of the operators in ../../ops/schemas.inc: argument checks, threads, outputs.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "../core/kernels.h"

#define TNEP_TEXT(x) #x
#define TNEP_STRING(x) TNEP_TEXT(x)
#define TNEP_TORCH_VERSION \
  TNEP_STRING(TORCH_VERSION_MAJOR) "." TNEP_STRING(TORCH_VERSION_MINOR) "." TNEP_STRING(TORCH_VERSION_PATCH)

namespace tnep {
namespace {

using at::Tensor;

struct Input {
  Tensor header, params, species, centers, offsets, neighbors, vectors;
};

void check_vector(const Tensor& t, const char* name) {
  TORCH_CHECK(t.dim() == 1 && t.scalar_type() == at::kLong && t.device().is_cpu(), name,
              " must be a 1-dimensional int64 tensor on the CPU, got ", t.scalar_type(), " of shape ", t.sizes(),
              " on ", t.device());
}

void check_index(const Tensor& t, const char* name, int64_t limit, const char* limit_name) {
  const int64_t* p = t.const_data_ptr<int64_t>();
  int64_t outside = 0;  // its sign bit is set by any value below 0 or above limit - 1
  for (int64_t i = 0; i < t.numel(); i++) outside |= p[i] | (limit - 1 - p[i]);
  if (outside >= 0) return;
  const auto [low, high] = std::minmax_element(p, p + t.numel());
  TORCH_CHECK(false, name, " must be from 0 to ", limit_name, " - 1 = ", limit - 1, ", got values from ", *low, " to ",
              *high);
}

// Check everything that the kernels rely on and make the arrays contiguous.
Input checked(const Tensor& header, const Tensor& params, const Tensor& species, const Tensor& centers,
              const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors) {
  check_vector(header, "header");
  check_vector(species, "species");
  check_vector(centers, "centers");
  check_vector(offsets, "offsets");
  check_vector(neighbors, "neighbors");
  TORCH_CHECK(params.dim() == 1 && (params.scalar_type() == at::kFloat || params.scalar_type() == at::kDouble) &&
                  params.device().is_cpu(),
              "params must be a 1-dimensional float32 or float64 tensor on the CPU, got ", params.scalar_type(),
              " of shape ", params.sizes(), " on ", params.device());
  TORCH_CHECK(vectors.dim() == 2 && vectors.size(1) == 3 && vectors.scalar_type() == at::kDouble &&
                  vectors.device().is_cpu(),
              "vectors must be a float64 tensor of shape (n_edges, 3) on the CPU, got ", vectors.scalar_type(),
              " of shape ", vectors.sizes(), " on ", vectors.device());
  TORCH_CHECK(neighbors.size(0) == vectors.size(0), "neighbors and vectors must be equally long, got ",
              neighbors.size(0), " and ", vectors.size(0));
  TORCH_CHECK(offsets.size(0) == centers.size(0) + 1, "offsets must have one number more than centers, got ",
              offsets.size(0), " for ", centers.size(0), " centers");
  TORCH_CHECK(species.size(0) < (int64_t(1) << 31), "more than 2^31 atoms: ", species.size(0));
  Input in{header.contiguous(),  params.contiguous(),    species.contiguous(), centers.contiguous(),
           offsets.contiguous(), neighbors.contiguous(), vectors.contiguous()};
  const int64_t* o = in.offsets.const_data_ptr<int64_t>();
  bool ordered = o[0] == 0;
  for (int64_t c = 0; c < in.centers.size(0); c++) ordered = ordered && o[c] <= o[c + 1];
  TORCH_CHECK(ordered && o[in.centers.size(0)] == neighbors.size(0),
              "offsets must rise from 0 to the number of edges ", neighbors.size(0), ", got ", o[0], " to ",
              o[in.centers.size(0)]);
  check_index(in.centers, "centers", species.size(0), "n_atoms");
  check_index(in.neighbors, "neighbors", species.size(0), "n_atoms");
  return in;
}

template <class R>
Model<R> view(const Input& in) {
  try {
    Model<R> m = make_model<R>(in.header.const_data_ptr<int64_t>(), in.header.numel(), in.params.const_data_ptr<R>(),
                               in.params.numel());
    check_index(in.species, "species", m.species, "number of species of the model");
    return m;
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK(false, error.what());
  }
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
void run(const Input& in, const Model<R>& m, Task task, Outputs out) {
  const Edges edges{in.species.size(0),
                    in.centers.size(0),
                    in.species.const_data_ptr<int64_t>(),
                    in.centers.const_data_ptr<int64_t>(),
                    in.offsets.const_data_ptr<int64_t>(),
                    in.neighbors.const_data_ptr<int64_t>(),
                    in.vectors.const_data_ptr<double>()};
  const Kernel<R>& k = kernel<R>();
  int64_t longest = 0;
  for (int64_t c = 0; c < edges.n_centers; c++) longest = std::max(longest, edges.offsets[c + 1] - edges.offsets[c]);
  const size_t bytes = k.workspace_bytes(m, longest);
  const int64_t chunks = std::max<int64_t>(1, std::min<int64_t>(at::get_num_threads(), edges.n_centers / 8));
  if (chunks == 1) return k.evaluate(m, task, edges, 0, edges.n_centers, out, workspace(bytes));

  const int64_t stride = atom_stride(task) * edges.n_atoms, virials = out.virials ? 9 * edges.n_atoms : 0;
  const int64_t size = stride + virials + 9;
  std::vector<double> extra((chunks - 1) * size);
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
      Outputs mine = out;
      if (chunk > 0) {
        mine.atoms = extra.data() + (chunk - 1) * size;
        mine.virials = out.virials ? mine.atoms + stride : nullptr;
        mine.virial = mine.atoms + stride + virials;
      }
      k.evaluate(m, task, edges, edges.n_centers * chunk / chunks, edges.n_centers * (chunk + 1) / chunks, mine,
                 workspace(bytes));
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
  if (stride) add(out.atoms, 0, stride);
  if (virials) add(out.virials, stride, virials);
  if (out.virial) add(out.virial, stride + virials, 9);
}

constexpr int kPotential = 0, kDipole = 1, kPolarizability = 2;

// Check the kind of the model and run; `kind` < 0 accepts all.
void dispatch(const Input& in, int kind, Task task, const Outputs& out) {
  const auto go = [&](auto real) {
    using R = decltype(real);
    const Model<R> m = view<R>(in);
    static const char* const names[] = {"potential", "dipole", "polarizability"};
    TORCH_CHECK(kind < 0 || m.kind == kind, "this operator needs a ", names[std::max(kind, 0)], " model, got a ",
                names[m.kind], " model");
    run<R>(in, m, task, out);
  };
  if (in.params.scalar_type() == at::kFloat) go(float());
  else go(double());
}

#define TNEP_EDGES                                                                                              \
  const Tensor &header, const Tensor &params, const Tensor &species, const Tensor &centers, const Tensor &offsets, \
      const Tensor &neighbors, const Tensor &vectors
#define TNEP_CHECKED checked(header, params, species, centers, offsets, neighbors, vectors)

std::tuple<Tensor, Tensor, Tensor, Tensor> energy(TNEP_EDGES, bool gradient, bool atom_virials) {
  const Input in = TNEP_CHECKED;
  const auto options = in.vectors.options();
  const int64_t n = species.size(0);
  Tensor energies = at::empty({centers.size(0)}, options);
  Tensor forces = at::zeros({gradient ? n : 0, 4}, options);
  Tensor virial = at::zeros({gradient ? 3 : 0, 3}, options);
  Tensor virials = at::zeros({gradient && atom_virials ? n : 0, 3, 3}, options);
  Outputs out;
  out.sites = energies.mutable_data_ptr<double>();
  if (gradient) {
    out.atoms = forces.mutable_data_ptr<double>();
    out.virial = virial.mutable_data_ptr<double>();
    if (atom_virials) out.virials = virials.mutable_data_ptr<double>();
  }
  dispatch(in, kPotential, gradient ? Task::forces : Task::energy, out);
  return {energies, forces.slice(1, 0, 3).contiguous(), virial, virials};
}

Tensor sites(const Input& in, int kind, Task task, at::IntArrayRef shape) {
  Tensor result = at::empty(shape, in.vectors.options());
  Outputs out;
  out.sites = result.mutable_data_ptr<double>();
  dispatch(in, kind, task, out);
  return result;
}

Tensor atoms(const Input& in, int kind, Task task, const double* field = nullptr) {
  Tensor result = at::zeros({in.species.size(0), atom_stride(task)}, in.vectors.options());
  Outputs out;
  out.atoms = result.mutable_data_ptr<double>();
  out.field = field;
  dispatch(in, kind, task, out);
  return result;
}

Tensor dipole(TNEP_EDGES) { return sites(TNEP_CHECKED, kDipole, Task::dipole, {centers.size(0), 3}); }

Tensor polarizability(TNEP_EDGES) {
  return sites(TNEP_CHECKED, kPolarizability, Task::polarizability, {centers.size(0), 3, 3});
}

Tensor dipole_gradient(TNEP_EDGES) {
  return atoms(TNEP_CHECKED, kDipole, Task::dipole_gradient).view({species.size(0), 3, 3});
}

Tensor polarizability_gradient(TNEP_EDGES) {
  const Tensor six = atoms(TNEP_CHECKED, kPolarizability, Task::polarizability_gradient);
  Tensor result = at::empty({species.size(0), 3, 3, 3}, six.options());
  constexpr int order[9] = {0, 1, 2, 1, 3, 4, 2, 4, 5};
  const double* from = six.const_data_ptr<double>();
  double* to = result.mutable_data_ptr<double>();
  for (int64_t atom = 0; atom < species.size(0); atom++, from += 18)
    for (int displacement = 0; displacement < 3; displacement++)
      for (int ij = 0; ij < 9; ij++) *to++ = from[3 * order[ij] + displacement];
  return result;
}

Tensor field_forces(TNEP_EDGES, const Tensor& field) {
  TORCH_CHECK(field.dim() == 1 && field.size(0) == 3 && field.scalar_type() == at::kDouble && field.device().is_cpu(),
              "field must be a float64 tensor of shape (3,) on the CPU, got ", field.scalar_type(), " of shape ",
              field.sizes(), " on ", field.device());
  const Tensor f = field.contiguous();
  return atoms(TNEP_CHECKED, kDipole, Task::field_forces, f.const_data_ptr<double>()).slice(1, 0, 3).contiguous();
}

Tensor descriptors(TNEP_EDGES, int64_t dim) {
  const Input in = TNEP_CHECKED;
  TORCH_CHECK(header.numel() > kDim && in.header.const_data_ptr<int64_t>()[kDim] == dim,
              "dim must be the descriptor length of the model, got ", dim);
  return sites(in, -1, Task::descriptors, {centers.size(0), dim});
}

bool native_available(const Tensor& params) { return params.device().is_cpu(); }

void define(torch::Library& m) {
  std::istringstream lines(
#include "../../ops/schemas.inc"
  );
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && line[0] != '#') m.def(torch::schema(line.c_str()), {at::Tag::pt2_compliant_tag});
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY(tnep, m) {
  tnep::define(m);
  m.impl("native_available", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, &tnep::native_available));
}

TORCH_LIBRARY_IMPL(tnep, CPU, m) {
  m.impl("nep_energy", &tnep::energy);
  m.impl("nep_dipole", &tnep::dipole);
  m.impl("nep_polarizability", &tnep::polarizability);
  m.impl("nep_dipole_gradient", &tnep::dipole_gradient);
  m.impl("nep_polarizability_gradient", &tnep::polarizability_gradient);
  m.impl("nep_field_forces", &tnep::field_forces);
  m.impl("nep_descriptors", &tnep::descriptors);
}

// For the loader in tnep_calc/ops: the torch this was built for (read from the file before it is loaded), and
// the instruction set in use (empty if TNEP_SIMD asks for what the processor lacks).
extern "C" {
__attribute__((used)) static const char tnep_torch_version[] = "tnep built for torch " TNEP_TORCH_VERSION;

__attribute__((visibility("default"))) const char* tnep_instruction_set() {
  try {
    return tnep::instruction_set();
  } catch (const std::exception&) {
    return "";
  }
}
}
