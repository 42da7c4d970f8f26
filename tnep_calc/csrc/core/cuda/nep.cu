// NEP and TNEP on a GPU: launch parameters, and the choice of the kernels, which are in nep_order.cu.
#include "core/cuda/nep.h"

#include <stdexcept>
#include <string>

#include "core/cuda/nep_centre.h"
#include "core/cuda/nep_launch.h"

TNEP_BEGIN

namespace {

int components_of(Task task) {
  switch (task) {
    case Task::dipole_gradient:
      return 3;
    case Task::polarizability_gradient:
      return 6;
    case Task::field_forces:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

template <class R>
Plan plan(const Model<R>& m, Task task, int64_t n_centers, size_t shared_limit, int64_t most_blocks) {
  Scratch<R> s;
  Plan p;
  p.block_bytes = assign_memory(m, components_of(task), static_cast<char*>(nullptr), s);
  p.shared = p.block_bytes <= shared_limit;
  p.blocks = n_centers < most_blocks ? n_centers : most_blocks;
  return p;
}

namespace {

// The emulation is built for small l_max only, to reduce compile time.
#if !defined(TNEP_MOST_L)
#define TNEP_MOST_L int(kMaxL)
#endif

template <int L, class R>
void launch_l(const Model<R>& m, Task task, const DeviceEdges& e, const DeviceOutputs<R>& out, const Plan& p,
              char* global, void* stream) {
  if constexpr (L > 0) {
    if (m.l_max == L) launch<L>(m, task, e, out, p, global, stream);
    else launch_l<L - 1>(m, task, e, out, p, global, stream);
  } else {
    throw std::invalid_argument("these kernels were not built for l_max = " + std::to_string(m.l_max));
  }
}

}  // namespace

template <class R>
void evaluate(const Model<R>& m, Task task, const DeviceEdges& e, const DeviceOutputs<R>& out, const Plan& p,
              void* scratch, void* stream) {
  if (e.n_centers > 0)
    launch_l<TNEP_MOST_L>(m, task, e, out, p, p.shared ? nullptr : static_cast<char*>(scratch), stream);
}

#define TNEP_INSTANTIATE(R)                                            \
  template Plan plan(const Model<R>&, Task, int64_t, size_t, int64_t); \
  template void evaluate(const Model<R>&, Task, const DeviceEdges&, const DeviceOutputs<R>&, const Plan&, void*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
