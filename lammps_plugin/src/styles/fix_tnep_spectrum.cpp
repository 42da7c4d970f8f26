// SPDX-License-Identifier: GPL-2.0-or-later

#include "styles/fix_tnep_spectrum.h"

#include "comm.h"
#include "compute.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "json.h"
#include "modify.h"
#include "update.h"
#include "utils.h"

#include "shared/units.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <stdexcept>

using namespace LAMMPS_NS;
using namespace FixConst;

static constexpr double INV_CM_TO_RAD_PER_FS = 6.283185307179586476925 * 2.99792458e-5;
static constexpr double WINDOW_LENGTH = 5.0;  // of the Gaussian lag window, in standard deviations
static constexpr int DEFAULT_BLOCKS = 32;
static constexpr bigint DEFAULT_FLUSH = 10000;  // samples
static constexpr int FILE_FORMAT = 1;
static constexpr size_t COUNTERS = 10;  // numbers of state() before the correlations
static constexpr char USAGE[] =
    "fix ID all tnep/spectrum N file NAME dipole|current c_ID [polarizability c_ID] [resolution R] [temperature T] "
    "[flush steps] [blocks N]";

FixTnepSpectrum::FixTnepSpectrum(LAMMPS* lmp, int narg, char** arg)
    : Fix(lmp, narg, arg),
      file(lmp, "Fix tnep/spectrum"),
      resolution(10.0),
      temperature(0.0),
      max_blocks(DEFAULT_BLOCKS),
      lags(0),
      flush_every(0),
      interval(0.0),
      first(-1),
      last(-1),
      samples(0.0),
      sum_temperature(0.0),
      sum_volume(0.0),
      sum_volume_squared(0.0),
      first_volume(0.0) {
  read_options(narg, arg);
  if (igroup != 0) error->all(FLERR, "Fix tnep/spectrum: use group all here; the computes have groups of their own");
  scalar_flag = global_freq = 1;
  extscalar = 0;
  restart_global = 1;
  const bigint next = (update->ntimestep + nevery - 1) / nevery * nevery;
  modify->addstep_compute_all(next);
}

void FixTnepSpectrum::read_options(int narg, char** arg) {
  if (narg < 4) error->all(FLERR, "Fix tnep/spectrum: expected '{}'", USAGE);
  nevery = utils::inumeric(FLERR, arg[3], false, lmp);
  if (nevery < 1)
    error->all(FLERR, "Fix tnep/spectrum: the interval must be a positive number of steps, got {}", nevery);
  for (int k = 4; k < narg; k += 2) {
    const std::string word = arg[k];
    if (k + 1 >= narg) error->all(FLERR, "Fix tnep/spectrum: '{}' has no value; expected '{}'", word, USAGE);
    const std::string value = arg[k + 1];
    if (word == "dipole" || word == "current" || word == "polarizability") {
      if (!utils::strmatch(value, "^c_"))
        error->all(FLERR, "Fix tnep/spectrum: expected '{} c_ID' with a compute, got '{}'", word, value);
      for (const auto& other : quantities)
        if (other.name == word) error->all(FLERR, "Fix tnep/spectrum: {} is given twice", word);
      const char* unit = word == "dipole" ? "e*A" : word == "current" ? "e*A/fs" : "e*A^2/V";
      quantities.push_back({word, value.substr(2), unit, word == "polarizability" ? 6 : 3, 1.0, nullptr});
    } else if (word == "file") {
      file.path = value;
    } else if (word == "resolution") {
      resolution = utils::numeric(FLERR, value, false, lmp);
      if (!(resolution > 0.0)) error->all(FLERR, "Fix tnep/spectrum: the resolution must be positive, got {}", value);
    } else if (word == "temperature") {
      temperature = utils::numeric(FLERR, value, false, lmp);
      if (!(temperature > 0.0)) error->all(FLERR, "Fix tnep/spectrum: the temperature must be positive, got {}", value);
    } else if (word == "flush") {
      flush_every = utils::bnumeric(FLERR, value, false, lmp);
      if (flush_every < 1)
        error->all(FLERR, "Fix tnep/spectrum: flush needs a positive number of steps, got {}", value);
    } else if (word == "blocks") {
      max_blocks = utils::inumeric(FLERR, value, false, lmp);
      if (max_blocks < 4 || max_blocks % 2)
        error->all(FLERR, "Fix tnep/spectrum: blocks must be an even number of at least 4, got {}", value);
    } else error->all(FLERR, "Fix tnep/spectrum: unknown keyword '{}'; expected '{}'", word, USAGE);
  }
  if (quantities.empty() || file.path.empty())
    error->all(FLERR, "Fix tnep/spectrum: a file and a dipole, current or polarizability are needed: '{}'", USAGE);
  if (flush_every == 0) flush_every = DEFAULT_FLUSH * nevery;
}

int FixTnepSpectrum::setmask() { return END_OF_STEP | POST_RUN; }

