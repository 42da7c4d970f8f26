// The library of operators: their definitions, from tnep_calc/ops/schemas.inc, and what the loader asks for.
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

// Load the CUDA kernels where they were built and the libraries of CUDA are; without them models run on plain torch
// there.
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

// For the loader in tnep_calc/ops: the torch this was built for (read from the file before it is loaded), and
// the instruction set in use (empty if TNEP_SIMD asks for what the processor lacks).
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
