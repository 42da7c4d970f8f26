// The NEP kernels of the chosen instruction set.
#include "core/common/choice.h"
#include "core/common/macros.h"
#include "core/nep/api.h"

namespace tnep {

#define TNEP_DECLARE(set)                    \
  namespace set {                            \
  extern const Kernel<float> kernel_float;   \
  extern const Kernel<double> kernel_double; \
  }
TNEP_SETS(TNEP_DECLARE)
#if defined(__x86_64__)
// AVX-512 instructions on vectors of 32 bytes.
namespace avx512_short {
extern const Kernel<float> kernel_float;
}
#endif

#define TNEP_FLOAT(set) {#set, &set::kernel_float},
#define TNEP_DOUBLE(set) {#set, &set::kernel_double},
// Each species of neighbours fills separate vectors, the last of them only in part.  Short vectors waste less.
template <>
const Kernel<float>& kernel<float>(double edges_per_species) {
  const auto* best = chosen<const Kernel<float>*>({TNEP_SETS(TNEP_FLOAT)});
#if defined(__x86_64__)
  if (best == &avx512::kernel_float && edges_per_species < 24) return avx512_short::kernel_float;
#endif
  return *best;
}
template <>
const Kernel<double>& kernel<double>(double) {
  return *chosen<const Kernel<double>*>({TNEP_SETS(TNEP_DOUBLE)});
}

}  // namespace tnep
