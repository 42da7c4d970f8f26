// CUDA implementation of the NEP operators in tnep_calc/ops/schemas.inc: argument checks, memory, launches.
//
// With TNEP_EMULATED this is the namespace tnep_emulated instead, the same operators on the emulation of
// core/cuda/emulation.h and tensors on the CPU: tests run all lines but those that ask the GPU for something.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "core/cuda/nep.h"
#include "core/nep/api.h"

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
constexpr size_t kSharedLimit = 48 * 1024;  // what every GPU gives without asking
constexpr int64_t kBlocksInMemory = 4096;
#endif

// The arguments that most operators share, checked and contiguous.
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

// Values that cannot be checked without waiting for the GPU (species, centers, neighbors) are checked by the kernels.
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

// The view of the model: its header is read on the CPU.
template <class R>
Model<R> view(const Input& in) {
  const Tensor header = in.header.cpu();
  Model<R> model;
  try {
    model = make_model<R>(header.const_data_ptr<int64_t>(), header.numel(), in.params.const_data_ptr<R>(),
                          in.params.numel());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK(false, error.what());
  }
  return model;
}

// Edges sorted by the atom at their end, where results must not depend on the order of atomic additions.
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

struct Results {
  Tensor sites, virials, atoms, atom_virials;
};

// What a task leaves at centres (site_size numbers) and atoms (stride numbers, 0 for none).
template <class R>
Results run(const Input& in, const Model<R>& m, Task task, int64_t site_size, const Tensor& field, bool atom_virials) {
  const Guard guard(in.params.device());
  const device::DeviceEdges e = in.view();
  const int size = device::partial_size(task), stride = atom_stride(task);
  const bool tensors = task == Task::dipole || task == Task::polarizability;
  Results out;
  if (site_size > 0) out.sites = at::empty({in.centres(), site_size}, in.doubles());
  if (task == Task::forces) out.virials = at::empty({in.centres(), 6}, in.doubles());
  Tensor partials = at::empty({in.edges(), tensors ? 3 : size}, in.params.options());
  const device::DeviceOutputs<R> to = {
      out.sites.defined() ? out.sites.template mutable_data_ptr<double>() : nullptr,
      out.virials.defined() ? out.virials.template mutable_data_ptr<double>() : nullptr, partials.mutable_data_ptr<R>(),
      field.defined() ? field.const_data_ptr<double>() : nullptr, field.defined() && field.dim() == 2 ? 3 : 0};
  device::Plan plan = device::plan(m, task, in.centres(), kSharedLimit, kBlocksInMemory);
  Tensor scratch;
  if (!plan.shared)
    scratch = at::empty({plan.blocks * int64_t(plan.block_bytes)}, in.params.options().dtype(at::kByte));
  device::evaluate(m, task, e, to, plan, plan.shared ? nullptr : scratch.mutable_data_ptr(), stream());
  check_launch();
  if (size == 0) return out;

  const Incoming order = incoming(in);
  out.atoms = at::zeros({in.atoms(), stride}, in.doubles());
  device::scatter(e, partials.const_data_ptr<R>(), size, stride, true, order.edge(), order.start(),
                  out.atoms.mutable_data_ptr<double>(), stream());
  if (atom_virials) {
    Tensor nine = at::empty({in.edges(), 9}, in.doubles());
    out.atom_virials = at::zeros({in.atoms(), 3, 3}, in.doubles());
    device::edge_virials(e, partials.const_data_ptr<R>(), nine.mutable_data_ptr<double>(), stream());
    device::scatter(e, nine.const_data_ptr<double>(), 9, 9, false, order.edge(), order.start(),
                    out.atom_virials.mutable_data_ptr<double>(), stream());
  }
  check_launch();
  return out;
}

constexpr int kPotential = 0, kDipole = 1, kPolarizability = 2;

// Check the kind of the model and run; `kind` < 0 accepts all.
Results dispatch(const Input& in, int kind, Task task, int64_t site_size, const Tensor& field = Tensor(),
                 bool atom_virials = false) {
  const auto go = [&](auto real) {
    using R = decltype(real);
    const Model<R> m = view<R>(in);
    static const char* const names[] = {"potential", "dipole", "polarizability"};
    TORCH_CHECK(kind < 0 || m.kind == kind, "this operator needs a ", names[std::max(kind, 0)], " model, got a ",
                names[m.kind], " model");
    TORCH_CHECK(task != Task::field_forces || m.kind != kPotential,
                "this operator needs a dipole or polarizability model, got a potential model");
    TORCH_CHECK(task != Task::descriptors || m.dim == site_size, "dim must be the descriptor length of the model, ",
                m.dim, ", got ", site_size);
    return run<R>(in, m, task, site_size, field, atom_virials);
  };
  return in.params.scalar_type() == at::kFloat ? go(float()) : go(double());
}

#define TNEP_MODEL                                                                                                 \
  const Tensor &header, const Tensor &params, const Tensor &species, const Tensor &centers, const Tensor &offsets, \
      const Tensor &neighbors
#define TNEP_EDGES TNEP_MODEL, const Tensor& vectors
#define TNEP_LIST TNEP_MODEL, const Tensor& positions
#define TNEP_CHECKED checked({header, params, species, centers, offsets, neighbors, vectors, {}}, false)
#define TNEP_CHECKED_LIST checked({header, params, species, centers, offsets, neighbors, {}, positions}, true)

