// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_STAGING_H
#define TNEP_STAGING_H

#include "shared/model.h"

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace LAMMPS_NS {

// Copies between the arrays of LAMMPS and a GPU.  The neighbour list goes there when it has changed, in one copy, and
// the species when they have.  A step copies positions (with the field, if it varies in space) there at once, and all
// results back at once.  The memory on this side is pinned.
class TnepStaging {
 public:
  // `pinned`: false where there is no GPU (tests).
  TnepStaging(at::Device device, bool pinned);

  // The arguments of a model, on the device.  The graph must have a list and positions.
  struct Inputs {
    at::Tensor species, centers, offsets, list, positions, field;  // field: undefined without one
  };
  Inputs inputs(const TnepGraph& graph, const TnepFieldView& field);

  // The list with 64 bits, and the edge vectors in Angstrom, for models that need them; after inputs().
  std::pair<at::Tensor, at::Tensor> edges();

  // Copy results here as float64; the tensors are valid until the next call.
  std::vector<at::Tensor> results(const std::vector<at::Tensor>& found);

  TnepTransfers transfers() const { return count; }

 private:
  struct Part {
    const void* data;
    int64_t bytes;
  };

  at::Device device;
  bool pinned;
  Inputs now;
  at::Tensor list_memory, step_memory, result_memory;  // on this side; they only grow
  at::Tensor long_list, edge_centers;                  // undefined until edges() has needed them
  std::vector<int64_t> species;                        // those on the device
  int64_t revision = -1;
  TnepTransfers count;

  at::Tensor& grown(at::Tensor& memory, int64_t bytes) const;
  at::Tensor send(at::Tensor& memory, const std::vector<Part>& parts);
};

}  // namespace LAMMPS_NS

#endif
