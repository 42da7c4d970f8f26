// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/model.h"

#include "shared/archive_check.h"
#include "shared/precision.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <stdexcept>
#include <unordered_map>

using namespace LAMMPS_NS;

static constexpr char METADATA_FILE[] = "tnep_calc.json";

struct TnepModel::Impl {
  at::Device device = at::kCPU;
  torch::jit::Module module;
  bool positions = false, field_positions = false;  // whether from_positions exists, and takes a field
  std::set<std::string> direct;                     // quantities that it computes without edge vectors; empty: all
  std::unordered_map<std::string, at::Tensor> results;
};

static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// The TorchScript interpreter puts a traceback before the message, which is the last line.
static std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const auto at = text.rfind('\n');
  return at == std::string::npos ? text : text.substr(at + 1);
}

// Run `action` and convert torch exceptions to std::runtime_error with a one-line message.
template <typename Action>
static void guarded(const Action& action) {
  try {
    action();
  } catch (const torch::jit::JITException& e) {
    throw std::runtime_error(last_line(e.what()));
  } catch (const c10::Error& e) {
    throw std::runtime_error(first_line(e.what_without_backtrace()));
  }
}

TnepModel::TnepModel(const std::string& content, const std::string& dtype, int threads, int gpu)
    : impl(std::make_unique<Impl>()) {
  if (content.compare(0, 3, "nep") == 0)
    throw std::runtime_error("this is a nep.txt: turn it into an artifact with 'tnep export'");
  if (content.compare(0, 2, "PK") != 0)
    throw std::runtime_error("not an artifact (expected a TorchScript archive written by 'tnep export')");

  at::set_num_threads(threads);
  if (gpu >= 0) impl->device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu));
  torch::jit::ExtraFilesMap extra{{METADATA_FILE, ""}};
  std::string failure;
  try {
    guarded([&] {
      tnep_check_archive(content);
      std::istringstream stream(content);
      impl->module = torch::jit::load(stream, impl->device, extra);
    });
  } catch (const std::runtime_error& e) {
    failure = e.what();
  }
  const std::string& text = extra[METADATA_FILE];
  if (!failure.empty() && text.empty())
    throw std::runtime_error("truncated, damaged or not an artifact (" + failure + "): copy or export it again");
  if (text.empty())
    throw std::runtime_error(std::string("an archive without ") + METADATA_FILE +
                             ", so not written by tnep_calc: use 'tnep export' on the nep.txt");
  meta = TnepMetadata::parse(text);
  if (!failure.empty())
    throw std::runtime_error("written with torch " + meta.torch_version + ", cannot be loaded by torch " +
                             torch_running() + " (" + failure + "): export the model again with this torch");
  if (!dtype.empty()) meta.dtype = dtype;
  if (meta.dtype != meta.weights) guarded([&] { tnep_cast(impl->module, meta.dtype, meta.family); });
  impl->module.eval();
  const auto method = impl->module.find_method("from_positions");
  if (!method) return;
  impl->positions = true;
  impl->field_positions = method->function().getSchema().argumentIndexWithName("field").has_value();
  if (!impl->module.hasattr("direct")) return;
  for (const auto& name : impl->module.attr("direct").toListRef()) impl->direct.insert(name.toStringRef());
}

TnepModel::~TnepModel() = default;

bool TnepModel::takes_positions(const std::vector<std::string>& quantities, bool with_field) const {
  if (with_field ? !impl->field_positions : !impl->positions) return false;
  return impl->direct.empty() || std::all_of(quantities.begin(), quantities.end(),
                                             [&](const std::string& name) { return impl->direct.count(name) > 0; });
}

void TnepModel::forget() { impl->results.clear(); }

int64_t TnepModel::size(const std::string& quantity) const { return impl->results.at(quantity).numel(); }

bool TnepModel::has(const std::string& quantity) const { return impl->results.count(quantity) > 0; }

void TnepModel::evaluate(const TnepGraph& graph, const std::vector<std::string>& quantities,
                         const TnepFieldView& field) {
  impl->results.clear();
  guarded([&] {
    // Models take gradients inside forward(), so grad mode must be on.  The profiling executor is switched off because
    // it would make the first calls slow.
    const c10::AutoGradMode grad(true);
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    const auto here = [&](const at::Tensor& tensor) { return tensor.to(impl->device); };  // no copy on the CPU
    const auto integers = [&](int64_t* data, int64_t size) { return here(at::from_blob(data, {size}, at::kLong)); };

    c10::List<std::string> names;
    for (const auto& name : quantities) names.push_back(name);
    const auto species = integers(graph.species, graph.n_atoms), centers = integers(graph.centers, graph.n_centers),
               offsets = integers(graph.offsets, graph.n_centers + 1);
    c10::IValue output, field_value;
    if (field.values) {
      auto* data = const_cast<double*>(field.values);
      field_value = here(field.stride ? at::from_blob(data, {graph.n_centers, 3}, at::kDouble)
                                      : at::from_blob(data, {3}, at::kDouble));
    }
    if (!graph.positions)
      output = impl->module.forward({species, centers, offsets, integers(graph.neighbors, graph.n_edges),
                                     here(at::from_blob(graph.vectors, {graph.n_edges, 3}, at::kDouble)), names,
                                     field_value});
    else {
      std::vector<c10::IValue> arguments{species,
                                         centers,
                                         offsets,
                                         here(at::from_blob(graph.list, {graph.n_edges}, at::kInt)),
                                         here(at::from_blob(graph.positions, {graph.n_atoms, 3}, at::kDouble)),
                                         names};
      if (field.values) arguments.push_back(field_value);
      output = impl->module.get_method("from_positions")(arguments);
    }
    const auto table = output.toGenericDict();
    for (const auto& name : quantities) {
      const auto found = table.find(name);
      if (found == table.end()) throw std::runtime_error("the model did not return '" + name + "'");
      impl->results[name] = found->value().toTensor().detach().to(at::kCPU, at::kDouble).contiguous();
    }
  });
}

const double* TnepModel::result(const std::string& quantity, int64_t size) const {
  const auto found = impl->results.find(quantity);
  if (found == impl->results.end()) throw std::runtime_error("'" + quantity + "' was not requested");
  if (found->second.numel() != size)
    throw std::runtime_error("the model returned " + std::to_string(found->second.numel()) + " numbers of '" +
                             quantity + "', expected " + std::to_string(size));
  return found->second.const_data_ptr<double>();
}

int TnepModel::cuda_devices() {
  return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
}

std::string TnepModel::torch_compiled() { return TORCH_VERSION; }

std::string TnepModel::torch_running() {
  static const std::string key = "TORCH_VERSION=";
  const std::string text = at::show_config();
  const auto at = text.find(key);
  if (at == std::string::npos) return "unknown";
  const auto begin = at + key.size();
  return text.substr(begin, text.find_first_of(", \n", begin) - begin);
}
