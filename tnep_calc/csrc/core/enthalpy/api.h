// What core/ offers for electric-enthalpy models: one entry point per real type, chosen at run time for the processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/common/graph.h"
#include "core/enthalpy/layout.h"


namespace tnep {

// Scalars whose gradients are wanted, at the field of the centre: sum_i of ...
enum Seed {
  kSeedEnthalpy,     // e - E.p - E.a.E / 2
  kSeedDipole,       // + component x y z: p + a.E
  kSeedField = 4,    // E.(p + a.E)
  kSeedPolarizability,  // + component xx xy xz yy yz zz: a
  kSeeds = kSeedPolarizability + 6
};

// 0: energies and the enthalpy at zero field; 1: dipoles, too; 2: polarizabilities, too, and all in a field.
inline int needed_order(int wanted, const double* field, const int64_t* seeds, int n_seeds) {
  if (field) return 2;
  for (int i = 0; i < n_seeds; i++) {
    const int order = seeds[i] == kSeedEnthalpy ? 0 : seeds[i] < kSeedPolarizability ? 1 : 2;
    wanted = order > wanted ? order : wanted;
  }
  return wanted;
}

struct EnthalpyTask {
  double cutoff;           // A
  const double* site;      // [T * 2]: energy (eV) and isotropic polarizability (e A^2/V) of every species
  const double* field;     // [3] or [n_centers * 3], V/A, or null
  int64_t field_stride;    // 0 or 3
  const int64_t* seeds;
  int n_seeds;
  int order;               // highest derivative by the field that results need, see needed_order()
};

// Where results go.  The values of centres are written, unless null; the rest is added to.
struct EnthalpyOutputs {
  double* energies;         // [n_centers]
  double* dipoles;          // [n_centers * 3], or null
  double* polarizabilities; // [n_centers * 9], or null
  double* gradients;        // [n_atoms * 4 * n_seeds]: rows x y z 0 of every seed
  double* strain;           // [n_seeds * 9]: sum r_a dS/dr_b
  double* virials;          // [n_atoms * 9] or null: -r_a dH/dr_b of the neighbour; the first seed must be H
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

template <class R>
const EnthalpyKernel<R>& enthalpy_kernel();

}  // namespace tnep
