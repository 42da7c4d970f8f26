// Kernels of electric-enthalpy models on a GPU: one block per centre.
//
// Where functions of single edges are computed, each thread handles an edge of a tile; where edges are summed, each
// thread handles one sum and adds in the order of the edges.  Elsewhere each thread handles a channel or a component.
// Results therefore do not depend on the scheduling of threads.
#include "core/cuda/enthalpy.h"

#include "core/cuda/edges.h"
#include "core/enthalpy/evaluate.h"

TNEP_BEGIN

namespace {

constexpr int kEdgeTile = 32;

// Lay out arrays one after the other, each aligned to 16 bytes; `base` may be null to find the size.
struct Layout {
  char* base;
  size_t used = 0;

  template <class T>
  TNEP_HD T* take(int64_t count) {
    T* at = reinterpret_cast<T*>(base + used);
    used += (size_t(count) * sizeof(T) + 15) / 16 * 16;
    return at;
  }
};

template <class R>
struct DensityScratch {
  double* reduced;
  R *radial, *harmonics, *density;  // [kEdgeTile][n], [kEdgeTile][16], [F][16]
  int* species;                     // [kEdgeTile]; -1 beyond the cutoff
};

template <class R>
TNEP_HD size_t assign_memory(const EnthalpyModel<R>& m, char* base, DensityScratch<R>& s) {
  Layout layout{base};
  s.reduced = layout.take<double>(kThreads / kWarp + 1);
  s.radial = layout.take<R>(kEdgeTile * m.radial);
  s.harmonics = layout.take<R>(kEdgeTile * kComponents3);
  s.density = layout.take<R>(m.rows * kComponents3);
  s.species = layout.take<int>(kEdgeTile);
  return layout.used;
}

template <class R>
struct GradientScratch {
  R *d_a, *d_products, *d_mixed;  // [16][Kp], [kProducts][Kp], [8][Kp]
};

template <class R>
TNEP_HD size_t assign_memory(const EnthalpyModel<R>& m, char* base, GradientScratch<R>& s) {
  Layout layout{base};
  s.d_a = layout.take<R>(kComponents3 * m.Kp);
  s.d_products = layout.take<R>(kProducts * m.Kp);
  s.d_mixed = layout.take<R>(8 * m.Kp);
  return layout.used;
}

// The l of component lm, the place of the pair (k, k') of channels among the products A_l . A_l, and the first of the
// components of l.
TNEP_HD int degree_of(int lm) { return lm == 0 ? 0 : lm < 4 ? 1 : lm < 9 ? 2 : 3; }

TNEP_HD int pair_place(int l, int k, int other, int channels) {
  const int low = k < other ? k : other, high = k < other ? other : k;
  return (l - 1) * (channels * (channels + 1) / 2) + low * channels - low * (low - 1) / 2 + high - low;
}

template <class R>
TNEP_HD void field_at(const DeviceTask& task, int64_t centre, R* field) {
  for (int a = 0; a < 3; a++) field[a] = task.field ? task.field[task.field_stride * centre + a] : R(0);
}

template <class R>
TNEP_HD SiteSeed<R> seed_of(const DeviceTask& task, int s, int64_t centre) {
  double field[3], c[10];
  field_at(task, centre, field);
  seed_coefficients(task.seeds[s], field, c);
  return site_seed<R>(c);
}

// A number of the network's weights or of the state that belongs to vector or tensor v of channel k.
TNEP_HD int first_row(bool tensor, int v) {
  if (tensor) return v == 0 ? 4 : kRowB + 3 * kRows1 + 5 * (v - 1);
  return v == 0 ? 1 : kRowB + 3 * (v - 1);
}

}  // namespace