void FixTnepSpectrum::init() {
  for (const auto& quantity : quantities) {
    const Compute* compute = modify->get_compute_by_id(quantity.compute);
    if (!compute) error->all(FLERR, "Fix tnep/spectrum: there is no compute '{}'", quantity.compute);
    if (!compute->vector_flag || compute->size_vector != quantity.components)
      error->all(FLERR, "Fix tnep/spectrum: {} needs a compute with a global vector of {} numbers, not c_{} ({})",
                 quantity.name, quantity.components, quantity.compute, compute->style);
  }
  if (temperature == 0.0 && !modify->get_compute_by_id("thermo_temp"))
    error->all(FLERR, "Fix tnep/spectrum: there is no compute thermo_temp: add 'temperature T' (in K)");
  if (domain->nonperiodic || domain->dimension != 3)
    error->all(FLERR, "Fix tnep/spectrum: spectra need a volume, hence boundary p p p in three dimensions");
  find_units();
  if (lags == 0) {
    interval = nevery * update->dt / force->femtosecond;
    const double width = resolution * INV_CM_TO_RAD_PER_FS;
    const double count = ceil(WINDOW_LENGTH * sqrt(8.0 * log(2.0)) / width / interval) + 1.0;
    if (!(count < INT_MAX / 64))
      error->all(FLERR, "Fix tnep/spectrum: a resolution of {} 1/cm needs {:.3g} lags; use a coarser one", resolution,
                 count);
    lags = std::max(3, static_cast<int>(count));
    start_correlators();
  }
  check_interval();
  file.claim();
}

void FixTnepSpectrum::check_interval() const {
  const double now = nevery * update->dt / force->femtosecond;
  if (std::fabs(now - interval) > 1e-9 * interval)
    error->all(FLERR,
               "Fix tnep/spectrum: samples must be equally spaced, but the interval changes from {} to {} fs: use "
               "another fix for the other timestep",
               interval, now);
}

void FixTnepSpectrum::find_units() {
  TnepUnits u;
  if (!tnep_units(update->unit_style, u))
    error->all(FLERR,
               "Fix tnep/spectrum: units {} cannot be converted; use metal, real, electron, si, cgs, micro or nano",
               update->unit_style);
  for (auto& quantity : quantities) {
    quantity.factor = 1.0 / (u.charge * u.length);
    if (quantity.name == "current") quantity.factor *= force->femtosecond;
    if (quantity.name == "polarizability") quantity.factor *= u.potential / u.length;
  }
}

void FixTnepSpectrum::start_correlators() {
  std::string failure;
  if (comm->me == 0) {
    double bytes = 0.0;
    for (auto& quantity : quantities) {
      quantity.correlator = std::make_unique<TnepCorrelator>(quantity.components, lags, max_blocks);
      bytes += quantity.correlator->memory();
    }
    utils::logmesg(lmp, "Fix tnep/spectrum: {} lags of {:.6g} fs, {:.3g} MB at most\n", lags, interval, bytes / 1e6);
    try {
      if (!restored.empty()) restore();
    } catch (const std::exception& e) {
      failure = e.what();
    }
  }
  restored.clear();
  if (!failure.empty()) error->one(FLERR, "Fix tnep/spectrum: restart file: {}", failure);
}

void FixTnepSpectrum::setup(int /*vflag*/) {
  if (update->ntimestep % nevery == 0 && update->ntimestep != last) sample();
}

void FixTnepSpectrum::end_of_step() {
  if (update->whichflag != 1) return;
  sample();
  if (update->ntimestep % flush_every == 0) flush();
}

void FixTnepSpectrum::post_run() {
  if (update->whichflag == 1 && samples > 0.0) flush();
}

void FixTnepSpectrum::sample() {
  check_interval();
  modify->clearstep_compute();
  const bool starts = last < 0 || update->ntimestep != last + nevery;
  std::vector<double> values;
  for (auto& quantity : quantities) {
    Compute* compute = modify->get_compute_by_id(quantity.compute);
    if (!(compute->invoked_flag & Compute::INVOKED_VECTOR)) {
      compute->compute_vector();
      compute->invoked_flag |= Compute::INVOKED_VECTOR;
    }
    values.assign(compute->vector, compute->vector + quantity.components);
    for (double& value : values) {
      value *= quantity.factor;
      if (!std::isfinite(value))
        error->all(FLERR, "Fix tnep/spectrum: {} is not a number on step {}", quantity.name, update->ntimestep);
    }
    if (comm->me != 0) continue;
    std::string failure;
    try {
      quantity.correlator->add(values.data(), starts);
    } catch (const std::exception& e) {
      failure = e.what();
    }
    if (!failure.empty()) error->one(FLERR, "Fix tnep/spectrum: {}", failure);
  }
  double kelvin = temperature;
  if (kelvin == 0.0) {
    Compute* compute = modify->get_compute_by_id("thermo_temp");
    if (!compute) error->all(FLERR, "Fix tnep/spectrum: there is no compute thermo_temp: add 'temperature T' (in K)");
    if (!(compute->invoked_flag & Compute::INVOKED_SCALAR)) {
      compute->compute_scalar();
      compute->invoked_flag |= Compute::INVOKED_SCALAR;
    }
    kelvin = compute->scalar;
  }
  TnepUnits u;
  tnep_units(update->unit_style, u);
  const double volume = domain->xprd * domain->yprd * domain->zprd / (u.length * u.length * u.length);
  if (first < 0) {
    first = update->ntimestep;
    first_volume = volume;
  }
  last = update->ntimestep;
  samples += 1.0;
  sum_temperature += kelvin;
  sum_volume += volume - first_volume;
  sum_volume_squared += (volume - first_volume) * (volume - first_volume);
  modify->addstep_compute(update->ntimestep + nevery);
}

