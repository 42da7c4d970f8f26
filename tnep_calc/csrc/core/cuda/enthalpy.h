// The interface of electric-enthalpy models on a GPU.  All pointers are to device memory; the model view itself is in
// host memory.
//
// Centres are processed in groups of one species.  Kernels compute what belongs to single centres; the products with
// the weight matrices, which are the same for all centres of a group, are left to the caller.  Arrays of a group have
// one row per centre, and arrays with seeds are [seed][centre].
#pragma once

#include "core/cuda/device.h"
#include "core/enthalpy/api.h"

TNEP_BEGIN

// Centres of one species: group[0], ..., group[count - 1] are their indices.
struct CentreGroup {
  const int64_t* group;
  int64_t count;
  int species;
};

// What to compute.
struct DeviceTask {
  double cutoff;         // A
  const double* site;    // [T * 2]: energy (eV) and isotropic polarizability (e A^2/V) of every species
  const double* field;   // [3] or [n_centers * 3], V/A, or null
  int64_t field_stride;  // 0 or 3
  int seeds[kSeeds];     // see enum Seed
  int n_seeds;
};

// Numbers per centre in the arrays below.
template <class R>
int64_t density_size(const EnthalpyModel<R>& m);
template <class R>
int64_t state_size(const EnthalpyModel<R>& m);
int64_t value_size();

// Bytes of scratch memory that a block of any of these kernels needs.
template <class R>
size_t enthalpy_block_bytes(const EnthalpyModel<R>& m);

// Densities of the centres, and values, which are set to the energy of the repulsion and zeros.
template <class R>
void enthalpy_densities(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e, const CentreGroup& g,
                        R* density, double* values, const Plan& plan, char* scratch, void* stream);

// State and invariants of the centres; the linear term is added to the values.
template <class R>
void enthalpy_invariants(const EnthalpyModel<R>& m, int member, const CentreGroup& g, const R* density, R* state, R* q,
                         double* values, void* stream);

// Replace z [rows][Hp] by silu(z), and set slope to the derivative.
template <class R>
void enthalpy_silu(R* z, R* slope, int64_t count, void* stream);

// Add the outputs of a member's network to the values, and set d_out [seed][centre][Op] to the derivatives of the seeds
// with respect to these outputs (null: not wanted).
template <class R>
void enthalpy_outputs(const EnthalpyModel<R>& m, const DeviceTask& task, int order, const CentreGroup& g,
                      const R* state, const R* outputs, double* values, R* d_out, void* stream);

// Write the results of the centres at the field.  `dipoles` [n_centers * 3] and `polarizabilities` [n_centers * 9] may
// be null.
void enthalpy_values(const DeviceTask& task, const CentreGroup& g, const double* values, double* energies,
                     double* dipoles, double* polarizabilities, void* stream);

// Derivatives of the seeds with respect to the densities, [centre][seed][F][16], from those with respect to the
// invariants (d_q, to which those of the linear term are added) and through vectors and tensors.  They are added to the
// old ones if `add`.
template <class R>
void enthalpy_site_gradients(const EnthalpyModel<R>& m, int member, const DeviceTask& task, const CentreGroup& g,
                             const R* state, const R* outputs, R* d_q, bool add, R* d_density, const Plan& plan,
                             char* scratch, void* stream);

// Minus the gradients of the seeds with respect to the edge vectors, partials[n_edges][seed][3], and the sums over the
// edges of every centre of r_a dS/dr_b, strain[n_centers][seed][9].
template <class R>
void enthalpy_edge_gradients(const EnthalpyModel<R>& m, const DeviceTask& task, const DeviceEdges& e,
                             const CentreGroup& g, const R* d_density, R* partials, double* strain, void* stream);

TNEP_END
