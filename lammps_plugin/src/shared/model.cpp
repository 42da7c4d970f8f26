// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/model.h"

#include "shared/archive_check.h"
#include "shared/precision.h"
#include "shared/staging.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <unordered_map>

using namespace LAMMPS_NS;

static constexpr char METADATA_FILE[] = "tnep_calc.json", SIMULATED[] = "TNEP_SIMULATED_GPUS";

struct TnepModel::Impl {
  at::Device device = at::kCPU;
  std::unique_ptr<TnepStaging> staging;  // null on the CPU
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
  const bool simulated = std::getenv(SIMULATED) != nullptr;
  if (gpu >= 0 && !simulated) impl->device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu));
  if (gpu >= 0) impl->staging = std::make_unique<TnepStaging>(impl->device, /*pinned=*/!simulated);
  const c10::DeviceGuard guard(impl->device);
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

bool TnepModel::on_gpu() const { return impl->staging != nullptr; }

TnepTransfers TnepModel::transfers() const { return impl->staging ? impl->staging->transfers() : TnepTransfers{}; }

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
    const c10::DeviceGuard guard(impl->device);
    c10::List<std::string> names;
    for (const auto& name : quantities) names.push_back(name);
    TnepStaging::Inputs in;
    at::Tensor neighbors, vectors;
    if (impl->staging && graph.positions) {
      in = impl->staging->inputs(graph, field);
    } else {
      const auto integers = [&](int64_t* data, int64_t size) {
        return at::from_blob(data, {size}, at::kLong).to(impl->device);  // no copy on the CPU
      };
      const auto numbers = [&](const double* data, at::IntArrayRef shape) {
        return at::from_blob(const_cast<double*>(data), shape, at::kDouble).to(impl->device);
      };
      in.species = integers(graph.species, graph.n_atoms);
      in.centers = integers(graph.centers, graph.n_centers);
      in.offsets = integers(graph.offsets, graph.n_centers + 1);
      if (graph.positions) {
        in.list = at::from_blob(graph.list, {graph.n_edges}, at::kInt);
        in.positions = numbers(graph.positions, {graph.n_atoms, 3});
      } else {
        neighbors = integers(graph.neighbors, graph.n_edges);
        vectors = numbers(graph.vectors, {graph.n_edges, 3});
      }
      if (field.values)
        in.field = field.stride ? numbers(field.values, {graph.n_centers, 3}) : numbers(field.values, {3});
    }
    const bool direct = graph.positions && takes_positions(quantities, field.values != nullptr);
    if (graph.positions && !direct) std::tie(neighbors, vectors) = impl->staging->edges();
    const c10::IValue field_value = in.field.defined() ? c10::IValue(in.field) : c10::IValue();
    c10::IValue output;
    if (direct) {
      std::vector<c10::IValue> arguments{in.species, in.centers, in.offsets, in.list, in.positions, names};
      if (field.values) arguments.push_back(field_value);
      output = impl->module.get_method("from_positions")(arguments);
    } else {
      output = impl->module.forward({in.species, in.centers, in.offsets, neighbors, vectors, names, field_value});
    }
    const auto table = output.toGenericDict();
    std::vector<at::Tensor> found;
    for (const auto& name : quantities) {
      const auto one = table.find(name);
      if (one == table.end()) throw std::runtime_error("the model did not return '" + name + "'");
      found.push_back(one->value().toTensor().detach());
    }
    if (impl->staging) found = impl->staging->results(found);
    for (size_t k = 0; k < quantities.size(); k++) impl->results[quantities[k]] = found[k].to(at::kDouble).contiguous();
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
  if (const char* simulated = std::getenv(SIMULATED)) return std::atoi(simulated);
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
