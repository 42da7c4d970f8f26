// The interface of the kernels for training on precomputed moments: one entry point per real type, chosen at run time
// for the processor.  Centres are the last, contiguous axis of all arrays; `stride` is the number of centres in a row.
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

// Centres of one species with their radial and angular sums, for one model.
template <class R>
struct SiteProblem {
  int n_radial, n_angular, l_max, extra, neurons, dim;
  int64_t stride;
  const R *radial, *angular;     // [n_radial][stride], [n_angular][S][stride]
  const R *shift, *scale;        // [dim]
  TrainedNet<R> derivative_net;  // the network whose derivatives are computed
  TrainedNet<R> value_net;       // the network whose value is computed
};

// Centres that have neighbours of one species, and the moments of these neighbours, for several models.
template <class R>
struct MomentProblem {
  int models, n, k, components, s;  // radial functions, basis functions, displacement fields, angular components
  int64_t stride, centres;          // number of all centres; number of centres with these moments
  int64_t c_stride;                 // distance between the coefficients of two models
  const R* coefficients;            // [models] x [n][k]
  const R* moments;                 // [k][components][s][centres], without fields [k][s][centres]
};

// Displacement fields along which changes of features are taken: the dipole's -r^2 e_a, the strains xx yy zz yz xz xy
// (with a minus sign, as in the virial), or unit vectors (the gradient itself).
enum class Field { none, dipole, strain, gradient };
constexpr int components_of(Field field) { return field == Field::none ? 0 : field == Field::strain ? 6 : 3; }

// Edges, and the place where the features of each are summed: radial functions, then angular functions [k_angular][S].
template <class R>
struct FeatureProblem {
  int k_radial, k_angular, l_max, species;
  Field field;
  const R *vectors, *cutoffs;                // [edges][3]; radial cutoffs of all species, then angular cutoffs
  const int64_t *centre, *neighbor, *place;  // of each edge: species of both ends, and place of the sums
};

// Derivatives of the site values of a group of centres, which have the same species and the same species of neighbours,
// by sums, and the gradients of the features of their pairs.
template <class R>
struct PairProblem {
  int models, n_radial, k_radial, n_angular, k_angular, s, near;
  int64_t centres, first;     // number of all centres; index of the first one of the group
  const R *radial, *angular;  // [models][n_radial][centres], [models][n_angular][s][centres]
  const R *const *c_radial, *const
                                *c_angular;  // for each species of neighbours: [n][k][models, padded to full vectors]
  const int64_t* ends;               // first pair of each slot, [centres of the group][near], and the end of the last
  const R* gradient;                 // [pairs][k_radial + k_angular s][3]
  const int64_t *center, *neighbor;  // rows of the two atoms of each pair
};

template <class R>
struct TrainingKernel {
  int lanes;  // of a vector of models
  // Bytes of scratch memory for `sites` and `sites_backward`.
  size_t (*workspace_bytes)(const SiteProblem<R>&);
  // Compute the site values of centres [begin, end) and their derivatives with respect to the sums.
  void (*sites)(const SiteProblem<R>&, int64_t begin, int64_t end, R* value, R* radial, R* angular, void* workspace);
  // Compute the gradients with respect to the sums (overwritten) and the networks (added to) from those with respect to
  // the results of `sites`.  `g_value` may be null, and `value_net` may be the same as `derivative_net`.
  void (*sites_backward)(const SiteProblem<R>&, int64_t begin, int64_t end, const R* g_value, const R* g_radial,
                         const R* g_angular, R* radial, R* angular, const TrainedNetGradient<R>& derivative_net,
                         const TrainedNetGradient<R>& value_net, void* workspace);
  // Sums of centres [begin, end), and the gradients with respect to the coefficients.  The functions add to their
  // results.
  //   out[models][n][s][stride] += c M
  void (*project)(const MomentProblem<R>&, int64_t begin, int64_t end, R* out);
  void (*project_backward)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* g, R* coefficients);
  //   out[models][components][stride] += sum_{n s} h[n][s] (c D)[n][components][s], with h[models][n][s][stride]
  void (*along)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* h, R* out);
  void (*along_backward)(const MomentProblem<R>&, int64_t begin, int64_t end, const R* h, const R* g, R* by_h,
                         R* coefficients);
  // Add the features of edges [begin, end) to plain[places][numbers] (may be null) and their changes to
  // changes[places][numbers][components].  The scratch memory has 2 (k_radial + k_angular) + S (4 + 2 components)
  // numbers.
  void (*features)(const FeatureProblem<R>&, int64_t begin, int64_t end, R* plain, R* changes, R* memory);
  // Add the derivatives of all site values by the neighbour of each pair of centres [begin, end) of the group to
  // out[rows][3][models, padded] at the neighbour, and subtract them at the centre.  Angular features of a pair are
  // left out if those of the first function with l = 1 have no gradient.
  void (*pairs)(const PairProblem<R>&, int64_t begin, int64_t end, R* out, void* workspace);
  size_t (*pair_workspace_bytes)(const PairProblem<R>&);
};

// The kernel for the instruction set in use.
template <class R>
const TrainingKernel<R>& training_kernel();

}  // namespace tnep
