// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_MODEL_H
#define TNEP_MODEL_H

#include "shared/metadata.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// Arguments of a model, see tnep_calc/models/__init__.py.  The pointers are not owned and nothing is copied.  The edges
// are either `neighbors` with `vectors` (`list` and `positions` are null), or `list` with `positions`.
struct TnepGraph {
  int64_t n_atoms, n_centers, n_edges;
  int64_t* species;    // (n_atoms)
  int64_t* centers;    // (n_centers)
  int64_t* offsets;    // (n_centers + 1)
  int64_t* neighbors;  // (n_edges)
  double* vectors;     // (n_edges, 3), r_neighbor - r_center in Angstrom
  int* list;           // (n_edges), neighbours as in a LAMMPS neighbour list
  double* positions;   // (n_atoms, 3) in Angstrom
  int64_t revision;    // changes whenever centers, offsets or list do
};

// Copies between this process and its GPU since the model was loaded.
struct TnepTransfers {
  int64_t steps = 0, lists = 0;  // evaluations, and those that sent a neighbour list
  int64_t sent = 0, bytes_sent = 0, received = 0, bytes_received = 0;
};

// An electric field in V/Angstrom: 3 numbers for all centres (stride 0) or one row per centre (stride 3); null: none.
struct TnepFieldView {
  const double* values = nullptr;
  int stride = 0;
};

// An exported model.  This class hides torch: besides it only the copies to a GPU, the conversion of its precision and
// the checks of archives include torch headers. All functions throw std::runtime_error with a one-line message, never a
// torch exception.
class TnepModel {
 public:
  // `content` holds the bytes of the file; `dtype` is the type of the arithmetic, "float32" or "float64" ("": the one
  // that the file was exported with); `threads` is the number of threads that torch operators use; `gpu` is the number
  // of the CUDA device, -1 for the CPU.
  TnepModel(const std::string& content, const std::string& dtype, int threads, int gpu = -1);
  ~TnepModel();
  TnepModel(const TnepModel&) = delete;
  TnepModel& operator=(const TnepModel&) = delete;

  const TnepMetadata& metadata() const { return meta; }  // its dtype is that of the arithmetic

  // Whether the model computes these quantities from positions and a list (method from_positions, see
  // tnep_calc/ops/nep.py) without forming the edge vectors itself, and accepts a field there if `with_field`, which
  // artifacts from earlier versions do not.
  bool takes_positions(const std::vector<std::string>& quantities, bool with_field) const;

  // Whether the model is on a GPU.  It then takes positions and a list for all quantities.
  bool on_gpu() const;
  TnepTransfers transfers() const;

  // Compute the quantities and keep them until the next call.  The edges must be vectors unless takes_positions() or
  // on_gpu().
  void evaluate(const TnepGraph& graph, const std::vector<std::string>& quantities, const TnepFieldView& field = {});
  void forget();  // discards the results

  bool has(const std::string& quantity) const;      // whether the last evaluation computed it
  int64_t size(const std::string& quantity) const;  // number of values in the result

  // A result of the last evaluation, checked to have `size` numbers; valid until the next one.
  const double* result(const std::string& quantity, int64_t size) const;

  // Number of GPUs that torch can use in this process.  For tests, the variable TNEP_SIMULATED_GPUS gives a number:
  // models are then on the CPU, but all data pass through the copies for a GPU.
  static int cuda_devices();
  static std::string torch_compiled();  // torch version of the headers, "2.13.0"
  static std::string torch_running();   // torch version of the library in use

 private:
  struct Impl;
  TnepMetadata meta;
  std::unique_ptr<Impl> impl;
};

}  // namespace LAMMPS_NS

#endif
