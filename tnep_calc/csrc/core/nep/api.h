// The interface of the NEP and TNEP kernels: one entry point per real type, chosen at run time for the processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/graph.h"
#include "core/nep/layout.h"

namespace tnep {

enum class Task {
  energy,                   // per centre: energy
  forces,                   // per centre: energy; per atom: force; virial
  dipole,                   // per centre: 3 numbers
  polarizability,           // per centre: 9 numbers
  descriptors,              // per centre: dim scaled descriptors
  dipole_gradient,          // per atom: 9 numbers [dipole component, displacement]
  polarizability_gradient,  // per atom: 18 numbers [xx xy xz yy yz zz, displacement]
  field_forces              // per atom: force of the energy -E.mu or -E.alpha.E / 2; virials
};

// Number of values per atom in Outputs::atoms (forces are padded to four numbers, so that one vector holds them).
constexpr int atom_stride(Task task) {
  switch (task) {
    case Task::forces:
    case Task::field_forces:
      return 4;
    case Task::dipole_gradient:
      return 9;
    case Task::polarizability_gradient:
      return 18;
    default:
      return 0;
  }
}

// Parts of the work on one centre, for profiles.
enum Part {
  kPartEdges,             // read the edges, sort them by species
  kPartGeometry,          // distances, cutoff function, list of angular neighbours
  kPartRadial,            // radial moments and descriptor
  kPartAngularFunctions,  // radial functions and harmonics of the angular neighbours
  kPartAngularSums,       // their sums A
  kPartInvariants,        // descriptor from A, and dU/dA from dU/dq
  kPartNetwork,           // value and gradient
  kPartRadialBackward,    // gradients of the neighbours
  kPartAngularBackward,
  kPartScatter,  // forces on atoms, virial, dipole, polarizability
  kParts
};

// Arrays for the results, and the field.  `sites` is overwritten; the others are added to.
struct Outputs {
  double* sites = nullptr;        // [n_centers * site size]
  double* atoms = nullptr;        // [n_atoms * atom_stride(task)]
  double* virial = nullptr;       // [9]
  double* virials = nullptr;      // [n_atoms * 9] or null: attributed to the neighbour
  const double* field = nullptr;  // [3] or [n_centers * 3], V/A, for field_forces
  int64_t field_stride = 0;       // 0 or 3
  uint64_t* ticks = nullptr;      // [kParts] or null: clock ticks spent in every part (not for response gradients)
};

template <class R>
struct Kernel {
  // Bytes of scratch memory for centres with at most `max_edges` edges.
  size_t (*workspace_bytes)(const Model<R>& model, int64_t max_edges);
  // Evaluate centres [begin, end); `workspace` is aligned to 64 bytes.  Returns false if a neighbour is not a valid
  // atom.
  bool (*evaluate)(const Model<R>& model, Task task, const Edges& edges, int64_t begin, int64_t end, const Outputs& out,
                   void* workspace);
};

// Model view of a packed model; throws std::invalid_argument if header and parameters do not fit.
template <class R>
Model<R> make_model(const int64_t* header, int64_t header_size, const R* parameters, int64_t n_parameters);

// The kernel for centres with this average number of edges per species (for few of them, shorter vectors are better
// filled).
template <class R>
const Kernel<R>& kernel(double edges_per_species);

}  // namespace tnep