template <class R>
TNEP_GLOBAL density_site_kernel(EnthalpyModel<R> m, DeviceTask task, DeviceEdges e, CentreGroup g, R* densities,
                                double* values, char* global, size_t bytes) {
  DensityScratch<R> s;
  assign_memory(m, scratch_of(global, bytes), s);
  const Block block{s.reduced};
  const R inverse_cutoff = R(1.0 / task.cutoff);
  const int n = m.radial, size = m.rows * kComponents3;
  for (int64_t i = Block::index(); i < g.count; i += Block::count()) {
    const Site site = find_site(e, g.group[i], m.species);
    block.each(size, [&](int64_t x) { s.density[x] = 0; });
    for (int first = 0; first < site.count; first += kEdgeTile) {
      const int tile = site.count - first < kEdgeTile ? site.count - first : kEdgeTile;
      block.each(tile, [&](int64_t j) {
        const Neighbor<R> neighbor = read_edge<R>(e, site, first + int(j), m.species);
        const bool near = double(neighbor.distance) < task.cutoff;
        s.species[j] = near ? neighbor.species : -1;
        if (!near) return;
        EdgeBlock<R> edge;
        edge_block<false>(neighbor.r[0], neighbor.r[1], neighbor.r[2], inverse_cutoff, n, edge);
        for (int k = 0; k < n; k++) s.radial[j * n + k] = edge.f[k];
        real_harmonics(edge.x, edge.y, edge.z, s.harmonics + j * kComponents3);
      });
      block.each(size, [&](int64_t x) {
        const int row = int(x) / kComponents3, lm = int(x) % kComponents3, t = row / n, k = row % n;
        R total = s.density[x];
        for (int j = 0; j < tile; j++)
          if (s.species[j] == t) total += s.radial[j * n + k] * s.harmonics[j * kComponents3 + lm];
        s.density[x] = total;
      });
    }
    double repulsion_energy = 0;
    if (m.zbl)
      repulsion_energy = block.sum(site.count, [&](int64_t j) {
        const Neighbor<R> neighbor = read_edge<R>(e, site, int(j), m.species);
        R energy = 0, slope;
        if (double(neighbor.distance) < task.cutoff)
          zbl(neighbor.distance, m.zbl + (site.species * m.species + neighbor.species) * kPad, energy, slope);
        return double(energy);
      });
    block.each(size, [&](int64_t x) { densities[i * size + x] = s.density[x]; });
    block.each(kValues, [&](int64_t x) { values[i * kValues + x] = x == kEnergy ? repulsion_energy : 0.0; });
  }
}

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

template <class R>
TNEP_GLOBAL silu_site_kernel(R* z, R* slope, int64_t count) {
  const Block block{nullptr};
  const R limit = R(sizeof(R) == 4 ? 80 : 600);
  for (int64_t first = Block::index() * kThreads; first < count; first += Block::count() * kThreads)
    block.each(count - first < kThreads ? count - first : kThreads, [&](int64_t x) {
      const R v = z[first + x];
      const R y = v < -limit ? -limit : v > limit ? limit : v;
      const R sigmoid = R(1) / (R(1) + exponential(-y));
      z[first + x] = v * sigmoid;
      slope[first + x] = sigmoid * (R(1) + v * (R(1) - sigmoid));
    });
}

template <class R>
TNEP_GLOBAL outputs_site_kernel(EnthalpyModel<R> m, DeviceTask task, int order, CentreGroup g, const R* states,
                                const R* all_outputs, double* values, R* d_out) {
  const Block block{nullptr};
  const int Kp = m.Kp;
  for (int64_t i = Block::index(); i < g.count; i += Block::count()) {
    const R *state = states + i * kState * Kp, *outputs = all_outputs + i * m.Op;
    block.each(kValues, [&](int64_t x) {
      double total = 0;
      if (x == kEnergy) total = double(outputs[8 * Kp]);
      else if (order == 0) return;
      else if (x == kTrace) total = double(outputs[8 * Kp + 1]);
      else {
        const bool tensor = x >= kTensor;
        if (tensor && order < 2) return;
        const int component = int(x) - (tensor ? int(kTensor) : int(kDipole));
        for (int v = 0; v < (tensor ? kTensors : kVectors); v++) {
          const R* weights = outputs + ((tensor ? kVectors : 0) + v) * Kp;
          const R* row = state + (first_row(tensor, v) + component) * Kp;
          for (int k = 0; k < Kp; k++) total += double(row[k] * weights[k]);
        }
      }
      values[i * kValues + x] += total;
    });
    if (!d_out) continue;
    for (int s = 0; s < task.n_seeds; s++) {
      const SiteSeed<R> seed = seed_of<R>(task, s, g.group[i]);
      R* to = d_out + (s * g.count + i) * m.Op;
      block.each(m.Op, [&](int64_t x) {
        const int v = int(x) / Kp, k = int(x) % Kp;
        R total = x == 8 * Kp ? seed.energy : x == 8 * Kp + 1 ? seed.trace : R(0);
        if (v < 8) {
          const bool tensor = v >= kVectors;
          const R* row = state + first_row(tensor, tensor ? v - kVectors : v) * Kp + k;
          total = 0;
          for (int c = 0; c < (tensor ? 5 : 3); c++) total += row[c * Kp] * (tensor ? seed.tensor[c] : seed.dipole[c]);
        }
        to[x] = total;
      });
    }
  }
}

