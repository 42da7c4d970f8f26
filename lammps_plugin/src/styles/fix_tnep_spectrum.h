// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef LMP_FIX_TNEP_SPECTRUM_H
#define LMP_FIX_TNEP_SPECTRUM_H

#include "fix.h"

#include "shared/correlator.h"
#include "shared/run_file.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// fix tnep/spectrum: accumulates the correlation functions of the dipole or the current and of the polarizability
// during a run, across restarts, and writes them to a file that 'tnep ir', 'tnep raman' and 'tnep dielectric' read.
class FixTnepSpectrum : public Fix {
 public:
  FixTnepSpectrum(class LAMMPS*, int, char**);
  int setmask() override;
  void init() override;
  void setup(int) override;
  void end_of_step() override;
  void post_run() override;
  double compute_scalar() override;
  void write_restart(FILE*) override;
  void restart(char*) override;
  double memory_usage() override;

 private:
  struct Quantity {
    std::string name, compute, unit;
    int components;
    double factor;                               // from LAMMPS units
    std::unique_ptr<TnepCorrelator> correlator;  // rank 0 only
  };
  std::vector<Quantity> quantities;
  TnepRunFile file;
  double resolution;     // cm^-1
  double temperature;    // K; 0: mean of compute thermo_temp
  int max_blocks, lags;  // lags: 0 before the first init()
  bigint flush_every;    // steps
  double interval;       // between samples, fs

  bigint first, last;  // steps of the first and the last sample, -1 for none
  double samples;
  double sum_temperature, sum_volume, sum_volume_squared;  // volume relative to the first one, Angstrom^3
  double first_volume;
  std::vector<double> restored;  // state from a restart file, until init()

  void read_options(int narg, char** arg);
  void check_interval() const;
  void find_units();
  void start_correlators();
  void restore();
  void sample();
  void flush();
  std::string header(const std::vector<std::vector<double>>& parts) const;
  std::vector<double> state();
};

}  // namespace LAMMPS_NS

#endif
