// The kernels of NEP and TNEP for one l_max, TNEP_L: one block per centre.  Each l_max is compiled on its own, because
// all together would take several minutes.
#include "core/cuda/nep_centre.h"
#include "core/cuda/nep_launch.h"
#include "core/cuda/nep_response.h"

TNEP_BEGIN

// Energies, forces, virials, dipoles, polarizabilities, descriptors.
template <int L, class R>
TNEP_GLOBAL site_kernel(Model<R> m, Task task, DeviceEdges e, DeviceOutputs<R> out, char* global, size_t bytes) {
  Scratch<R> s;
  assign_memory(m, 0, scratch_of(global, bytes), s);
  const Block block{s.reduced};
  for (int64_t c = Block::index(); c < e.n_centers; c += Block::count()) {
    const Site site = find_site(e, c, m.species);
    describe<L>(block, m, e, site, s);
    if (task == Task::descriptors) {
      block.each(m.dim, [&](int64_t d) { out.sites[c * m.dim + d] = double(s.q[d]) * double(m.q_scaler[d]); });
      continue;
    }
    const Net<R> net = find_net(m, 0, site.species);
    double value = network_value(block, m, net, s);
    if (task == Task::energy || task == Task::forces) {
      if (m.zbl)
        value += block.sum(site.count, [&](int64_t i) {
          R energy, slope;
          repulsion(m, site, read_edge<R>(e, site, int(i), m.species), energy, slope);
          return double(energy);
        });
      block.each(1, [&](int64_t) { out.sites[c] = value; });
      if (task == Task::energy) continue;
    }
    block.each(m.dim, [&](int64_t d) { s.d_q[d] = weighted_rows(m, net, s.delta, d); });
    edge_gradients<L>(block, m, e, site, s, out.partials);

    const R* p = out.partials + 3 * site.begin;
    if (task == Task::dipole) {
      for (int a = 0; a < 3; a++) {
        const double total = block.sum(site.count, [&](int64_t i) {
          double r2 = 0;
          for (int b = 0; b < 3; b++) {
            const double r = component(e, site.atom, site.begin + i, b);
            r2 += r * r;
          }
          return r2 * double(p[3 * i + a]);
        });
        block.each(1, [&](int64_t) { out.sites[3 * c + a] = -total; });
      }
      continue;
    }
    // sum_j r_a P_b, which is symmetric because U is invariant under rotations
    double six[6];
    for (int a = 0, at = 0; a < 3; a++)
      for (int b = a; b < 3; b++, at++)
        six[at] = block.sum(
            site.count, [&](int64_t i) { return component(e, site.atom, site.begin + i, a) * double(p[3 * i + b]); });
    if (task == Task::forces) {
      block.each(1, [&](int64_t) {
        for (int i = 0; i < 6; i++) out.virials[6 * c + i] = -six[i];
      });
      continue;
    }
    const double scalar = network_value(block, m, find_net(m, 1, site.species), s);
    block.each(1, [&](int64_t) {
      for (int a = 0, at = 0; a < 3; a++)
        for (int b = a; b < 3; b++, at++)
          out.sites[9 * c + 3 * a + b] = out.sites[9 * c + 3 * b + a] = (a == b ? scalar : 0.0) - six[at];
    });
  }
}

template <int L, class Field, class R>
TNEP_GLOBAL response_kernel(Model<R> m, DeviceEdges e, DeviceOutputs<R> out, char* global, size_t bytes) {
  Scratch<R> s;
  assign_memory(m, Field::components, scratch_of(global, bytes), s);
  const Block block{s.reduced};
  for (int64_t c = Block::index(); c < e.n_centers; c += Block::count()) {
    const Field field(out.field + c * out.field_stride);
    response_of_centre<L>(block, m, e, find_site(e, c, m.species), field, s, out.partials);
  }
}

template <int L, class R>
void launch(const Model<R>& m, Task task, const DeviceEdges& e, const DeviceOutputs<R>& out, const Plan& p,
            char* global, void* stream) {
  const size_t shared = p.shared ? p.block_bytes : 0;
  switch (task) {
    case Task::dipole_gradient:
      TNEP_LAUNCH((response_kernel<L, DipoleField<R>, R>), p.blocks, shared, stream, m, e, out, global, p.block_bytes);
      return;
    case Task::polarizability_gradient:
      TNEP_LAUNCH((response_kernel<L, PolarizabilityField<R>, R>), p.blocks, shared, stream, m, e, out, global,
                  p.block_bytes);
      return;
    case Task::field_forces:
      if (m.networks == 2)
        TNEP_LAUNCH((response_kernel<L, QuadraticField<R>, R>), p.blocks, shared, stream, m, e, out, global,
                    p.block_bytes);
      else
        TNEP_LAUNCH((response_kernel<L, UniformField<R>, R>), p.blocks, shared, stream, m, e, out, global,
                    p.block_bytes);
      return;
    default:
      TNEP_LAUNCH((site_kernel<L, R>), p.blocks, shared, stream, m, task, e, out, global, p.block_bytes);
  }
}

#define TNEP_INSTANTIATE(R)                                                                                            \
  template void launch<TNEP_L>(const Model<R>&, Task, const DeviceEdges&, const DeviceOutputs<R>&, const Plan&, char*, \
                               void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