static TNEP_GLOBAL values_site_kernel(DeviceTask task, CentreGroup g, const double* values, double* energies,
                                      double* dipoles, double* polarizabilities) {
  const Block block{nullptr};
  EnthalpyTask host{};
  host.site = task.site;
  const EnthalpyOutputs out{energies, dipoles, polarizabilities, nullptr, nullptr, nullptr};
  for (int64_t first = Block::index() * kThreads; first < g.count; first += Block::count() * kThreads)
    block.each(g.count - first < kThreads ? g.count - first : kThreads, [&](int64_t x) {
      double field[3];
      field_at(task, g.group[first + x], field);
      write_values(host, g.species, values + (first + x) * kValues, field, g.group[first + x], out);
    });
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
TNEP_GLOBAL edges_site_kernel(EnthalpyModel<R> m, DeviceTask task, DeviceEdges e, CentreGroup g, const R* d_densities,
                              R* partials, double* strain) {
  const Block block{nullptr};
  const R inverse_cutoff = R(1.0 / task.cutoff);
  const int n = m.radial, seeds = task.n_seeds;
  for (int64_t i = Block::index(); i < g.count; i += Block::count()) {
    const Site site = find_site(e, g.group[i], m.species);
    const R* d_density = d_densities + i * seeds * m.rows * kComponents3;
    R* own = partials + site.begin * seeds * 3;
    block.each(int64_t(site.count) * seeds, [&](int64_t x) {
      const int j = int(x / seeds), s = int(x % seeds);
      const Neighbor<R> neighbor = read_edge<R>(e, site, j, m.species);
      R gradient[3] = {0, 0, 0};
      if (double(neighbor.distance) < task.cutoff) {
        EdgeBlock<R> edge;
        edge_block<true>(neighbor.r[0], neighbor.r[1], neighbor.r[2], inverse_cutoff, n, edge);
        edge_gradient(edge, n, d_density + (s * m.rows + neighbor.species * n) * kComponents3, gradient);
        if (m.zbl && task.seeds[s] == kSeedEnthalpy) {
          R energy, slope;
          zbl(neighbor.distance, m.zbl + (site.species * m.species + neighbor.species) * kPad, energy, slope);
          for (int a = 0; a < 3; a++) gradient[a] += slope * neighbor.u[a];
        }
      }
      for (int a = 0; a < 3; a++) own[x * 3 + a] = -gradient[a];
    });
    block.each(9 * seeds, [&](int64_t x) {
      const int s = int(x) / 9, a = int(x) % 9 / 3, b = int(x) % 3;
      double total = 0;
      for (int j = 0; j < site.count; j++)
        total -= component(e, site.atom, site.begin + j, a) * double(own[(j * seeds + s) * 3 + b]);
      strain[g.group[i] * 9 * seeds + x] = total;
    });
  }
}

namespace {

// Threads of a block share most phases of one centre, so there is a block for each, up to a limit.
int64_t blocks_for(int64_t count) {
  constexpr int64_t most = int64_t(1) << 20;
  return count < most ? count : most;
}

constexpr size_t kReducedBytes = (kThreads / kWarp + 1) * sizeof(double);

}  // namespace

template <class R>
int64_t density_size(const EnthalpyModel<R>& m) {
  return int64_t(m.rows) * kComponents3;
}

template <class R>
int64_t state_size(const EnthalpyModel<R>& m) {
  return int64_t(kState) * m.Kp;
}

int64_t value_size() { return kValues; }

template <class R>
size_t enthalpy_block_bytes(const EnthalpyModel<R>& m) {
  DensityScratch<R> density;
  GradientScratch<R> gradient;
  const size_t one = assign_memory(m, static_cast<char*>(nullptr), density);
  const size_t two = assign_memory(m, static_cast<char*>(nullptr), gradient);
  return one > two ? one : two;
}

template <class R>
void enthalpy_densities(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e, const CentreGroup& g,
                        R* density, double* values, const Plan& plan, char* scratch, void* stream) {
  TNEP_LAUNCH((density_site_kernel<R>), plan.blocks, plan.shared ? plan.block_bytes : 0, stream, m, task, e, g, density,
              values, scratch, plan.block_bytes);
}

template <class R>
void enthalpy_invariants(const EnthalpyModel<R>& m, int member, const CentreGroup& g, const R* density, R* state, R* q,
                         double* values, void* stream) {
  TNEP_LAUNCH((invariants_site_kernel<R>), blocks_for(g.count), kReducedBytes, stream, m, member, g, density, state, q,
              values, static_cast<char*>(nullptr), kReducedBytes);
}

template <class R>
void enthalpy_silu(R* z, R* slope, int64_t count, void* stream) {
  TNEP_LAUNCH((silu_site_kernel<R>), blocks_for((count + kThreads - 1) / kThreads), 0, stream, z, slope, count);
}

template <class R>
void enthalpy_outputs(const EnthalpyModel<R>& m, const DeviceTask& task, int order, const CentreGroup& g,
                      const R* state, const R* outputs, double* values, R* d_out, void* stream) {
  TNEP_LAUNCH((outputs_site_kernel<R>), blocks_for(g.count), 0, stream, m, task, order, g, state, outputs, values,
              d_out);
}

void enthalpy_values(const DeviceTask& task, const CentreGroup& g, const double* values, double* energies,
                     double* dipoles, double* polarizabilities, void* stream) {
  TNEP_LAUNCH(values_site_kernel, blocks_for((g.count + kThreads - 1) / kThreads), 0, stream, task, g, values, energies,
              dipoles, polarizabilities);
}

template <class R>
void enthalpy_site_gradients(const EnthalpyModel<R>& m, int member, const DeviceTask& task, const CentreGroup& g,
                             const R* state, const R* outputs, R* d_q, bool add, R* d_density, const Plan& plan,
                             char* scratch, void* stream) {
  TNEP_LAUNCH((gradients_site_kernel<R>), plan.blocks, plan.shared ? plan.block_bytes : 0, stream, m, member, task, g,
              state, outputs, d_q, add, d_density, scratch, plan.block_bytes);
}

template <class R>
void enthalpy_edge_gradients(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e,
                             const CentreGroup& g, const R* d_density, R* partials, double* strain, void* stream) {
  TNEP_LAUNCH((edges_site_kernel<R>), blocks_for(g.count), 0, stream, m, task, e, g, d_density, partials, strain);
}

#define TNEP_INSTANTIATE(R)                                                                                            \
  template int64_t density_size(const EnthalpyModel<R>&);                                                              \
  template int64_t state_size(const EnthalpyModel<R>&);                                                                \
  template size_t enthalpy_block_bytes(const EnthalpyModel<R>&);                                                       \
  template void enthalpy_densities(const EnthalpyModel<R>&, const DeviceTask&, const DeviceEdges&, const CentreGroup&, \
                                   R*, double*, const Plan&, char*, void*);                                            \
  template void enthalpy_invariants(const EnthalpyModel<R>&, int, const CentreGroup&, const R*, R*, R*, double*,       \
                                    void*);                                                                            \
  template void enthalpy_silu(R*, R*, int64_t, void*);                                                                 \
  template void enthalpy_outputs(const EnthalpyModel<R>&, const DeviceTask&, int, const CentreGroup&, const R*,        \
                                 const R*, double*, R*, void*);                                                        \
  template void enthalpy_site_gradients(const EnthalpyModel<R>&, int, const DeviceTask&, const CentreGroup&, const R*, \
                                        const R*, R*, bool, R*, const Plan&, char*, void*);                            \
  template void enthalpy_edge_gradients(const EnthalpyModel<R>&, const DeviceTask&, const DeviceEdges&,                \
                                        const CentreGroup&, const R*, R*, double*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
