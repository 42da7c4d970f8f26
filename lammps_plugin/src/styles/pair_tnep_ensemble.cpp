// SPDX-License-Identifier: GPL-2.0-or-later
//
// Part of pair style tnep: the models of an ensemble, their mean and their deviation.

#include "styles/pair_tnep.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"

#include "shared/deviation.h"
#include "shared/driver.h"
#include "shared/snapshot.h"

#include <algorithm>

using namespace LAMMPS_NS;

static constexpr int EVERY_ATOM = 1;  // bit of group all

// Evaluate the models after the first one, unless they have been evaluated at this step with these quantities.
void PairTnep::evaluate_others(const std::vector<std::string>& quantities) {
  bool there = others_evaluated == update->ntimestep;
  for (auto& other : others)
    for (const auto& name : quantities) there = there && (other->n_centers() == 0 || other->has(name));
  if (there) return;
  for (auto& other : others) other->evaluate(*list, EVERY_ATOM, quantities, field, field_per_atom);
  others_evaluated = update->ntimestep;
}

// The result of the first model, or with the keyword mean the mean over all models; in units of the model.
const double* PairTnep::value(const std::string& quantity, int64_t size) {
  const double* first = driver->result(quantity, size);
  if (!mean) return first;
  std::vector<double>& out = means[quantity];
  out.assign(first, first + size);
  for (auto& other : others) {
    const double* values = other->result(quantity, size);
    for (int64_t k = 0; k < size; k++) out[k] += values[k];
  }
  for (double& number : out) number /= static_cast<double>(1 + others.size());
  return out.data();
}

// The quantities whose deviation is reported.
std::vector<std::string> PairTnep::ensemble_quantities() const {
  std::vector<std::string> quantities{"energies", "forces", "virial"};
  if (is_enthalpy()) quantities.emplace_back("dipoles");
  return quantities;
}

bool PairTnep::deviation_is_due() const { return deviation_every > 0 && update->ntimestep % deviation_every == 0; }

// On steps that are due, write the deviation, and warn, stop or write the structure beyond the threshold.
void PairTnep::watch_deviation() {
  if (!deviation_is_due()) return;
  deviation();
  spread->write(deviation_file);
  if (threshold < 0.0 || spread->max_force <= threshold) return;
  const std::string text =
      fmt::format("Pair style tnep: the models deviate by {:.4g} in the force on an atom on step {}, more than {:.4g}",
                  spread->max_force, update->ntimestep, threshold);
  if (!snapshot_file.empty()) {
    tnep_append_structure(lmp, snapshot_file, *driver, "deviation", spread->per_atom());
    return;
  }
  if (threshold_stops) error->all(FLERR, "{}", text);
  if (comm->me == 0) error->warning(FLERR, "{}", text);
}

const TnepDeviation& PairTnep::deviation() {
  if (deviated == update->ntimestep) return *spread;
  deviated = update->ntimestep;
  const int models = 1 + static_cast<int>(others.size()), nall = atom->nlocal + atom->nghost;
  const std::vector<std::string> quantities = ensemble_quantities();
  results(quantities);
  evaluate_others(quantities);
  ensemble_forces.assign(3 * static_cast<size_t>(models) * std::max(nall, 1), 0.0);
  std::vector<TnepDeviation::Totals> totals(models);
  const TnepUnits& units = driver->units;
  for (int m = 0; m < models; m++) {
    TnepDriver& model = m == 0 ? *driver : *others[m - 1];
    const int64_t n = model.n_centers();
    if (n == 0) continue;
    const double *e = model.result("energies", n), *w = model.result("virial", 9);
    const double* f = model.atom_result("forces", 3);
    for (int64_t c = 0; c < n; c++) totals[m].energy += units.energy * e[c];
    for (int k = 0; k < 9; k++) totals[m].virial[k] = units.energy * w[k];
    if (is_enthalpy()) {
      const double* p = model.result("dipoles", 3 * n);
      for (int64_t k = 0; k < 3 * n; k++) totals[m].dipole[k % 3] += units.charge * units.length * p[k];
    }
    const double per_length = units.energy / units.length;
    for (int64_t i = 0; i < nall; i++)
      for (int k = 0; k < 3; k++) ensemble_forces[3 * (models * i + m) + k] = per_length * f[3 * i + k];
  }
  comm->reverse_comm(this);
  spread->evaluate(ensemble_forces, totals, is_enthalpy());
  return *spread;
}

int PairTnep::pack_reverse_comm(int n, int first, double* buffer) {
  std::copy_n(&ensemble_forces[static_cast<size_t>(comm_reverse) * first], comm_reverse * n, buffer);
  return comm_reverse * n;
}

void PairTnep::unpack_reverse_comm(int n, int* atoms, double* buffer) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < comm_reverse; k++)
      ensemble_forces[static_cast<size_t>(comm_reverse) * atoms[i] + k] += *buffer++;
}
