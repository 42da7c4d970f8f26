// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/model.h"

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/script.h>
#include <torch/version.h>

#include <ATen/Parallel.h>
#include <ATen/Version.h>

#include <sstream>
#include <stdexcept>
#include <unordered_map>

using namespace LAMMPS_NS;

static constexpr char METADATA_FILE[] = "tnep_calc.json";

struct TnepModel::Impl {
  torch::jit::Module module;
  std::unordered_map<std::string, at::Tensor> results;
};

static std::string first_line(const std::string &text)
{
  return text.substr(0, text.find('\n'));
}

// The interpreter puts a traceback of the script before the message.
static std::string last_line(std::string text)
{
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const auto at = text.rfind('\n');
  return at == std::string::npos ? text : text.substr(at + 1);
}

// Run `action` and turn the exceptions of torch into std::runtime_error with one line of text.
template <typename Action> static void guarded(const Action &action)
{
  try {
    action();
  } catch (const torch::jit::JITException &e) {
    throw std::runtime_error(last_line(e.what()));
  } catch (const c10::Error &e) {
    throw std::runtime_error(first_line(e.what_without_backtrace()));
  }
}

TnepModel::TnepModel(const std::string &content, int threads) : impl(std::make_unique<Impl>())
{
  if (content.compare(0, 3, "nep") == 0)
    throw std::runtime_error("this is a nep.txt: turn it into an artifact with 'tnep export'");
  if (content.compare(0, 2, "PK") != 0)
    throw std::runtime_error("not an artifact (expected a TorchScript archive written by 'tnep export')");

  at::set_num_threads(threads);
  torch::jit::ExtraFilesMap extra{{METADATA_FILE, ""}};
  std::string failure;
  try {
    guarded([&] {
      std::istringstream stream(content);
      impl->module = torch::jit::load(stream, std::nullopt, extra);
    });
  } catch (const std::runtime_error &e) {
    failure = e.what();
  }
  const std::string &text = extra[METADATA_FILE];
  if (!failure.empty() && text.empty())
    throw std::runtime_error("truncated, damaged or not an artifact (" + failure + "): copy or export it again");
  if (text.empty())
    throw std::runtime_error(std::string("an archive without ") + METADATA_FILE +
                             ", so not written by tnep_calc: use 'tnep export' on the nep.txt");
  meta = TnepMetadata::parse(text);
  if (!failure.empty())
    throw std::runtime_error("written with torch " + meta.torch_version + ", cannot be loaded by torch " +
                             torch_running() + " (" + failure + "): export the model again with this torch");
  impl->module.eval();
}

TnepModel::~TnepModel() = default;

bool TnepModel::takes_positions() const
{
  return impl->module.find_method("from_positions").has_value();
}

void TnepModel::forget()
{
  impl->results.clear();
}

int64_t TnepModel::size(const std::string &quantity) const
{
  return impl->results.at(quantity).numel();
}

bool TnepModel::has(const std::string &quantity) const
{
  return impl->results.count(quantity) > 0;
}

void TnepModel::evaluate(const TnepGraph &graph, const std::vector<std::string> &quantities,
                         const TnepFieldView &field)
{
  impl->results.clear();
  guarded([&] {
    // Gradients are taken inside the model; without the profiling executor no calls are slow for the sake of warm-up.
    const at::AutoGradMode grad(true);
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    const auto integers = [](int64_t *data, int64_t size) { return torch::from_blob(data, {size}, at::kLong); };

    c10::List<std::string> names;
    for (const auto &name : quantities) names.push_back(name);
    const auto species = integers(graph.species, graph.n_atoms), centers = integers(graph.centers, graph.n_centers),
               offsets = integers(graph.offsets, graph.n_centers + 1);
    c10::IValue output, field_value;
    if (field.values) {
      auto *data = const_cast<double *>(field.values);
      field_value = field.stride ? torch::from_blob(data, {graph.n_centers, 3}, at::kDouble)
                                 : torch::from_blob(data, {3}, at::kDouble);
    }
    if (!graph.positions)
      output = impl->module.forward({species, centers, offsets, integers(graph.neighbors, graph.n_edges),
                                     torch::from_blob(graph.vectors, {graph.n_edges, 3}, at::kDouble), names,
                                     field_value});
    else
      output = impl->module.get_method("from_positions")(
          {species, centers, offsets, torch::from_blob(graph.list, {graph.n_edges}, at::kInt),
           torch::from_blob(graph.positions, {graph.n_atoms, 3}, at::kDouble), names});
    const auto table = output.toGenericDict();
    for (const auto &name : quantities) {
      const auto found = table.find(name);
      if (found == table.end()) throw std::runtime_error("the model did not return '" + name + "'");
      impl->results[name] = found->value().toTensor().detach().to(at::kCPU, at::kDouble).contiguous();
    }
  });
}

const double *TnepModel::result(const std::string &quantity, int64_t size) const
{
  const auto found = impl->results.find(quantity);
  if (found == impl->results.end()) throw std::runtime_error("'" + quantity + "' was not asked for");
  if (found->second.numel() != size)
    throw std::runtime_error("the model returned " + std::to_string(found->second.numel()) + " numbers of '" +
                             quantity + "', expected " + std::to_string(size));
  return found->second.const_data_ptr<double>();
}

std::string TnepModel::torch_compiled()
{
  return TORCH_VERSION;
}

std::string TnepModel::torch_running()
{
  static const std::string key = "TORCH_VERSION=";
  const std::string text = at::show_config();
  const auto at = text.find(key);
  if (at == std::string::npos) return "unknown";
  const auto begin = at + key.size();
  return text.substr(begin, text.find_first_of(", \n", begin) - begin);
}
