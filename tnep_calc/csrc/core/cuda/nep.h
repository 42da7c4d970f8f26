// NEP and TNEP on a GPU: what bindings call.  All pointers are to memory of the device, but for the model view itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/macros.h"
#include "core/nep/api.h"
#include "core/nep/layout.h"

TNEP_BEGIN

// Owned centres and their edges, as in the model contract: either neighbours with vectors, or a list with positions.
struct DeviceEdges {
  int64_t n_atoms, n_centers, n_edges;
  const int64_t* species;    // [n_atoms]
  const int64_t* centers;    // [n_centers]
  const int64_t* offsets;    // [n_centers + 1]
  const int64_t* neighbors;  // [n_edges], or null
  const double* vectors;     // [n_edges * 3], A, or null
  const int32_t* list;       // [n_edges], or null
  const double* positions;   // [n_atoms * 3], A, or null
};

// Where results go: all are written.
template <class R>
struct DeviceOutputs {
  double* sites;         // [n_centers * site size of the task], or null where the task has none
  double* virials;       // [n_centers * 6], xx xy xz yy yz zz of every centre, or null
  R* partials;           // [n_edges * partial_size(task)], derivatives by the edge vectors, or null
  const double* field;   // [3] or [n_centers * 3], V/A, for field_forces
  int64_t field_stride;  // 0 or 3
};

// Numbers per edge in DeviceOutputs::partials: what atoms get is minus their sum over the edges that end at an atom,
// plus that over the edges that begin there.
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

// How a task is launched.
struct Plan {
  int64_t blocks;
  size_t block_bytes;  // scratch memory of a block
  bool shared;         // in shared memory; else in global memory, blocks * block_bytes in all
};

// `shared_limit`: bytes of shared memory that a block may have.  `most_blocks` bounds the scratch memory in global
// memory.
template <class R>
Plan plan(const Model<R>& model, Task task, int64_t n_centers, size_t shared_limit, int64_t most_blocks);

// Evaluate all centres.  dipole and polarizability also need partials, of size 3.
template <class R>
void evaluate(const Model<R>& model, Task task, const DeviceEdges& edges, const DeviceOutputs<R>& out, const Plan& plan,
              void* scratch, void* stream);

// atoms[n_atoms * stride] -= the sum of `size` numbers of all edges that end at an atom, and, with `centers`, += that
// of all edges that begin there.  With `incoming` (the edges sorted by the atom at their end, in rising order) and
// `starts` [n_atoms + 1] the order of all sums is fixed, if no atom is a centre twice; without, additions are atomic.
template <class T>
void scatter(const DeviceEdges& edges, const T* values, int size, int stride, bool centers, const int64_t* incoming,
             const int64_t* starts, double* atoms, void* stream);

// nine[n_edges * 9] = r_a P_b of every edge.
template <class R>
void edge_virials(const DeviceEdges& edges, const R* partials, double* nine, void* stream);

TNEP_END
