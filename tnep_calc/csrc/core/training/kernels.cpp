// The training kernels of one instruction set and real type; compiled once for each pair, see nep/kernels.cpp.
#include "core/training/features.h"
#include "core/training/moments.h"
#include "core/training/pairs.h"
#include "core/training/sites.h"

#define TNEP_JOIN(a, b) a##b
#define TNEP_NAME(real) TNEP_JOIN(training_kernel_, real)
#define TNEP_KERNEL TNEP_NAME(TNEP_REAL)

TNEP_BEGIN

// Call f(Int<L>{}) for the l_max of the model.
template <int L = 8, class F>
TNEP_HD void with_l(int l_max, F&& f) {
  if constexpr (L > 0) {
    if (l_max == L) f(Int<L>{});
    else with_l<L - 1>(l_max, f);
  }
}

template <class R>
size_t site_workspace_bytes(const SiteProblem<R>& p) {
  SiteScratch<R> w;
  return assign_memory(p, nullptr, w);
}

template <class R>
void sites(const SiteProblem<R>& p, int64_t begin, int64_t end, R* value, R* radial, R* angular, void* memory) {
  SiteScratch<R> w;
  assign_memory(p, static_cast<char*>(memory), w);
  with_l(p.l_max, [&](auto L) { sites_l<decltype(L)::value>(p, begin, end, value, radial, angular, w); });
}

template <class R>
void sites_backward(const SiteProblem<R>& p, int64_t begin, int64_t end, const R* g_value, const R* g_radial,
                    const R* g_angular, R* radial, R* angular, const TrainedNetGradient<R>& derivative_net,
                    const TrainedNetGradient<R>& value_net, void* memory) {
  SiteScratch<R> w;
  assign_memory(p, static_cast<char*>(memory), w);
  const int64_t net = int64_t(p.neurons) * p.dim, both = 2 * (net + 2 * p.neurons);
  for (int64_t i = 0; i < both; i++) w.w0[0][i] = Vec<R>{};  // the sums of both networks are contiguous
  with_l(p.l_max, [&](auto L) {
    sites_backward_l<decltype(L)::value>(p, begin, end, g_value, g_radial, g_angular, radial, angular, w);
  });
  const TrainedNetGradient<R> to[2] = {derivative_net, value_net};
  for (int i = 0; i < (p.value_net.w0 == p.derivative_net.w0 ? 1 : 2); i++) {
    add_lanes(w.w0[i], net, to[i].w0);
    add_lanes(w.b0[i], p.neurons, to[i].b0);
    add_lanes(w.w1[i], p.neurons, to[i].w1);
  }
}

template <class R>
void features(const FeatureProblem<R>& p, int64_t begin, int64_t end, R* plain, R* changes, R* memory) {
  with_l(p.l_max, [&](auto L) { features_l<decltype(L)::value>(p, begin, end, plain, changes, memory); });
}

extern const TrainingKernel<TNEP_REAL> TNEP_KERNEL;
const TrainingKernel<TNEP_REAL> TNEP_KERNEL = {kLanes<TNEP_REAL>,
                                               &site_workspace_bytes<TNEP_REAL>,
                                               &sites<TNEP_REAL>,
                                               &sites_backward<TNEP_REAL>,
                                               &project<TNEP_REAL>,
                                               &project_backward<TNEP_REAL>,
                                               &along<TNEP_REAL>,
                                               &along_backward<TNEP_REAL>,
                                               &features<TNEP_REAL>,
                                               &pairs<TNEP_REAL>,
                                               &pair_workspace_bytes<TNEP_REAL>};

TNEP_END
