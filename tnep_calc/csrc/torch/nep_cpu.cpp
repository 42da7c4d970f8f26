// CPU implementation of the NEP operators in tnep_calc/ops/schemas.inc: argument checks, threads, outputs.
#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <stdexcept>
#include <tuple>

#include "core/nep/api.h"
#include "torch/arguments.h"
#include "torch/recycled.h"
#include "torch/threads.h"

namespace tnep {
namespace {

// Arguments with edges as `vectors`, or, if these are undefined, as positions in `rows`.
struct Input : ModelAndEdges {
  Tensor vectors, rows;
};

// The values of `neighbors` are not checked here, because the kernels check them.
Input with_vectors(const Tensor& header, const Tensor& params, const Tensor& species, const Tensor& centers,
                   const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors) {
  Input in{{header, params, species, centers, offsets, neighbors}, vectors, Tensor()};
  check_edge_vectors(vectors, neighbors);
  check_edges(in, at::kLong, "int64");
  in.vectors = vectors.contiguous();
  return in;
}

Input with_positions(const Tensor& header, const Tensor& params, const Tensor& species, const Tensor& centers,
                     const Tensor& offsets, const Tensor& neighbors, const Tensor& positions) {
  Input in{{header, params, species, centers, offsets, neighbors}, Tensor(), Tensor()};
  check_edges(in, at::kInt, "int32");
  const int64_t n = species.size(0);
  check_doubles(positions, "positions", positions.dim() == 2 && positions.size(0) == n && positions.size(1) == 3,
                "(n_atoms, 3) = (", n, ", 3)");
  const Tensor contiguous = positions.contiguous();
  in.rows = Recycler::instance().empty({n, int64_t(sizeof(AtomRow) / sizeof(double))}, positions.options());
  auto* rows = reinterpret_cast<AtomRow*>(in.rows.mutable_data_ptr<double>());
  const double* p = contiguous.const_data_ptr<double>();
  const int64_t* s = in.species.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < n; i++) rows[i] = {p[3 * i], p[3 * i + 1], p[3 * i + 2], s[i]};
  return in;
}

template <class R>
Model<R> view(const Input& in) {
  try {
    Model<R> m = make_model<R>(in.header.const_data_ptr<int64_t>(), in.header.numel(), in.params.const_data_ptr<R>(),
                               in.params.numel());
    check_range<int64_t>(in.species, "species", m.species, "number of species of the model");
    return m;
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK(false, error.what());
  }
}

// Evaluate all centres, one chunk per thread; returns false if a neighbour is not a valid atom.
template <class R>
bool run(const Input& in, const Model<R>& m, Task task, Outputs out) {
  const bool listed = in.rows.defined();
  const Edges edges{in.species.size(0),
                    in.centers.size(0),
                    in.species.const_data_ptr<int64_t>(),
                    in.centers.const_data_ptr<int64_t>(),
                    in.offsets.const_data_ptr<int64_t>(),
                    listed ? nullptr : in.neighbors.const_data_ptr<int64_t>(),
                    listed ? nullptr : in.vectors.const_data_ptr<double>(),
                    listed ? in.neighbors.const_data_ptr<int32_t>() : nullptr,
                    listed ? reinterpret_cast<const AtomRow*>(in.rows.const_data_ptr<double>()) : nullptr};
  const double n_edges = double(edges.offsets[edges.n_centers]);
  const Kernel<R>& k = kernel<R>(n_edges / double(std::max<int64_t>(edges.n_centers, 1) * m.species));
  const size_t bytes = k.workspace_bytes(m, most_edges(edges));
  const int64_t chunks = out.ticks ? 1 : count_chunks(edges.n_centers, 8);
  const int64_t stride = atom_stride(task) * edges.n_atoms;
  const std::array<Sum<double>, 3> sums = {{{out.atoms, out.atoms ? stride : 0},
                                            {out.virials, out.virials ? 9 * edges.n_atoms : 0},
                                            {out.virial, out.virial ? 9 : 0}}};
  std::atomic<bool> good{true};
  in_chunks(chunks, sums, [&](int64_t chunk, const std::array<double*, 3>& rows) {
    Outputs mine = out;
    mine.atoms = rows[0];
    mine.virials = rows[1];
    mine.virial = rows[2];
    if (!k.evaluate(m, task, edges, edges.n_centers * chunk / chunks, edges.n_centers * (chunk + 1) / chunks, mine,
                    workspace(bytes)))
      good = false;
  });
  return good;
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
    if (run<R>(in, m, task, out)) return;
    const auto check_neighbors = in.rows.defined() ? check_range<int32_t> : check_range<int64_t>;
    check_neighbors(in.neighbors, "neighbors", in.species.size(0), "n_atoms");
  };
  if (in.params.scalar_type() == at::kFloat) go(float());
  else go(double());
}

// Arguments of operators: a model with edges as vectors, or with positions and a list.
#define TNEP_MODEL                                                                                                 \
  const Tensor &header, const Tensor &params, const Tensor &species, const Tensor &centers, const Tensor &offsets, \
      const Tensor &neighbors
