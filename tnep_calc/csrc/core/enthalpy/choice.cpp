// The electric-enthalpy kernels of the chosen instruction set.
#include "core/common/choice.h"

#include "core/common/macros.h"
#include "core/enthalpy/api.h"

namespace tnep {

#define TNEP_DECLARE(set)                                     \
  namespace set {                                             \
  extern const EnthalpyKernel<float> enthalpy_kernel_float;   \
  extern const EnthalpyKernel<double> enthalpy_kernel_double; \
  }
TNEP_SETS(TNEP_DECLARE)

#define TNEP_FLOAT(set) {#set, &set::enthalpy_kernel_float},
#define TNEP_DOUBLE(set) {#set, &set::enthalpy_kernel_double},
template <>
const EnthalpyKernel<float>& enthalpy_kernel<float>() {
  return *chosen<const EnthalpyKernel<float>*>({TNEP_SETS(TNEP_FLOAT)});
}
template <>
const EnthalpyKernel<double>& enthalpy_kernel<double>() {
  return *chosen<const EnthalpyKernel<double>*>({TNEP_SETS(TNEP_DOUBLE)});
}

}  // namespace tnep
