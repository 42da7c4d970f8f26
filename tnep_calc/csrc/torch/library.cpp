// The library of operators: their definitions from tnep_calc/ops/schemas.inc, and functions for the loader.
#include <dlfcn.h>
#include <torch/library.h>
#include <torch/version.h>

#include <sstream>
#include <string>

#include "core/common/choice.h"

#define TNEP_TEXT(x) #x
#define TNEP_STRING(x) TNEP_TEXT(x)
#define TNEP_TORCH_VERSION \
  TNEP_STRING(TORCH_VERSION_MAJOR) "." TNEP_STRING(TORCH_VERSION_MINOR) "." TNEP_STRING(TORCH_VERSION_PATCH)

namespace tnep {
namespace {

using at::Tensor;

bool native_available(const Tensor& params) { return params.device().is_cpu(); }

// Load the CUDA kernels, if they were built and the CUDA libraries are available.  Otherwise models on a GPU run on
// plain torch.
bool load_cuda() {
  Dl_info own;
  if (!dladdr(reinterpret_cast<void*>(&native_available), &own) || !own.dli_fname) return false;
  const std::string path = own.dli_fname;
  return dlopen((path.substr(0, path.rfind('/') + 1) + "libtnep_cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr;
}

bool nep_available(const Tensor& params) {
  if (!params.device().is_cuda()) return params.device().is_cpu();
  static const bool loaded = load_cuda();
  return loaded;
}

void define(torch::Library& m) {
  std::istringstream lines(
#include "../../ops/schemas.inc"
  );
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && line[0] != '#') m.def(torch::schema(line.c_str()), {at::Tag::pt2_compliant_tag});
}

}  // namespace
}  // namespace tnep

TORCH_LIBRARY(tnep, m) {
  tnep::define(m);
  m.impl("native_available", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, &tnep::native_available));
  m.impl("nep_available", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, &tnep::nep_available));
}

// For the loader in tnep_calc/ops: the torch version that this library was built for, which is read from the file
// before it is loaded, and the instruction set in use (empty if the processor lacks the one that TNEP_SIMD asks for).
extern "C" {
__attribute__((used)) static const char tnep_torch_version[] = "tnep built for torch " TNEP_TORCH_VERSION;

__attribute__((visibility("default"))) const char* tnep_instruction_set() {
  try {
    return tnep::instruction_set();
  } catch (const std::exception&) {
    return "";
  }
}
}