#define TNEP_EDGES TNEP_MODEL, const Tensor& vectors
#define TNEP_LIST TNEP_MODEL, const Tensor& positions
#define TNEP_CHECKED with_vectors(header, params, species, centers, offsets, neighbors, vectors)
#define TNEP_CHECKED_LIST with_positions(header, params, species, centers, offsets, neighbors, positions)

using Energies = std::tuple<Tensor, Tensor, Tensor, Tensor>;

Energies energy_of(const Input& in, bool gradient, bool atom_virials) {
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const int64_t n = in.species.size(0);
  Tensor energies = at::empty({in.centers.size(0)}, options);
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

Energies energy(TNEP_EDGES, bool gradient, bool atom_virials) {
  return energy_of(TNEP_CHECKED, gradient, atom_virials);
}

Energies energy_list(TNEP_LIST, bool gradient, bool atom_virials) {
  return energy_of(TNEP_CHECKED_LIST, gradient, atom_virials);
}

Tensor sites(const Input& in, int kind, Task task, at::IntArrayRef shape) {
  Tensor result = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  Outputs out;
  out.sites = result.mutable_data_ptr<double>();
  dispatch(in, kind, task, out);
  return result;
}

Tensor atoms(const Input& in, int kind, Task task) {
  Tensor result = at::zeros({in.species.size(0), atom_stride(task)}, at::TensorOptions().dtype(at::kDouble));
  Outputs out;
  out.atoms = result.mutable_data_ptr<double>();
  dispatch(in, kind, task, out);
  return result;
}

Tensor dipole(TNEP_EDGES) { return sites(TNEP_CHECKED, kDipole, Task::dipole, {centers.size(0), 3}); }

Tensor polarizability(TNEP_EDGES) {
  return sites(TNEP_CHECKED, kPolarizability, Task::polarizability, {centers.size(0), 3, 3});
}

Tensor dipole_list(TNEP_LIST) { return sites(TNEP_CHECKED_LIST, kDipole, Task::dipole, {centers.size(0), 3}); }

Tensor polarizability_list(TNEP_LIST) {
  return sites(TNEP_CHECKED_LIST, kPolarizability, Task::polarizability, {centers.size(0), 3, 3});
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

std::tuple<Tensor, Tensor> field_response_of(const Input& in, const Tensor& field, bool atom_virials) {
  check_doubles(field, "field",
                field.dim() > 0 && field.size(-1) == 3 &&
                    (field.dim() == 1 || (field.dim() == 2 && field.size(0) == in.centers.size(0))),
                "(3,) or (n_centers, 3)");
  TORCH_CHECK(in.header.numel() > kKind && in.header.const_data_ptr<int64_t>()[kKind] != kPotential,
              "this operator needs a dipole or polarizability model, got a potential model");
  const Tensor f = field.contiguous();
  const int64_t n = in.species.size(0);
  Tensor forces = at::zeros({n, atom_stride(Task::field_forces)}, f.options());
  Tensor virials = at::zeros({atom_virials ? n : 0, 3, 3}, f.options());
  Outputs out;
  out.atoms = forces.mutable_data_ptr<double>();
  out.virials = atom_virials ? virials.mutable_data_ptr<double>() : nullptr;
  out.field = f.const_data_ptr<double>();
  out.field_stride = field.dim() == 2 ? 3 : 0;
  dispatch(in, -1, Task::field_forces, out);
  return {forces.slice(1, 0, 3).contiguous(), virials};
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

Tensor descriptors(TNEP_EDGES, int64_t dim) {
  const Input in = TNEP_CHECKED;
  TORCH_CHECK(header.numel() > kDim && in.header.const_data_ptr<int64_t>()[kDim] == dim,
              "dim must be the descriptor length of the model, got ", dim);
  return sites(in, -1, Task::descriptors, {centers.size(0), dim});
}

// Fraction of the time spent in every part of site values (and forces, for a potential), on one thread.
Tensor profile(TNEP_EDGES, int64_t repeats) {
  const Input in = TNEP_CHECKED;
  constexpr Task tasks[] = {Task::forces, Task::dipole, Task::polarizability};
  constexpr int64_t sizes[] = {1, 3, 9};
  const int64_t kind = header.numel() > kKind ? in.header.const_data_ptr<int64_t>()[kKind] : -1;
  TORCH_CHECK(kind >= 0 && kind <= 2, "the header must hold the kind of the model, got ", kind);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  Tensor sites = at::empty({centers.size(0), sizes[kind]}, options);
  Tensor atoms = at::zeros({kind == kPotential ? species.size(0) : 0, 4}, options), virial = at::zeros({9}, options);
  uint64_t ticks[kParts] = {};
  Outputs out;
  out.sites = sites.mutable_data_ptr<double>();
  out.atoms = atoms.mutable_data_ptr<double>();
  out.virial = virial.mutable_data_ptr<double>();
  out.ticks = ticks;
  for (int64_t i = 0; i < repeats; i++) dispatch(in, -1, tasks[kind], out);
  Tensor shares = at::zeros({kParts}, options);
  double total = 0;
  for (const uint64_t part : ticks) total += double(part);
  for (int part = 0; part < kParts && total > 0; part++)
    shares.mutable_data_ptr<double>()[part] = double(ticks[part]) / total;
  return shares;
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY_IMPL(tnep, CPU, m) {
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
  m.impl("nep_profile", &tnep::profile);
}
