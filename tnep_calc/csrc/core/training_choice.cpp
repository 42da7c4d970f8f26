// The training kernels of the chosen instruction set.
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels.h"
#include "macros.h"
#include "training.h"

namespace tnep {

#define TNEP_DECLARE(set)                                     \
  namespace set {                                             \
  extern const TrainingKernel<float> training_kernel_float;   \
  extern const TrainingKernel<double> training_kernel_double; \
  }
TNEP_SETS(TNEP_DECLARE)

namespace {

struct Choice {
  const char* name;
  const TrainingKernel<float>* single;
  const TrainingKernel<double>* twofold;
};

const Choice& choose() {
#define TNEP_ENTRY(set) {#set, &set::training_kernel_float, &set::training_kernel_double},
  static const Choice all[] = {TNEP_SETS(TNEP_ENTRY)};
  const char* name = instruction_set();
  for (const Choice& choice : all)
    if (std::strcmp(choice.name, name) == 0) return choice;
  throw std::invalid_argument(std::string("no training kernels for the instruction set ") + name);
}

}  // namespace

template <>
const TrainingKernel<float>& training_kernel<float>() { return *choose().single; }
template <>
const TrainingKernel<double>& training_kernel<double>() { return *choose().twofold; }

}  // namespace tnep
