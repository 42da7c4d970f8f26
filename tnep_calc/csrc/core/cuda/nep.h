// The interface of NEP and TNEP on a GPU.  All pointers are to device memory; the model view itself is in host memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cuda/device.h"
#include "core/nep/api.h"
#include "core/nep/layout.h"

TNEP_BEGIN

// Arrays for the results, which are overwritten, and the field.
template <class R>
struct DeviceOutputs {
  double* sites;         // [n_centers * site size of the task], or null if the task has none
  double* virials;       // [n_centers * 6], xx xy xz yy yz zz of every centre, or null
  R* partials;           // [n_edges * partial_size(task)], derivatives with respect to the edge vectors, or null
  const double* field;   // [3] or [n_centers * 3], V/A, for field_forces
  int64_t field_stride;  // 0 or 3
};

// Numbers per edge in DeviceOutputs::partials.  The result of an atom is their sum over the edges that begin at the
// atom minus their sum over the edges that end there.
constexpr int partial_size(Task task) {
  switch (task) {
    case Task::forces:
    case Task::field_forces:
      return 3;
    case Task::dipole_gradient:
      return 9;
    case Task::polarizability_gradient:
      return 18;
    default:
      return 0;
  }
}

// Choose the launch parameters.  `shared_limit`: bytes of shared memory that a block may use.  `most_blocks`: largest
// number of blocks, which limits the scratch memory in global memory.
template <class R>
Plan plan(const Model<R>& model, Task task, int64_t n_centers, size_t shared_limit, int64_t most_blocks);

// Evaluate all centres.  The tasks dipole and polarizability also need `partials`, with 3 numbers per edge.
template <class R>
void evaluate(const Model<R>& model, Task task, const DeviceEdges& edges, const DeviceOutputs<R>& out, const Plan& plan,
              void* scratch, void* stream);

TNEP_END
