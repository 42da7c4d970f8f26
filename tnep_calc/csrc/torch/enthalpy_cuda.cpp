// CUDA implementation of the operator tnep::enthalpy: argument checks, memory, launches, and products with the weight
// matrices, which are those of ATen.  With TNEP_EMULATED, the same on the emulation, see nep_cuda.cpp.
#include <torch/library.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "core/cuda/enthalpy.h"
#include "torch/device_arguments.h"

namespace tnep {
namespace {

#if defined(TNEP_EMULATED)
constexpr int64_t kGroupBytes = 1 << 16;  // small, so that there are several groups
#else
constexpr int64_t kGroupBytes = int64_t(1) << 30;
#endif

// Parameters of the centres of one species as matrices and vectors.
struct Weights {
  Tensor w1, w2, w3, w1_t, w2_t, w3_t, b1, b2, b3;
};

template <class R>
class Evaluation {
 public:
  Evaluation(const Input& in, const EnthalpyModel<R>& m, device::DeviceTask task, int order, bool atom_virials)
      : in_(in), m_(m), task_(task), edges_(in.view()), order_(order), atom_virials_(atom_virials) {
    const int64_t n = in.centres(), seeds = task.n_seeds;
    energies = at::empty({n}, in.doubles());
    dipoles = at::empty({order > 0 ? n : 0, 3}, in.doubles());
    polarizabilities = at::empty({order > 1 ? n : 0, 3, 3}, in.doubles());
    if (seeds == 0) return;
    partials_ = at::empty({in.edges(), seeds, 3}, in.params.options());
    strain_ = at::empty({n, seeds, 3, 3}, in.doubles());
  }

  // Evaluate groups of centres of one species.  `counts`: number of centres of each species in `order`.
  void run(const Tensor& order, const std::vector<int64_t>& counts, int needed) {
    const int64_t bytes = sizeof(R) * (device::state_size(m_) + 2 * m_.Qp + 5 * m_.Hp + m_.Op) +
                          sizeof(R) * (1 + task_.n_seeds) * (device::density_size(m_) + m_.Op + m_.Qp + 3 * m_.Hp);
    const int64_t most = std::max<int64_t>(1, kGroupBytes / bytes);
    int64_t first = 0;
    for (int species = 0; species < m_.species; species++) {
      const int64_t end = first + counts[species];
      for (; first < end; first += std::min(most, end - first))
        run_group({order.const_data_ptr<int64_t>() + first, std::min(most, end - first), species}, needed);
    }
    check_launch();
  }

  // Sums over edges, when all groups are done: gradients of atoms, strain, and virials.
  std::tuple<Tensor, Tensor, Tensor> sums() {
    const int64_t seeds = task_.n_seeds, atoms = in_.atoms();
    Tensor gradients = at::zeros({atoms, 3 * seeds}, in_.doubles());
    Tensor strain = at::zeros({seeds, 3, 3}, in_.doubles()), virials = at::zeros({0, 3, 3}, in_.doubles());
    if (seeds > 0) {
      const Incoming order = incoming(in_);
      device::scatter(edges_, partials_.template const_data_ptr<R>(), int(3 * seeds), int(3 * seeds), true,
                      order.edge(), order.start(), gradients.mutable_data_ptr<double>(), stream());
      strain = strain_.sum(0);
      if (atom_virials_) {
        const Tensor of_energy = partials_.select(1, 0).neg();
        const Tensor nine = at::empty({in_.edges(), 9}, in_.doubles());
        virials = at::zeros({atoms, 3, 3}, in_.doubles());
        device::edge_virials(edges_, of_energy.template const_data_ptr<R>(), nine.mutable_data_ptr<double>(), stream());
        device::scatter(edges_, nine.const_data_ptr<double>(), 9, 9, false, order.edge(), order.start(),
                        virials.mutable_data_ptr<double>(), stream());
      }
    } else if (atom_virials_) {
      virials = at::zeros({atoms, 3, 3}, in_.doubles());
    }
    check_launch();
    return {gradients.view({atoms, seeds, 3}).permute({1, 0, 2}).contiguous(), strain, virials};
  }

  Tensor energies, dipoles, polarizabilities;

 private:
  Tensor reals(at::IntArrayRef shape) const { return at::empty(shape, in_.params.options()); }
  static R* data(const Tensor& t) { return t.mutable_data_ptr<R>(); }

