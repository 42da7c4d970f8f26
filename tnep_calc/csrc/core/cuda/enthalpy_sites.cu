// Kernels of electric-enthalpy models on a GPU for single centres: state and invariants, and their reverse pass.  Each
// thread handles a channel or a component.
#include "core/cuda/enthalpy_parts.h"

TNEP_BEGIN

template <class R>
TNEP_GLOBAL invariants_site_kernel(EnthalpyModel<R> m, int member, CentreGroup g, const R* densities, R* states,
                                   R* all_q, double* values, char* global, size_t bytes) {
  double* reduced = reinterpret_cast<double*>(scratch_of(global, bytes));
  const Block block{reduced};
  const SiteParameters<R> p = site_parameters(m, member, g.species);
  const int Kp = m.Kp, K = m.channels;
  for (int64_t i = Block::index(); i < g.count; i += Block::count()) {
    const R* density = densities + i * m.rows * kComponents3;
    R *a = states + i * kState * Kp, *b = a + kRowB * Kp, *mixed = a + kRowMixed * Kp, *q = all_q + i * m.Qp;
    R* blocks = q + m.grams;
    block.each(kComponents3 * Kp, [&](int64_t x) {
      const int lm = int(x) / Kp, k = int(x) % Kp;
      const R* c = p.contraction + degree_of(lm) * m.rows * Kp + k;
      R total = 0;
      for (int f = 0; f < m.rows; f++) total += c[f * Kp] * density[f * kComponents3 + lm];
      a[x] = total;
    });
    block.each(8 * Kp, [&](int64_t x) {  // A_1 and A_2 with mixed channels
      const int row = int(x) / Kp, k = int(x) % Kp;
      const R* matrix = p.mixing + (row < 3 ? 0 : K * Kp) + k;
      R total = 0;
      for (int c = 0; c < K; c++) total += a[(1 + row) * Kp + c] * matrix[c * Kp];
      mixed[x] = total;
    });
    block.each(3 * K * K, [&](int64_t x) {
      const int l = 1 + int(x) / (K * K), k = int(x) / K % K, other = int(x) % K;
      if (other < k) return;
      R total = 0;
      for (int lm = l * l; lm < (l + 1) * (l + 1); lm++) total += a[lm * Kp + k] * a[lm * Kp + other];
      q[pair_place(l, k, other, K)] = total;
    });
    block.each(Kp, [&](int64_t k) {
      R own[kProducts];
      for (int r = 0; r < kProducts; r++) own[r] = 0;
      static_for<0, kCouplings>([&](auto at) TNEP_LAMBDA {
        constexpr Coupling c = kCoupling[decltype(at)::value];
        own[c.row] += a[c.a * Kp + k] * a[c.b * Kp + k] * R(c.value);
      });
      for (int r = 0; r < kProducts; r++) b[r * Kp + k] = own[r];
      R* to = blocks + k;
      *to = a[k];
      const auto add = [&](R total) {
        to += Kp;
        *to = total;
      };
      const auto family = [&](int size, int count, int first, const R* mix, bool four) {
        for (int r = 0; r < count; r++)
          for (int other = four ? 0 : r; other < (four ? 1 : count); other++) {
            R total = 0;
            for (int c = 0; c < size; c++)
              total += own[first + r * size + c] * (four ? mix[c * Kp + k] : own[first + other * size + c]);
            add(total);
          }
      };
      family(3, kRows1, 0, mixed, true);
      family(5, kRows2, 3 * kRows1, mixed + 3 * Kp, true);
      family(3, kRows1, 0, mixed, false);
      family(5, kRows2, 3 * kRows1, mixed + 3 * Kp, false);
    });
    const int pairs = 3 * K * (K + 1) / 2, end = m.grams + 20 * Kp;
    block.each(m.Qp, [&](int64_t x) {
      const bool padding = (x >= pairs && x < m.grams) || x >= end;
      q[x] = (padding ? R(0) : q[x]) - p.offset[x];
    });
    const double linear = block.sum(m.Qp, [&](int64_t x) { return double(q[x]) * double(p.linear[x]); });
    block.each(1, [&](int64_t) { values[i * kValues + kEnergy] += linear; });
  }
}

// Derivatives with respect to the products B and the mixed A of channel k, and those with respect to A through the
// vectors, the tensors and the products B.
template <class R>
TNEP_DEVICE_FUNCTION void channel_gradients(const EnthalpyModel<R>& m, const R* state, const R* weights,
                                            const SiteSeed<R>& seed, const R* d_q, int k, const GradientScratch<R>& s) {
  const int Kp = m.Kp;
  const R *a = state + k, *b = state + kRowB * Kp + k, *mixed = state + kRowMixed * Kp + k;
  const R *of_q = d_q + m.grams + k, *of_weight = weights + k;
  R db[kProducts], da[kComponents3];
  const auto family = [&](int size, int count, int first, const R* mix, int four, int five, const R* c, int weight,
                          R* d_mix) {
    for (int x = 0; x < size; x++) {
      R total = 0;
      for (int r = 0; r < count; r++) {
        const R g = of_q[(four + r) * Kp];
        db[first + r * size + x] = of_weight[(weight + r) * Kp] * c[x] + g * mix[x * Kp];
        total += g * b[(first + r * size + x) * Kp];
      }
      d_mix[x * Kp] = total;
    }
    for (int r = 0, pair = five; r < count; r++)
      for (int other = r; other < count; other++, pair++) {
        const R g = of_q[pair * Kp];
        for (int x = 0; x < size; x++) {
          db[first + r * size + x] += g * b[(first + other * size + x) * Kp];
          db[first + other * size + x] += g * b[(first + r * size + x) * Kp];
        }
      }
  };
  family(3, kRows1, 0, mixed, kBlockFour1, kBlockFive1, seed.dipole, 1, s.d_mixed + k);
  family(5, kRows2, 3 * kRows1, mixed + 3 * Kp, kBlockFour2, kBlockFive2, seed.tensor, kVectors + 1,
         s.d_mixed + 3 * Kp + k);
  for (int x = 0; x < kComponents3; x++) da[x] = 0;
  da[0] = of_q[kBlockA0 * Kp];
  for (int x = 0; x < 3; x++) da[1 + x] = of_weight[0] * seed.dipole[x];
  for (int x = 0; x < 5; x++) da[4 + x] = of_weight[kVectors * Kp] * seed.tensor[x];
  static_for<0, kCouplings>([&](auto at) TNEP_LAMBDA {
    constexpr Coupling c = kCoupling[decltype(at)::value];
    const R d = db[c.row] * R(c.value);
    da[c.a] += d * a[c.b * Kp];
    da[c.b] += d * a[c.a * Kp];
  });
  for (int x = 0; x < kComponents3; x++) s.d_a[x * Kp + k] = da[x];
}