std::string FixTnepSpectrum::header(const std::vector<std::vector<double>>& parts) const {
  TnepUnits u;
  tnep_units(update->unit_style, u);
  const double mean = sum_volume / samples;
  const double spread = std::sqrt(std::max(0.0, sum_volume_squared / samples - mean * mean));
  const double* h = domain->h;  // xx yy zz yz xz xy
  json out;
  out["format"] = "tnep_calc correlations";
  out["format_version"] = FILE_FORMAT;
  out["run"] = file.run;
  out["dt_fs"] = interval;
  out["lags"] = lags;
  out["samples"] = static_cast<int64_t>(samples);
  out["first_step"] = static_cast<int64_t>(first);
  out["last_step"] = static_cast<int64_t>(last);
  out["temperature_K"] = sum_temperature / samples;
  out["volume_A3"] = first_volume + mean;
  out["volume_relative_spread"] = spread / (first_volume + mean);
  out["cell_A"] = {{h[0] / u.length, 0.0, 0.0},
                   {h[5] / u.length, h[1] / u.length, 0.0},
                   {h[4] / u.length, h[3] / u.length, h[2] / u.length}};
  for (size_t k = 0; k < quantities.size(); k++)
    out["quantities"].push_back(
        {{"name", quantities[k].name}, {"unit", quantities[k].unit}, {"numbers", parts[k].size()}});
  return out.dump();
}

void FixTnepSpectrum::flush() {
  if (comm->me != 0) return;
  std::vector<std::vector<double>> parts;
  for (auto& quantity : quantities) parts.push_back(quantity.correlator->pack());
  file.write(header(parts), parts);
}

// State for the restart file: how many numbers there are, the counters of this fix, and the packed correlations.
std::vector<double> FixTnepSpectrum::state() {
  if (!restored.empty()) return restored;
  std::vector<double> out{0.0,
                          static_cast<double>(file.run),
                          static_cast<double>(first),
                          static_cast<double>(last),
                          samples,
                          sum_temperature,
                          sum_volume,
                          sum_volume_squared,
                          first_volume,
                          interval};
  for (auto& quantity : quantities) {
    if (!quantity.correlator) continue;
    const std::vector<double> part = quantity.correlator->pack();
    out.insert(out.end(), part.begin(), part.end());
  }
  out[0] = static_cast<double>(out.size());
  return out;
}

void FixTnepSpectrum::write_restart(FILE* to) {
  if (comm->me != 0) return;
  const std::vector<double> numbers = state();
  const size_t bytes = numbers.size() * sizeof(double);
  if (bytes > INT_MAX)
    error->one(FLERR,
               "Fix tnep/spectrum: {:.3g} GB do not fit into a restart file; use a coarser resolution or fewer blocks",
               1e-9 * static_cast<double>(bytes));
  const int size = static_cast<int>(bytes);
  fwrite(&size, sizeof(int), 1, to);
  fwrite(numbers.data(), 1, bytes, to);
}

// LAMMPS calls this on all ranks after the constructor.  The correlations are restored by init(), which knows the lags.
void FixTnepSpectrum::restart(char* data) {
  double count = 0.0;
  memcpy(&count, data, sizeof(double));
  restored.resize(static_cast<size_t>(count));
  memcpy(restored.data(), data, restored.size() * sizeof(double));
  file.run = static_cast<uint64_t>(restored[1]);
  first = static_cast<bigint>(restored[2]);
  last = static_cast<bigint>(restored[3]);
  samples = restored[4];
  sum_temperature = restored[5];
  sum_volume = restored[6];
  sum_volume_squared = restored[7];
  first_volume = restored[8];
}

void FixTnepSpectrum::restore() {
  if (std::fabs(restored[9] - interval) > 1e-9 * interval)
    throw std::runtime_error(
        fmt::format("it has samples every {} fs, but this input every {} fs", restored[9], interval));
  size_t at = COUNTERS;
  for (auto& quantity : quantities) at += quantity.correlator->unpack(restored.data() + at, restored.size() - at);
  if (at != restored.size()) throw std::runtime_error("it has other quantities than this input");
}

double FixTnepSpectrum::compute_scalar() { return samples; }

double FixTnepSpectrum::memory_usage() {
  double bytes = 0.0;
  for (const auto& quantity : quantities)
    if (quantity.correlator) bytes += quantity.correlator->memory();
  return bytes;
}
