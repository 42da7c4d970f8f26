// Choice of the instruction set.
#include "core/common/choice.h"

#include <cstdlib>

#include "core/common/macros.h"

namespace tnep {
namespace {

bool supported(const std::string& name) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (name == "avx2") return avx2;
  if (name == "avx512")
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
  return name == "generic";
}

}  // namespace

const char* instruction_set() {
#define TNEP_ENTRY(set) #set,
  static const char* const all[] = {TNEP_SETS(TNEP_ENTRY)};
  const char* wanted = std::getenv("TNEP_SIMD");
  const char* best = nullptr;
  for (const char* name : all) {
    if (wanted && *wanted && std::string(wanted) != name) continue;
    if (supported(name)) best = name;
  }
  if (!best)
    throw std::invalid_argument(std::string("TNEP_SIMD must name an instruction set of this processor (generic, avx2 "
                                            "or avx512), got '") +
                                wanted + "'");
  return best;
}

}  // namespace tnep