  void run_group(const device::CentreGroup& g, int needed) {
    const int64_t n = g.count, seeds = task_.n_seeds;
    const Tensor density = reals({n, device::density_size(m_)}), state = reals({n, device::state_size(m_)});
    const Tensor d_density = reals({n, seeds, device::density_size(m_)}), q = reals({n, m_.Qp});
    const Tensor values = at::empty({n, device::value_size()}, in_.doubles());
    double* const v = values.mutable_data_ptr<double>();
    device::Plan plan{std::min(n, kBlocksInMemory), device::enthalpy_block_bytes(m_), false};
    plan.shared = plan.block_bytes <= kSharedLimit;
    Tensor memory;
    if (plan.shared) plan.blocks = std::min(n, int64_t(1) << 20);
    else memory = at::empty({plan.blocks * int64_t(plan.block_bytes)}, in_.params.options().dtype(at::kByte));
    char* const scratch = plan.shared ? nullptr : static_cast<char*>(memory.mutable_data_ptr());

    device::enthalpy_densities(m_, task_, edges_, g, data(density), v, plan, scratch, stream());
    for (int member = 0; member < m_.members; member++) {
      const Weights w = weights(member, g.species);
      device::enthalpy_invariants(m_, member, g, data(density), data(state), data(q), v, stream());
      Tensor hidden1 = at::addmm(w.b1, q, w.w1);
      const Tensor slope1 = silu(hidden1);
      Tensor hidden2 = at::addmm(w.b2, hidden1, w.w2);
      const Tensor slope2 = silu(hidden2);
      const Tensor outputs = at::addmm(w.b3, hidden2, w.w3);
      const Tensor d_out = reals({seeds * n, m_.Op});
      device::enthalpy_outputs(m_, task_, needed, g, data(state), data(outputs), v, seeds > 0 ? data(d_out) : nullptr,
                               stream());
      if (seeds == 0) continue;
      Tensor d = at::mm(d_out, w.w3_t).view({seeds, n, m_.Hp}).mul_(slope2).view({seeds * n, m_.Hp});
      d = at::mm(d, w.w2_t).view({seeds, n, m_.Hp}).mul_(slope1).view({seeds * n, m_.Hp});
      const Tensor d_q = at::mm(d, w.w1_t);
      device::enthalpy_site_gradients(m_, member, task_, g, data(state), data(outputs), data(d_q), member > 0,
                                      data(d_density), plan, scratch, stream());
    }
    device::enthalpy_values(task_, g, v, energies.mutable_data_ptr<double>(),
                            order_ > 0 ? dipoles.mutable_data_ptr<double>() : nullptr,
                            order_ > 1 ? polarizabilities.mutable_data_ptr<double>() : nullptr, stream());
    if (seeds > 0)
      device::enthalpy_edge_gradients(m_, task_, edges_, g, data(d_density), data(partials_),
                                      strain_.mutable_data_ptr<double>(), stream());
  }

  // Apply silu in place, and return the derivatives.
  Tensor silu(Tensor& z) const {
    Tensor slope = at::empty_like(z);
    device::enthalpy_silu(data(z), data(slope), z.numel(), stream());
    return slope;
  }

  // The matrices of a species, taken out of their panels of 32 columns (core/enthalpy/layout.h).
  Weights weights(int member, int species) const {
    const int64_t K = m_.channels, Kp = m_.Kp, Hp = m_.Hp, Qp = m_.Qp, Op = m_.Op;
    int64_t at = (m_.sites - in_.params.template const_data_ptr<R>()) +
                 (int64_t(member) * m_.species + species) * m_.stride + 4 * m_.rows * Kp + m_.rows * K * 16 +
                 4 * K * Kp + 2 * Qp;
    const auto vector = [&](int64_t n) {
      at += n;
      return in_.params.slice(0, at - n, at);
    };
    const auto matrix = [&](int64_t rows, int64_t columns) {
      return vector(rows * columns).view({columns / 32, rows, 32}).permute({1, 0, 2}).reshape({rows, columns});
    };
    Weights w;
    w.b1 = vector(Hp);
    w.b2 = vector(Hp);
    w.b3 = vector(Op);
    w.w1 = matrix(Qp, Hp);
    w.w2 = matrix(Hp, Hp);
    w.w3 = matrix(Hp, Op);
    w.w1_t = matrix(Hp, Qp);
    w.w2_t = matrix(Hp, Hp);
    w.w3_t = matrix(Op, Hp);
    return w;
  }

