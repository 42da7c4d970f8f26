// What core/ offers to training on precomputed moments: one entry point per real type, chosen at run time for the
// processor.  Centres are the last, contiguous axis of all arrays; `stride` is the number of them in a row.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tnep {

// One hidden layer of tanh neurons on the shifted and scaled descriptor.
template <class R>
struct TrainedNet {
  const R *w0, *b0, *w1;  // [M][dim], [M], [M]
};
template <class R>
struct TrainedNetGradient {
  R *w0, *b0, *w1;
};

// Centres of one species and their angular sums, for one model.
template <class R>
struct SiteProblem {
  int n_radial, n_angular, l_max, extra, neurons, dim;
  int64_t stride;
  const R *radial, *angular;  // [n_radial][stride], [n_angular][S][stride]
  const R *shift, *scale;     // [dim]
  TrainedNet<R> bent, valued;  // the network whose derivatives are wanted, and that whose value is
};

// Centres that have neighbours of one species, and the moments of these, for several models.
template <class R>
struct MomentProblem {
  int models, n, k, components, s;  // radial functions, basis functions, displacement fields, angular components
  int64_t stride, centres;          // of all centres; of those with these moments
  int64_t c_stride;                 // between the coefficients of two models
  const R* coefficients;            // [models] x [n][k]
  const R* moments;                 // [k][components][s][centres], without fields [k][s][centres]
};

// What changes of features are taken along: the gradient itself; the displacements -r^2 e_a of the dipole; the strains
// xx yy zz yz xz xy.
enum class Field { none, dipole, strain, gradient };
constexpr int components_of(Field field) { return field == Field::none ? 0 : field == Field::strain ? 6 : 3; }

// Edges, and the place where the features of each are summed: radial functions, then angular ones [k_angular][S].
template <class R>
struct FeatureProblem {
  int k_radial, k_angular, l_max, species;
  Field field;
  const R *vectors, *cutoffs;  // [edges][3]; radial ones of all species, then angular ones
  const int64_t *centre, *neighbor, *place;  // of each edge: two species, and where
};

template <class R>
struct TrainingKernel {
  // Bytes of scratch memory for both functions of sites.
  size_t (*workspace_bytes)(const SiteProblem<R>&);
  // Site values and their derivatives by the sums, of centres [begin, end).
  void (*sites)(const SiteProblem<R>&, int64_t begin, int64_t end, R* value, R* radial, R* angular, void* workspace);
  // Gradients by the sums (written) and by the networks (added) from those by what `sites` gives; `g_value` may be null,
  // and `valued` may be the same as `bent`.
  void (*sites_backward)(const SiteProblem<R>&, int64_t begin, int64_t end, const R* g_value, const R* g_radial,
                         const R* g_angular, R* radial, R* angular, const TrainedNetGradient<R>& bent,
                         const TrainedNetGradient<R>& valued, void* workspace);
  // Sums of centres [begin, end) and the gradient by the coefficients; all of these functions add to their results.
  //   out[models][n][s][stride] += c M
  void (*project)(const MomentProblem<R>&, int64_t begin, int64_t end, R* out);
  void (*project_backward)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* g, R* coefficients);
  //   out[models][components][stride] += sum_{n s} h[n][s] (c D)[n][components][s], with h[models][n][s][stride]
  void (*along)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* h, R* out);
  void (*along_backward)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* h, const R* g, R* by_h,
                         R* coefficients);
  // Sums over edges [begin, end), added to plain[places][numbers] (may be null) and changes[places][numbers][components].
  // The scratch memory has 2 (k_radial + k_angular) + S (4 + 2 components) numbers.
  void (*features)(const FeatureProblem<R>&, int64_t begin, int64_t end, R* plain, R* changes, R* memory);
};

template <class R>
const TrainingKernel<R>& training_kernel();

}  // namespace tnep
