// The interface of the electric-enthalpy kernels: one entry point per real type, chosen at run time for the processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/graph.h"
#include "core/enthalpy/layout.h"

namespace tnep {

// Scalars whose gradients can be computed.  Each is the sum over the centres, at the field E of each centre, of ...
enum Seed {
  kSeedEnthalpy,        // e - E.p - E.a.E / 2
  kSeedDipole,          // p + a.E; add the index of the component x y z
  kSeedField = 4,       // E.(p + a.E)
  kSeedPolarizability,  // a; add the index of the component xx xy xz yy yz zz
  kSeeds = kSeedPolarizability + 6
};

// The order of the derivatives with respect to the field that results need: 0 for energies and the enthalpy at zero
// field, 1 for dipoles, 2 for polarizabilities and for everything in a field.  `wanted` is the order of the values.
inline int needed_order(int wanted, const double* field, const int64_t* seeds, int n_seeds) {
  if (field) return 2;
  for (int i = 0; i < n_seeds; i++) {
    const int order = seeds[i] == kSeedEnthalpy ? 0 : seeds[i] < kSeedPolarizability ? 1 : 2;
    wanted = order > wanted ? order : wanted;
  }
  return wanted;
}

struct EnthalpyTask {
  double cutoff;         // A
  const double* site;    // [T * 2]: energy (eV) and isotropic polarizability (e A^2/V) of every species
  const double* field;   // [3] or [n_centers * 3], V/A, or null
  int64_t field_stride;  // 0 or 3
  const int64_t* seeds;
  int n_seeds;
  int order;  // see needed_order()
};

// Arrays for the results.  The values of centres are overwritten (null: not wanted); the others are added to.
struct EnthalpyOutputs {
  double* energies;          // [n_centers]
  double* dipoles;           // [n_centers * 3], or null
  double* polarizabilities;  // [n_centers * 9], or null
  double* gradients;         // [n_atoms * 4 * n_seeds]: a row x y z 0 for every seed
  double* strain;            // [n_seeds * 9]: sum over edges of r_a dS/dr_b
  double* virials;           // [n_atoms * 9] or null: -r_a dH/dr_b, at the neighbour; seed 0 must be the enthalpy
};

template <class R>
struct EnthalpyKernel {
  // Bytes of scratch memory for centres with at most `max_edges` edges.
  size_t (*workspace_bytes)(const EnthalpyModel<R>& model, int n_seeds, int64_t max_edges);
  // Evaluate the centres order[begin], ..., order[end - 1], which should be sorted by species; `workspace` is aligned
  // to 64 bytes.
  void (*evaluate)(const EnthalpyModel<R>& model, const EnthalpyTask& task, const Edges& edges, const int64_t* order,
                   int64_t begin, int64_t end, int64_t max_edges, const EnthalpyOutputs& out, void* workspace);
};

// View of a packed model; throws std::invalid_argument if header and parameters do not fit.
template <class R>
EnthalpyModel<R> make_enthalpy_model(const int64_t* header, int64_t header_size, const R* parameters,
                                     int64_t n_parameters);

// The kernel for the instruction set in use.
template <class R>
const EnthalpyKernel<R>& enthalpy_kernel();

}  // namespace tnep
