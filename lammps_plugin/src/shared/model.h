// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_MODEL_H
#define TNEP_MODEL_H

#include "shared/metadata.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

// Arguments of a model, see tnep_calc/models/__init__.py; nothing is owned or copied.  Edges are neighbours with
// vectors (positions is null then), or a list with positions.
struct TnepGraph {
  int64_t n_atoms, n_centers, n_edges;
  int64_t *species;      // (n_atoms)
  int64_t *centers;      // (n_centers)
  int64_t *offsets;      // (n_centers + 1)
  int64_t *neighbors;    // (n_edges)
  double *vectors;       // (n_edges, 3), r_neighbor - r_center in Angstrom
  int *list;             // (n_edges)
  double *positions;     // (n_atoms, 3) in Angstrom
};

// An electric field in V/Angstrom: one for all centres (stride 0) or a row for each (stride 3); null: none.
struct TnepFieldView {
  const double *values = nullptr;
  int stride = 0;
};

// An exported model.  The only class that knows torch, and it hides it: no other source file includes a torch header.
// All functions throw std::runtime_error with a one-line message, never a torch exception.
class TnepModel {
 public:
  // `content` holds the bytes of the file; `threads` is the number of threads of torch operators.
  TnepModel(const std::string &content, int threads);
  ~TnepModel();
  TnepModel(const TnepModel &) = delete;
  TnepModel &operator=(const TnepModel &) = delete;

  const TnepMetadata &metadata() const { return meta; }

  // Whether the model takes positions and a list (it has the method from_positions, see tnep_calc/ops/native.py).
  bool takes_positions() const;

  // With a field the edges must be vectors.
  void evaluate(const TnepGraph &graph, const std::vector<std::string> &quantities, const TnepFieldView &field = {});
  void forget();    // drops the results

  bool has(const std::string &quantity) const;       // whether the last evaluation gave it
  int64_t size(const std::string &quantity) const;    // how many numbers

  // A result of the last evaluation, checked to have `size` numbers; valid until the next one.
  const double *result(const std::string &quantity, int64_t size) const;

  static std::string torch_compiled();    // torch version of the headers, "2.13.0"
  static std::string torch_running();     // torch version of the library in use

 private:
  struct Impl;
  TnepMetadata meta;
  std::unique_ptr<Impl> impl;
};

}    // namespace LAMMPS_NS

#endif
