// Kernels of electric-enthalpy models on a GPU around the network: activation, outputs and the derivatives with respect
// to them, and the results of centres.
#include "core/cuda/enthalpy_parts.h"

TNEP_BEGIN

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

int64_t value_size() { return kValues; }

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

#define TNEP_INSTANTIATE(R)                                                                                     \
  template void enthalpy_silu(R*, R*, int64_t, void*);                                                          \
  template void enthalpy_outputs(const EnthalpyModel<R>&, const DeviceTask&, int, const CentreGroup&, const R*, \
                                 const R*, double*, R*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
