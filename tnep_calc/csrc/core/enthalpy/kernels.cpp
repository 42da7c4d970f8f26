// The electric-enthalpy kernels of one instruction set and real type; compiled once for each pair, see nep/kernels.cpp.
#include "core/enthalpy/evaluate.h"

#define TNEP_JOIN(a, b) a##b
#define TNEP_NAME(real) TNEP_JOIN(enthalpy_kernel_, real)
#define TNEP_KERNEL TNEP_NAME(TNEP_REAL)

TNEP_BEGIN

template <class R>
void evaluate_enthalpy(const EnthalpyModel<R>& m, const EnthalpyTask& task, const Edges& e, const int64_t* order,
                       int64_t begin, int64_t end, int64_t max_edges, const EnthalpyOutputs& out, void* memory) {
  EnthalpyWorkspace<R> w;
  assign_memory(m, task.n_seeds, max_edges, static_cast<char*>(memory), w);
  for (int t = 0; t < m.species + int(kPad); t++) w.cutoff2[t] = task.cutoff * task.cutoff;
  const int most = block_centres(m.members, task.n_seeds);
  // Below order 2, some weights are not computed but read.
  for (int64_t i = 0; task.order < 2 && i < int64_t(most) * m.Op; i++) w.out[i] = 0;
  while (begin < end) {
    const int64_t species = e.species[e.centers[order[begin]]];
    int count = 1;
    while (count < most && begin + count < end && e.species[e.centers[order[begin + count]]] == species) count++;
    evaluate_block(m, task, e, int(species), order + begin, count, out, w);
    begin += count;
  }
}

template <class R>
size_t enthalpy_workspace_bytes(const EnthalpyModel<R>& m, int n_seeds, int64_t max_edges) {
  EnthalpyWorkspace<R> w;
  return assign_memory(m, n_seeds, max_edges, static_cast<char*>(nullptr), w);
}

extern const EnthalpyKernel<TNEP_REAL> TNEP_KERNEL;
const EnthalpyKernel<TNEP_REAL> TNEP_KERNEL = {&enthalpy_workspace_bytes<TNEP_REAL>, &evaluate_enthalpy<TNEP_REAL>};

TNEP_END
