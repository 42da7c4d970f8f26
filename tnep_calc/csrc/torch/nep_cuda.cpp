// CUDA implementation of the NEP operators in tnep_calc/ops/schemas.inc: argument checks, memory, launches.
//
// With TNEP_EMULATED, this file defines the same operators in the namespace tnep_emulated, for tensors on the CPU and
// the emulation of core/cuda/emulation.h.  Tests can thus run everything except the calls to the CUDA runtime.
#include <torch/library.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "core/cuda/nep.h"
#include "core/nep/api.h"
#include "torch/device_arguments.h"

namespace tnep {
namespace {

// View of the packed model; its header is copied to the CPU.
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

struct Results {
  Tensor sites, virials, atoms, atom_virials;
};

// Run a task, and return its results per centre (site_size numbers) and per atom (atom_stride(task) numbers).
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

// Expand xx xy xz yy yz zz in the last dimension to 3 x 3 tensors.
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

// Forces of the energy -E.mu of a dipole model, or -E.alpha.E / 2 of a polarizability model; see ops/schemas.inc.
std::tuple<Tensor, Tensor> field_response_of(const Input& in, const Tensor& field, bool atom_virials) {
  if (field.dim() == 2) check(field, "field", in.params, at::kDouble, {in.centres(), 3});
  else check(field, "field", in.params, at::kDouble, {3});
  const Results r = dispatch(in, -1, Task::field_forces, 0, field.contiguous(), atom_virials);
  const Tensor virials = r.atom_virials.defined() ? r.atom_virials : at::empty({0, 3, 3}, in.doubles());
  return {r.atoms.slice(1, 0, 3).contiguous(), virials};
}

std::tuple<Tensor, Tensor> field_response(TNEP_EDGES, const Tensor& field, bool atom_virials) {
  return field_response_of(TNEP_CHECKED, field, atom_virials);
}

std::tuple<Tensor, Tensor> field_response_list(TNEP_LIST, const Tensor& field, bool atom_virials) {
  return field_response_of(TNEP_CHECKED_LIST, field, atom_virials);
}

// Called by artifacts from earlier versions.
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
    if ((line.rfind("nep_", 0) == 0 && line.rfind("nep_profile", 0) != 0) || line.rfind("enthalpy(", 0) == 0)
      m.def(torch::schema(line.c_str()));
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
  m.impl("nep_field_response_list", &tnep::field_response_list);
  m.impl("nep_field_forces", &tnep::field_forces);
  m.impl("nep_descriptors", &tnep::descriptors);
}