// The 3 x 3 tensors of xx xy xz yy yz zz in the last dimension.
Tensor full_tensor(const Tensor& six) {
  const Tensor order = at::tensor({0, 1, 2, 1, 3, 4, 2, 4, 5}, six.options().dtype(at::kLong));
  std::vector<int64_t> shape = six.sizes().vec();
  shape.back() = 3;
  shape.push_back(3);
  return six.index_select(six.dim() - 1, order).view(shape);
}

using Energies = std::tuple<Tensor, Tensor, Tensor, Tensor>;

Energies energy_of(const Input& in, bool gradient, bool atom_virials) {
  const Results r =
      dispatch(in, kPotential, gradient ? Task::forces : Task::energy, 1, Tensor(), gradient && atom_virials);
  const Tensor energies = r.sites.view({-1}), none = at::empty({0, 3}, in.doubles());
  const Tensor virials = r.atom_virials.defined() ? r.atom_virials : at::empty({0, 3, 3}, in.doubles());
  if (!gradient) return {energies, none, at::empty({0, 3}, in.doubles()), virials};
  return {energies, r.atoms.slice(1, 0, 3).contiguous(), full_tensor(r.virials.sum(0)), virials};
}

Energies energy(TNEP_EDGES, bool gradient, bool atom_virials) {
  return energy_of(TNEP_CHECKED, gradient, atom_virials);
}

Energies energy_list(TNEP_LIST, bool gradient, bool atom_virials) {
  return energy_of(TNEP_CHECKED_LIST, gradient, atom_virials);
}

Tensor dipole(TNEP_EDGES) { return dispatch(TNEP_CHECKED, kDipole, Task::dipole, 3).sites; }
Tensor dipole_list(TNEP_LIST) { return dispatch(TNEP_CHECKED_LIST, kDipole, Task::dipole, 3).sites; }

Tensor polarizability(TNEP_EDGES) {
  return dispatch(TNEP_CHECKED, kPolarizability, Task::polarizability, 9).sites.view({-1, 3, 3});
}

Tensor polarizability_list(TNEP_LIST) {
  return dispatch(TNEP_CHECKED_LIST, kPolarizability, Task::polarizability, 9).sites.view({-1, 3, 3});
}

Tensor dipole_gradient(TNEP_EDGES) {
  return dispatch(TNEP_CHECKED, kDipole, Task::dipole_gradient, 0).atoms.view({-1, 3, 3});
}

Tensor polarizability_gradient(TNEP_EDGES) {
  const Tensor six = dispatch(TNEP_CHECKED, kPolarizability, Task::polarizability_gradient, 0).atoms;
  return full_tensor(six.view({-1, 6, 3}).transpose(1, 2)).contiguous();  // atom, displacement, i, j
}

// Of a dipole model E.mu, of a polarizability model E.alpha.E / 2; see ops/schemas.inc.
std::tuple<Tensor, Tensor> field_response(TNEP_EDGES, const Tensor& field, bool atom_virials) {
  if (field.dim() == 2) check(field, "field", params, at::kDouble, {centers.size(0), 3});
  else check(field, "field", params, at::kDouble, {3});
  const Input in = TNEP_CHECKED;
  const Results r = dispatch(in, -1, Task::field_forces, 0, field.contiguous(), atom_virials);
  const Tensor virials = r.atom_virials.defined() ? r.atom_virials : at::empty({0, 3, 3}, in.doubles());
  return {r.atoms.slice(1, 0, 3).contiguous(), virials};
}

// What artifacts of before call.
Tensor field_forces(TNEP_EDGES, const Tensor& field) {
  return std::get<0>(field_response(header, params, species, centers, offsets, neighbors, vectors, field, false));
}

Tensor descriptors(TNEP_EDGES, int64_t dim) { return dispatch(TNEP_CHECKED, -1, Task::descriptors, dim).sites; }

#if defined(TNEP_EMULATED)
void define(torch::Library& m) {
  std::istringstream lines(
#include "../../ops/schemas.inc"
  );
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("nep_", 0) == 0 && line.rfind("nep_profile", 0) != 0) m.def(torch::schema(line.c_str()));
}
#endif

}  // namespace
}  // namespace tnep

#if defined(TNEP_EMULATED)
TORCH_LIBRARY(tnep_emulated, m) { tnep::define(m); }
TORCH_LIBRARY_IMPL(tnep_emulated, CPU, m) {
#else
TORCH_LIBRARY_IMPL(tnep, CUDA, m) {
#endif
  m.impl("nep_energy", &tnep::energy);
  m.impl("nep_dipole", &tnep::dipole);
  m.impl("nep_polarizability", &tnep::polarizability);
  m.impl("nep_energy_list", &tnep::energy_list);
  m.impl("nep_dipole_list", &tnep::dipole_list);
  m.impl("nep_polarizability_list", &tnep::polarizability_list);
  m.impl("nep_dipole_gradient", &tnep::dipole_gradient);
  m.impl("nep_polarizability_gradient", &tnep::polarizability_gradient);
  m.impl("nep_field_response", &tnep::field_response);
  m.impl("nep_field_forces", &tnep::field_forces);
  m.impl("nep_descriptors", &tnep::descriptors);
}
