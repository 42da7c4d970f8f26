// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/precision.h"

#include <torch/csrc/jit/api/module.h>

#include <set>

using namespace LAMMPS_NS;

void LAMMPS_NS::tnep_cast(torch::jit::Module& module, const std::string& dtype, const std::string& family) {
  const auto type = dtype == "float32" ? at::kFloat : at::kDouble;
  std::set<std::string> kept;
  if (module.hasattr("always_double"))
    for (const auto& name : module.attr("always_double").toListRef()) kept.insert(name.toStringRef());
  else if (family == "enthalpy") kept = {"constants", "plain.site", "plain.zbl.table"};

  const auto cast = [&](const std::string& name, at::Tensor tensor) {
    if (tensor.is_floating_point() && kept.count(name) == 0) tensor.set_data(tensor.to(type));
  };
  for (const auto& item : module.named_parameters()) cast(item.name, item.value);
  for (const auto& item : module.named_buffers()) cast(item.name, item.value);
  for (auto part : module.modules())
    if (part.hasattr("dtype") && part.attr("dtype").isInt()) part.setattr("dtype", static_cast<int64_t>(type));
}
