// Kernels of electric-enthalpy models on a GPU that work on edges: densities, and gradients with respect to edges.
//
// Where functions of single edges are computed, each thread handles an edge of a tile; where edges are summed, each
// thread handles one sum and adds in the order of the edges.  Results therefore do not depend on the scheduling of
// threads.
#include "core/cuda/enthalpy_parts.h"

TNEP_BEGIN

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

template <class R>
int64_t density_size(const EnthalpyModel<R>& m) {
  return int64_t(m.rows) * kComponents3;
}

template <class R>
void enthalpy_densities(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e, const CentreGroup& g,
                        R* density, double* values, const Plan& plan, char* scratch, void* stream) {
  TNEP_LAUNCH((density_site_kernel<R>), plan.blocks, plan.shared ? plan.block_bytes : 0, stream, m, task, e, g, density,
              values, scratch, plan.block_bytes);
}

template <class R>
void enthalpy_edge_gradients(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e,
                             const CentreGroup& g, const R* d_density, R* partials, double* strain, void* stream) {
  TNEP_LAUNCH((edges_site_kernel<R>), blocks_for(g.count), 0, stream, m, task, e, g, d_density, partials, strain);
}

#define TNEP_INSTANTIATE(R)                                                                                            \
  template int64_t density_size(const EnthalpyModel<R>&);                                                              \
  template void enthalpy_densities(const EnthalpyModel<R>&, const DeviceTask&, const DeviceEdges&, const CentreGroup&, \
                                   R*, double*, const Plan&, char*, void*);                                            \
  template void enthalpy_edge_gradients(const EnthalpyModel<R>&, const DeviceTask&, const DeviceEdges&,                \
                                        const CentreGroup&, const R*, R*, double*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
