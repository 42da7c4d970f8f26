// The kernels of one instruction set and real type, named by TNEP_ISA and TNEP_REAL; compiled once for each pair.
// Inline functions of the standard library must not be used here: the linker could keep the copy compiled in this file,
// with instructions that the processor lacks, for the whole program.
#include "core/nep/evaluate.h"
#include "core/nep/response.h"

#define TNEP_JOIN(a, b) a##b
#define TNEP_NAME(real) TNEP_JOIN(kernel_, real)
#define TNEP_KERNEL TNEP_NAME(TNEP_REAL)

TNEP_BEGIN

template <int L, class R>
bool evaluate_l(const Model<R>& m, Task task, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
                Workspace<R>& w) {
  switch (task) {
    case Task::energy:
      return evaluate_energy<L>(m, false, e, begin, end, out, w);
    case Task::forces:
      return evaluate_energy<L>(m, true, e, begin, end, out, w);
    case Task::dipole:
      return evaluate_tensor<L>(m, false, e, begin, end, out, w);
    case Task::polarizability:
      return evaluate_tensor<L>(m, true, e, begin, end, out, w);
    case Task::descriptors:
      return evaluate_descriptors<L>(m, e, begin, end, out, w);
    case Task::dipole_gradient:
      return evaluate_response<L, DipoleField<R>>(m, e, begin, end, out, w);
    case Task::polarizability_gradient:
      return evaluate_response<L, PolarizabilityField<R>>(m, e, begin, end, out, w);
    case Task::field_forces:
      return m.networks == 2 ? evaluate_response<L, QuadraticField<R>>(m, e, begin, end, out, w)
                             : evaluate_response<L, UniformField<R>>(m, e, begin, end, out, w);
  }
  return false;
}

template <class R>
bool evaluate(const Model<R>& m, Task task, const Edges& e, int64_t begin, int64_t end, const Outputs& out,
              void* memory) {
  int64_t longest = 0;
  for (int64_t c = begin; c < end; c++) {
    const int64_t count = e.offsets[c + 1] - e.offsets[c];
    longest = count > longest ? count : longest;
  }
  Workspace<R> w;
  assign_memory(m, longest, static_cast<char*>(memory), w);
  w.watch.ticks = out.ticks;
  switch (m.l_max) {
    case 1:
      return evaluate_l<1>(m, task, e, begin, end, out, w);
    case 2:
      return evaluate_l<2>(m, task, e, begin, end, out, w);
    case 3:
      return evaluate_l<3>(m, task, e, begin, end, out, w);
    case 4:
      return evaluate_l<4>(m, task, e, begin, end, out, w);
    case 5:
      return evaluate_l<5>(m, task, e, begin, end, out, w);
    case 6:
      return evaluate_l<6>(m, task, e, begin, end, out, w);
    case 7:
      return evaluate_l<7>(m, task, e, begin, end, out, w);
    case 8:
      return evaluate_l<8>(m, task, e, begin, end, out, w);
  }
  return false;
}

template <class R>
size_t workspace_bytes(const Model<R>& m, int64_t max_edges) {
  Workspace<R> w;
  return assign_memory(m, max_edges, static_cast<char*>(nullptr), w);
}

extern const Kernel<TNEP_REAL> TNEP_KERNEL;
const Kernel<TNEP_REAL> TNEP_KERNEL = {&workspace_bytes<TNEP_REAL>, &evaluate<TNEP_REAL>};

TNEP_END