  const Input& in_;
  const EnthalpyModel<R>& m_;
  const device::DeviceTask task_;
  const device::DeviceEdges edges_;
  const int order_;
  const bool atom_virials_;
  Tensor partials_, strain_;
};

using Results = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

template <class R>
Results run(const Input& in, const Tensor& constants, device::DeviceTask task, int order, int needed,
            bool atom_virials) {
  const Guard guard(in.params.device());
  const Tensor header = in.header.cpu();
  EnthalpyModel<R> m;
  try {
    m = make_enthalpy_model<R>(header.const_data_ptr<int64_t>(), header.numel(), in.params.const_data_ptr<R>(),
                               in.params.numel());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK(false, error.what());
  }
  TORCH_CHECK(constants.numel() == 1 + 2 * m.species, "constants must have 1 + 2 n_species = ", 1 + 2 * m.species,
              " numbers, got ", constants.numel());
  task.cutoff = constants[0].item<double>();
  TORCH_CHECK(task.cutoff > 0, "the cutoff, the first of the constants, must be positive, got ", task.cutoff);
  task.site = constants.const_data_ptr<double>() + 1;
  const Tensor own = in.species.index_select(0, in.centers);
  const Tensor counts = at::bincount(own, {}, m.species).cpu();
  TORCH_CHECK(counts.numel() == m.species,
              "species must be from 0 to number of species of the model - 1 = ", m.species - 1, ", got ",
              counts.numel() - 1);
  const Tensor sorted = at::argsort(own, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const int64_t* const c = counts.const_data_ptr<int64_t>();
  Evaluation<R> evaluation(in, m, task, order, atom_virials);
  evaluation.run(sorted, std::vector<int64_t>(c, c + m.species), needed);
  auto [gradients, strain, virials] = evaluation.sums();
  return {evaluation.energies, evaluation.dipoles, evaluation.polarizabilities, gradients, strain, virials};
}

Results enthalpy(const Tensor& header, const Tensor& params, const Tensor& constants, const Tensor& species,
                 const Tensor& centers, const Tensor& offsets, const Tensor& neighbors, const Tensor& vectors,
                 const std::optional<Tensor>& field, at::IntArrayRef seeds, bool atom_virials, int64_t order) {
  const at::AutoDispatchBelowADInplaceOrView without_gradients;
  const Input in = checked({header, params, species, centers, offsets, neighbors, vectors, {}}, false);
  check(constants, "constants", params, at::kDouble, {constants.numel()});
  TORCH_CHECK(seeds.size() <= size_t(kSeeds), "at most ", int(kSeeds), " seeds, got ", seeds.size());
  for (const int64_t s : seeds)
    TORCH_CHECK(s >= 0 && s < kSeeds, "seeds must be from 0 to ", int(kSeeds) - 1, ", got ", s);
  TORCH_CHECK(order >= 0 && order <= 2, "order must be 0, 1 or 2, got ", order);
  TORCH_CHECK(!atom_virials || (!seeds.empty() && seeds[0] == kSeedEnthalpy),
              "atom_virials needs the enthalpy, 0, as the first of the seeds");
  device::DeviceTask task{};
  Tensor local;
  if (field) {
    if (field->dim() == 2) check(*field, "field", params, at::kDouble, {centers.size(0), 3});
    else check(*field, "field", params, at::kDouble, {3});
    local = field->contiguous();
    task.field = local.const_data_ptr<double>();
    task.field_stride = local.dim() == 2 ? 3 : 0;
  }
  task.n_seeds = int(seeds.size());
  std::copy(seeds.begin(), seeds.end(), task.seeds);
  const int needed = needed_order(int(order), task.field, seeds.data(), task.n_seeds);
  const Tensor own = constants.contiguous();
  return params.scalar_type() == at::kFloat ? run<float>(in, own, task, int(order), needed, atom_virials)
                                            : run<double>(in, own, task, int(order), needed, atom_virials);
}

}  // namespace
}  // namespace tnep

#if defined(TNEP_EMULATED)
TORCH_LIBRARY_IMPL(tnep_emulated, CPU, m) {
#else
TORCH_LIBRARY_IMPL(tnep, CUDA, m) {
#endif
  m.impl("enthalpy", &tnep::enthalpy);
}