template <class R>
TNEP_GLOBAL gradients_site_kernel(EnthalpyModel<R> m, int member, DeviceTask task, CentreGroup g, const R* states,
                                  const R* all_outputs, R* all_d_q, bool add, R* d_densities, char* global,
                                  size_t bytes) {
  GradientScratch<R> scratch;
  assign_memory(m, scratch_of(global, bytes), scratch);
  const Block block{nullptr};
  const SiteParameters<R> p = site_parameters(m, member, g.species);
  const int Kp = m.Kp, K = m.channels, size = m.rows * kComponents3;
  for (int64_t i = Block::index(); i < g.count; i += Block::count()) {
    const R *state = states + i * kState * Kp, *outputs = all_outputs + i * m.Op;
    for (int s = 0; s < task.n_seeds; s++) {
      const SiteSeed<R> seed = seed_of<R>(task, s, g.group[i]);
      R* d_q = all_d_q + (s * g.count + i) * m.Qp;
      R* d_density = d_densities + (i * task.n_seeds + s) * size;
      if (seed.energy != R(0)) block.each(m.Qp, [&](int64_t x) { d_q[x] += p.linear[x] * seed.energy; });
      block.each(Kp, [&](int64_t k) { channel_gradients(m, state, outputs, seed, d_q, int(k), scratch); });
      block.each(15 * Kp, [&](int64_t x) {
        const int lm = 1 + int(x) / Kp, k = int(x) % Kp, l = degree_of(lm);
        if (k >= K) return;
        R total = scratch.d_a[lm * Kp + k];
        if (l < 3) {
          const R* matrix = p.mixing_t + (l - 1) * K * Kp + k;
          for (int c = 0; c < K; c++) total += scratch.d_mixed[(lm - 1) * Kp + c] * matrix[c * Kp];
        }
        for (int c = 0; c < K; c++) {
          const R d = d_q[pair_place(l, k, c, K)];
          total += (c == k ? d + d : d) * state[lm * Kp + c];
        }
        scratch.d_a[lm * Kp + k] = total;
      });
      block.each(size, [&](int64_t x) {
        const int f = int(x) / kComponents3, lm = int(x) % kComponents3;
        const R* c = p.expansion + int64_t(f) * K * kComponents3 + lm;
        R total = add ? d_density[x] : R(0);
        for (int k = 0; k < K; k++) total += c[k * kComponents3] * scratch.d_a[lm * Kp + k];
        d_density[x] = total;
      });
    }
  }
}

template <class R>
int64_t state_size(const EnthalpyModel<R>& m) {
  return int64_t(kState) * m.Kp;
}

template <class R>
size_t enthalpy_block_bytes(const EnthalpyModel<R>& m) {
  DensityScratch<R> density;
  GradientScratch<R> gradient;
  const size_t one = assign_memory(m, static_cast<char*>(nullptr), density);
  const size_t two = assign_memory(m, static_cast<char*>(nullptr), gradient);
  return one > two ? one : two;
}

template <class R>
void enthalpy_invariants(const EnthalpyModel<R>& m, int member, const CentreGroup& g, const R* density, R* state, R* q,
                         double* values, void* stream) {
  constexpr size_t bytes = (kThreads / kWarp + 1) * sizeof(double);  // for the sum over a block
  TNEP_LAUNCH((invariants_site_kernel<R>), blocks_for(g.count), bytes, stream, m, member, g, density, state, q, values,
              static_cast<char*>(nullptr), bytes);
}

template <class R>
void enthalpy_site_gradients(const EnthalpyModel<R>& m, int member, const DeviceTask& task, const CentreGroup& g,
                             const R* state, const R* outputs, R* d_q, bool add, R* d_density, const Plan& plan,
                             char* scratch, void* stream) {
  TNEP_LAUNCH((gradients_site_kernel<R>), plan.blocks, plan.shared ? plan.block_bytes : 0, stream, m, member, task, g,
              state, outputs, d_q, add, d_density, scratch, plan.block_bytes);
}

#define TNEP_INSTANTIATE(R)                                                                                            \
  template int64_t state_size(const EnthalpyModel<R>&);                                                                \
  template size_t enthalpy_block_bytes(const EnthalpyModel<R>&);                                                       \
  template void enthalpy_invariants(const EnthalpyModel<R>&, int, const CentreGroup&, const R*, R*, R*, double*,       \
                                    void*);                                                                            \
  template void enthalpy_site_gradients(const EnthalpyModel<R>&, int, const DeviceTask&, const CentreGroup&, const R*, \
                                        const R*, R*, bool, R*, const Plan&, char*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
