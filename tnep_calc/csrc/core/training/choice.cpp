// The training kernels of the chosen instruction set.
#include "core/common/choice.h"
#include "core/common/macros.h"
#include "core/training/api.h"

namespace tnep {

#define TNEP_DECLARE(set)                                     \
  namespace set {                                             \
  extern const TrainingKernel<float> training_kernel_float;   \
  extern const TrainingKernel<double> training_kernel_double; \
  }
TNEP_SETS(TNEP_DECLARE)

#define TNEP_FLOAT(set) {#set, &set::training_kernel_float},
#define TNEP_DOUBLE(set) {#set, &set::training_kernel_double},
template <>
const TrainingKernel<float>& training_kernel<float>() {
  return *chosen<const TrainingKernel<float>*>({TNEP_SETS(TNEP_FLOAT)});
}
template <>
const TrainingKernel<double>& training_kernel<double>() {
  return *chosen<const TrainingKernel<double>*>({TNEP_SETS(TNEP_DOUBLE)});
}

}  // namespace tnep
