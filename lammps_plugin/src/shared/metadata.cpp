// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/metadata.h"

#include "json.h"

#include <algorithm>
#include <stdexcept>

using namespace LAMMPS_NS;

static constexpr int FILE_FORMAT = 1;

static void expect(const std::string& name, const std::string& found, const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), found) == known.end())
    throw std::runtime_error("its " + name + " is '" + found + "', but this plugin knows only " + tnep_join(known) +
                             ": update tnep_calc");
}

static TnepTrainingRange parse_range(const json& data, const std::vector<std::string>& species) {
  TnepTrainingRange out;
  const auto table = data.find("training_range");
  if (table == data.end() || table->is_null()) return out;
  if (table->at("powers").get<std::vector<int>>() != std::vector<int>{2, 4, 8}) return out;  // of a later version
  const size_t types = species.size(), row = types * TnepTrainingRange::NUMBERS;
  out.known.assign(types, 0);
  out.low.assign(types * row, 0.0);
  out.high.assign(types * row, 0.0);
  for (size_t a = 0; a < types; a++) {
    if (!table->at("low").contains(species[a])) continue;
    out.known[a] = 1;
    for (const bool upper : {false, true}) {
      const auto rows = table->at(upper ? "high" : "low").at(species[a]).get<std::vector<std::vector<double>>>();
      auto* to = &(upper ? out.high : out.low)[a * row];
      if (rows.size() != types) throw std::runtime_error("its training_range has another number of species");
      for (const auto& numbers : rows) {
        if (numbers.size() != TnepTrainingRange::NUMBERS)
          throw std::runtime_error("its training_range has rows of another length");
        to = std::copy(numbers.begin(), numbers.end(), to);
      }
    }
  }
  out.cutoff = table->at("cutoff").get<double>();
  return out;
}

TnepMetadata TnepMetadata::parse(const std::string& text) {
  TnepMetadata out;
  try {
    const auto data = json::parse(text);
    out.package_version = data.at("package_version").get<std::string>();
    const int format = data.at("format").get<int>();
    if (format != FILE_FORMAT)
      throw std::runtime_error("file format " + std::to_string(format) + ", written by tnep_calc " +
                               out.package_version + ", but this plugin reads format " + std::to_string(FILE_FORMAT) +
                               ": use the same tnep_calc for both, or export the model again");
    out.torch_version = data.at("torch_version").get<std::string>();
    out.family = data.at("family").get<std::string>();
    out.kind = data.at("kind").get<std::string>();
    out.dtype = data.at("dtype").get<std::string>();
    out.weights = data.value("weights", out.dtype);  // files of earlier versions do not state it
    for (const auto& type : {out.dtype, out.weights}) expect("precision", type, {"float64", "float32"});
    out.quantities = data.at("quantities").get<std::vector<std::string>>();
    out.species = data.at("species").get<std::vector<std::string>>();
    out.cutoff = data.at("cutoff").get<double>();
    out.range = parse_range(data, out.species);
    const auto& units = data.at("units");
    expect("unit of length", units.at("length").get<std::string>(), {"A"});
    expect("unit of energy", units.at("energy").get<std::string>(), {"eV"});
    expect("unit of the dipole", units.at("dipole").get<std::string>(), {"e*A"});
    out.polarizability_unit = units.at("polarizability").get<std::string>();
    expect("unit of the polarizability", out.polarizability_unit, {"e*A^2/V", "N*chi"});
  } catch (const json::exception& e) {
    throw std::runtime_error(std::string("its tnep_calc.json cannot be read (") + e.what() +
                             "): export the model again");
  }
  if (!(out.cutoff > 0.0) || out.species.empty())
    throw std::runtime_error("its tnep_calc.json has no species or no positive cutoff: export the model again");
  return out;
}

bool TnepMetadata::gives(const std::string& quantity) const {
  return std::find(quantities.begin(), quantities.end(), quantity) != quantities.end();
}

std::string LAMMPS_NS::tnep_join(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}
