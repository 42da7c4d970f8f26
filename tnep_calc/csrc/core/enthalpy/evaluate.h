// Values and gradients of electric-enthalpy models, computed for blocks of centres of one species.
#pragma once

#include "core/common/zbl.h"
#include "core/enthalpy/network.h"
#include "core/enthalpy/sites.h"

TNEP_BEGIN

constexpr int kBlockCentres = 48, kBlockRows = 96;  // largest number of centres; of centres times seeds

// Number of centres in a block.  With several members, the parameters of each are loaded into the cache once per block,
// so larger blocks are better.
TNEP_HD int block_centres(int members, int n_seeds) {
  const int scale = members > 1 ? 4 : 1, centres = scale * kBlockCentres;
  const int most = scale * kBlockRows / (n_seeds > 1 ? n_seeds : 1) / 12 * 12;
  return most < 12 ? 12 : most < centres ? most : centres;
}

// Values of a centre: energy, dipole (l = 1), trace and traceless part (l = 2) of the polarizability.
enum Value { kEnergy, kDipole, kTrace = kDipole + 3, kTensor, kValues = kTensor + 5 };

// Scratch memory for a block of centres; the rows of most arrays are centres.
template <class R>
struct EnthalpyWorkspace {
  int slot_stride;  // number of slots per centre and species
  int64_t slots;    // number of slots per centre
  int32_t *atom, *filled;
  R *x, *y, *z;
  double* cutoff2;
  R *state, *q, *hidden1, *hidden2, *slope1, *slope2, *out;
  R *d_out, *d_hidden2, *d_hidden1, *d_q;  // [seed][centre]
  R *density, *d_density, *d_a, *square;   // densities: of one centre, or of the block if there are several members
  SiteSeed<R>* seeds;                      // [seed][centre]
  double* values;                          // [centre][kValues]
};

template <class R>
inline size_t assign_memory(const EnthalpyModel<R>& m, int n_seeds, int64_t max_edges, char* base,
                            EnthalpyWorkspace<R>& w) {
  size_t used = 0;
  const auto take = [&](auto*& pointer, int64_t count) {
    using Item = __typeof__(*pointer);
    pointer = reinterpret_cast<__typeof__(&*pointer)>(base + used);
    used += size_t(round_up(count * int64_t(sizeof(Item)) + 64, 64));
  };
  const int64_t B = block_centres(m.members, n_seeds), rows = B * n_seeds;
  w.slot_stride = int(round_up(max_edges, kPad) + 2 * kPad);
  w.slots = int64_t(m.species) * w.slot_stride;
  take(w.atom, B * w.slots);
  take(w.filled, B * m.species);
  take(w.x, B * w.slots);
  take(w.y, B * w.slots);
  take(w.z, B * w.slots);
  take(w.cutoff2, m.species + kPad);
  take(w.state, B * kState * m.Kp);
  take(w.q, B * m.Qp + kPad);
  take(w.hidden1, B * m.Hp);
  take(w.hidden2, B * m.Hp);
  take(w.slope1, B * m.Hp);
  take(w.slope2, B * m.Hp);
  take(w.out, B * m.Op);
  take(w.d_out, rows * m.Op);
  take(w.d_hidden2, rows * m.Hp);
  take(w.d_hidden1, rows * m.Hp);
  take(w.d_q, rows * m.Qp + kPad);
  const int64_t kept = m.members > 1 ? B : 1;
  take(w.density, kept * m.rows * kComponents3);
  take(w.d_density, kept * n_seeds * m.rows * kComponents3);
  take(w.d_a, (kComponents3 + 8) * m.Kp);
  take(w.square, 2 * m.Kp * m.Kp);
  take(w.seeds, rows);
  take(w.values, B * kValues);
  return used;
}

// Sort the edges of one centre that are within the cutoff into the slots of centre i of the block, by species.
template <class R>
TNEP_FUNCTION void collect_edges(const EnthalpyModel<R>& m, const Edges& e, int64_t centre, int i,
                                 EnthalpyWorkspace<R>& w) {
  Slots<R> slots;
  slots.n_species = m.species;
  slots.cutoff2 = w.cutoff2;
  slots.filled = w.filled + i * m.species;
  slots.atom = w.atom + i * w.slots;
  slots.x = w.x + i * w.slots;
  slots.y = w.y + i * w.slots;
  slots.z = w.z + i * w.slots;
  for (int t = 0; t < m.species; t++) slots.filled[t] = t * w.slot_stride;
  sort_edges(VectorSource{e, m.species == 1}, e.offsets[centre], e.offsets[centre + 1], slots);
  const Vec<R> far = fill<Vec<R>>(R(1e6));
  for (int t = 0; t < m.species; t++) {
    const int slot = slots.filled[t];
    store<Vec<R>>(slots.x + slot, far);
    store<Vec<R>>(slots.y + slot, far);
    store<Vec<R>>(slots.z + slot, far);
  }
}

// ZBL energy and slope of one slot; returns the distance.
template <class R>
TNEP_HD R repulsion(const R* row, R x, R y, R z, R& energy, R& slope) {
  const R r = square_root(x * x + y * y + z * z);
  zbl(r, row, energy, slope);
  return r;
}

template <class R>
TNEP_FUNCTION double repulsion_energy(const EnthalpyModel<R>& m, int species, int i, const EnthalpyWorkspace<R>& w) {
  double total = 0;
  for (int t = 0; t < m.species; t++)
    for (int64_t s = i * w.slots + t * w.slot_stride; s < i * w.slots + w.filled[i * m.species + t]; s++) {
      R energy, slope;
      repulsion(m.zbl + (species * m.species + t) * kPad, w.x[s], w.y[s], w.z[s], energy, slope);
      total += energy;
    }
  return total;
}

// The scalar of a seed at a field is linear in the zero-field values of a centre.  Set c[10] to the coefficients of the
// energy, the dipole x y z, and the polarizability xx xy xz yy yz zz.
TNEP_HD void seed_coefficients(int seed, const double* field, double* c) {
  for (int i = 0; i < 10; i++) c[i] = 0;
  const auto quadratic = [&](double factor) {
    for (int i = 0, k = 4; i < 3; i++)
      for (int j = i; j < 3; j++) c[k++] = factor * field[i] * field[j];
  };
  if (seed == kSeedEnthalpy) {
    c[0] = 1;
    for (int i = 0; i < 3; i++) c[1 + i] = -field[i];
    quadratic(-0.5);
  } else if (seed < kSeedField) {
    const int a = seed - kSeedDipole;
    c[1 + a] = 1;
    for (int i = 0, k = 4; i < 3; i++)
      for (int j = i; j < 3; j++) c[k++] = 0.5 * ((i == a) * field[j] + (j == a) * field[i]);
  } else if (seed == kSeedField) {
    for (int i = 0; i < 3; i++) c[1 + i] = field[i];
    quadratic(1);
  } else {
    const int k = seed - kSeedPolarizability;
    c[4 + k] = k == 0 || k == 3 || k == 5 ? 1 : 0.5;
  }
}

// Convert the coefficients to those of l = 1 components (y, z, x) and l = 2 components, whose Cartesian matrices M_m
// are defined by u.M_m.u = Y_2m(u) for unit vectors u.
template <class R>
TNEP_HD SiteSeed<R> site_seed(const double* c) {
  SiteSeed<R> s;
  s.energy = R(c[0]);
  s.dipole[0] = R(c[2]);
  s.dipole[1] = R(c[3]);
  s.dipole[2] = R(c[1]);
  s.trace = R(c[4] + c[7] + c[9]);
  s.tensor[0] = R(kSqrt15 * c[5]);
  s.tensor[1] = R(kSqrt15 * c[8]);
  s.tensor[2] = R(0.5 * kSqrt5 * (2 * c[9] - c[4] - c[7]));
  s.tensor[3] = R(kSqrt15 * c[6]);
  s.tensor[4] = R(0.5 * kSqrt15 * (c[4] - c[7]));
  return s;
}

// Add the outputs of one member's network to the values of a centre.
template <class R>
TNEP_FUNCTION void add_values(const EnthalpyModel<R>& m, int order, const R* state, const R* outputs, double* values) {
  values[kEnergy] += double(outputs[8 * m.Kp]);
  if (order == 0) return;
  R d[3], t[5];
  site_tensors(m, state, outputs, order > 1, d, t);
  values[kTrace] += double(outputs[8 * m.Kp + 1]);
  for (int i = 0; i < 3; i++) values[kDipole + i] += d[i];
  for (int i = 0; i < 5; i++) values[kTensor + i] += t[i];
}

// Write the results of one centre at the field.
inline TNEP_FUNCTION void write_values(const EnthalpyTask& task, int species, const double* values, const double* field,
                                       int64_t centre, const EnthalpyOutputs& out) {
  const double *d = values + kDipole, *t = values + kTensor;
  const double trace = values[kTrace] + task.site[2 * species + 1];
  const double p[3] = {d[2], d[0], d[1]};
  const double half = 0.5 * kSqrt15, xx_yy = half * t[4], zz = 0.5 * kSqrt5 * t[2];
  const double a[9] = {trace - zz + xx_yy, half * t[0], half * t[3], half * t[0],   trace - zz - xx_yy,
                       half * t[1],        half * t[3], half * t[1], trace + 2 * zz};
  double energy = values[kEnergy] + task.site[2 * species];
  for (int i = 0; i < 3; i++) {
    double induced = 0;
    for (int j = 0; j < 3; j++) induced += a[3 * i + j] * field[j];
    energy -= field[i] * (p[i] + 0.5 * induced);
    if (out.dipoles) out.dipoles[3 * centre + i] = p[i] + induced;
  }
  for (int i = 0; out.polarizabilities && i < 9; i++) out.polarizabilities[9 * centre + i] = a[i];
  out.energies[centre] = energy;
}

// Add the gradients of all seeds with respect to the edges of one centre to the atoms, the strain and the virials.
template <class R>
TNEP_FUNCTION void edges_backward(const EnthalpyModel<R>& m, const EnthalpyTask& task, R inverse_cutoff, int species,
                                  int64_t centre_atom, int i, const R* d_density, const EnthalpyWorkspace<R>& w,
                                  const EnthalpyOutputs& out) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  const int n = m.radial;
  const int64_t stride = 4 * task.n_seeds;
  double* own = out.gradients + stride * centre_atom;
  const int64_t first = i * w.slots;
  for (int t = 0; t < m.species; t++) {
    const int64_t end = first + w.filled[i * m.species + t];
    for (int64_t slot = first + t * w.slot_stride; slot < end; slot += W) {
      const int count = end - slot < W ? int(end - slot) : W;
      EdgeBlock<V> e;
      const V position[3] = {load<V>(w.x + slot), load<V>(w.y + slot), load<V>(w.z + slot)};
      edge_block<true>(position[0], position[1], position[2], inverse_cutoff, n, e);
      for (int s = 0; s < task.n_seeds; s++) {
        V g[3];
        edge_gradient(e, n, d_density + (int64_t(s) * m.rows + t * n) * kComponents3, g);
        R lanes[3][W];
        for (int a = 0; a < 3; a++) store<V>(lanes[a], g[a]);
        if (m.zbl && task.seeds[s] == kSeedEnthalpy) {
          for (int j = 0; j < count; j++) {
            R energy, slope;
            const R x = w.x[slot + j], y = w.y[slot + j], z = w.z[slot + j];
            const R r = repulsion(m.zbl + (species * m.species + t) * kPad, x, y, z, energy, slope);
            if (slope == R(0)) continue;
            lanes[0][j] += slope * x / r;
            lanes[1][j] += slope * y / r;
            lanes[2][j] += slope * z / r;
          }
          for (int a = 0; a < 3; a++) g[a] = load<V>(lanes[a]);
        }
        double total[3] = {0, 0, 0};
        for (int j = 0; j < count; j++) {
          double* to = out.gradients + stride * int64_t(w.atom[slot + j]) + 4 * s;
          TNEP_UNROLL(3)
          for (int a = 0; a < 3; a++) {
            const double v = lanes[a][j];
            to[a] += v;
            total[a] += v;
          }
        }
        for (int a = 0; a < 3; a++) own[4 * s + a] -= total[a];
        // The padding of the vector consists of points beyond the cutoff, whose gradient is zero.
        for (int a = 0; a < 3; a++)
          for (int b = 0; b < 3; b++) out.strain[9 * s + 3 * a + b] += double(sum(position[a] * g[b]));
        if (s > 0 || !out.virials) continue;
        for (int j = 0; j < count; j++) {
          const double r[3] = {w.x[slot + j], w.y[slot + j], w.z[slot + j]};
          double* to = out.virials + 9 * int64_t(w.atom[slot + j]);
          for (int a = 0; a < 3; a++)
            for (int b = 0; b < 3; b++) to[3 * a + b] -= r[a] * double(lanes[b][j]);
        }
      }
    }
  }
}

// Compute the outputs of one member's network: energy and trace, and the weights of vectors (order > 0) and tensors
// (order > 1).
template <class R>
TNEP_FUNCTION void network_outputs(const EnthalpyModel<R>& m, const SiteParameters<R>& p, int order, int count,
                                   const EnthalpyWorkspace<R>& w) {
  const Panels<R> w3{p.w3, m.Hp, m.Op};
  const int energy = 8 * m.Kp, vectors = (kVectors * m.Kp + kPanel - 1) / kPanel * kPanel;
  const int weights = order == 0 ? 0 : order == 1 ? vectors : energy;
  product<R>(count, w.hidden2, m.Hp, m.Hp, w3, 0, weights, p.b3, w.out);
  product<R>(count, w.hidden2, m.Hp, m.Hp, w3, energy, m.Op, p.b3, w.out);
}

// Compute the derivatives of one seed with respect to the second hidden layer.  At zero field, the enthalpy depends
// only on the energy, so the derivatives are the same for all centres, and a dipole only on the weights of vectors.
template <class R>
TNEP_FUNCTION void seed_backward(const EnthalpyModel<R>& m, const SiteParameters<R>& p, const EnthalpyTask& task, int s,
                                 int count, const EnthalpyWorkspace<R>& w) {
  const Panels<R> w3_t{p.w3_t, m.Op, m.Hp};
  R* d_hidden = w.d_hidden2 + int64_t(s) * count * m.Hp;
  const int64_t seed = task.seeds[s];
  if (!task.field && seed == kSeedEnthalpy) return repeat_row(w3_t, 8 * m.Kp, count, d_hidden);
  const bool all = task.field || seed >= kSeedPolarizability;
  R* d_out = w.d_out + int64_t(s) * count * m.Op;
  for (int i = 0; i < count; i++)
    seed_outputs(m, w.state + i * kState * m.Kp, w.seeds[int64_t(s) * count + i], all, d_out + i * m.Op);
  product<R>(count, d_out, m.Op, all ? m.Op : kVectors * m.Kp, w3_t, 0, m.Hp, nullptr, d_hidden);
}

// Evaluate centres order[0], ..., order[count - 1], which are all of one species.  Members share edges and densities.
// If there are several members, the densities of the block are kept, and the derivatives with respect to them are
// summed.
template <class R>
TNEP_FUNCTION void evaluate_block(const EnthalpyModel<R>& m, const EnthalpyTask& task, const Edges& e, int species,
                                  const int64_t* order, int count, const EnthalpyOutputs& out,
                                  EnthalpyWorkspace<R>& w) {
  using V = Vec<R>;
  const R inverse_cutoff = R(1.0 / task.cutoff);
  const int64_t Hp = m.Hp, Qp = m.Qp, Op = m.Op, state_size = kState * m.Kp;
  const int64_t size = m.rows * kComponents3, kept = m.members > 1 ? size : 0;
  const double none[3] = {0, 0, 0};
  const auto field_of = [&](int i) { return task.field ? task.field + task.field_stride * order[i] : none; };
  const int last = m.members - 1, rows = task.n_seeds * count;
  for (int member = 0; member <= last; member++) {
    const SiteParameters<R> p = site_parameters(m, member, species);
    for (int i = 0; i < count; i++) {
      R* own = w.density + i * kept;
      double* values = w.values + i * kValues;
      if (member == 0) {
        collect_edges(m, e, order[i], i, w);
        const int64_t slots = i * w.slots;
        density(m, inverse_cutoff, w.x + slots, w.y + slots, w.z + slots, w.slot_stride, w.filled + i * m.species, own);
        for (int k = 0; k < kValues; k++) values[k] = 0;
        if (m.zbl) values[kEnergy] = repulsion_energy(m, species, i, w);
      }
      R* q = w.q + i * Qp;
      site_forward(m, p, own, w.state + i * state_size, q);
      V linear = fill<V>(R(0));
      for (int64_t k = 0; k < Qp; k += kLanes<R>) linear += load<V>(q + k) * load<V>(p.linear + k);
      values[kEnergy] += sum(linear);
    }
    product<R>(count, w.q, Panels<R>{p.w1, m.Qp, m.Hp}, p.b1, w.hidden1);
    silu(w.hidden1, w.slope1, count * Hp);
    product<R>(count, w.hidden1, Panels<R>{p.w2, m.Hp, m.Hp}, p.b2, w.hidden2);
    silu(w.hidden2, w.slope2, count * Hp);
    network_outputs(m, p, task.order, count, w);

    for (int i = 0; i < count; i++) {
      add_values(m, task.order, w.state + i * state_size, w.out + i * Op, w.values + i * kValues);
      if (member == last) write_values(task, species, w.values + i * kValues, field_of(i), order[i], out);
      for (int s = 0; member == 0 && s < task.n_seeds; s++) {
        double c[10];
        seed_coefficients(int(task.seeds[s]), field_of(i), c);
        w.seeds[int64_t(s) * count + i] = site_seed<R>(c);
      }
    }
    if (task.n_seeds == 0) continue;

    for (int s = 0; s < task.n_seeds; s++) seed_backward(m, p, task, s, count, w);
    multiply_rows(w.d_hidden2, w.slope2, count * Hp, task.n_seeds);
    product<R>(rows, w.d_hidden2, Panels<R>{p.w2_t, m.Hp, m.Hp}, nullptr, w.d_hidden1);
    multiply_rows(w.d_hidden1, w.slope1, count * Hp, task.n_seeds);
    product<R>(rows, w.d_hidden1, Panels<R>{p.w1_t, m.Hp, m.Qp}, nullptr, w.d_q);

    for (int i = 0; i < count; i++) {
      R* d_density = w.d_density + i * kept * task.n_seeds;
      for (int s = 0; s < task.n_seeds; s++) {
        const int64_t row = int64_t(s) * count + i;
        R* d_q = w.d_q + row * Qp;
        const R energy = w.seeds[row].energy;
        if (energy != R(0))
          for (int64_t k = 0; k < Qp; k += kLanes<R>)
            store<V>(d_q + k, load<V>(d_q + k) + load<V>(p.linear + k) * energy);
        site_backward(m, p, w.state + i * state_size, w.out + i * Op, w.seeds[row], d_q, w.d_a, w.square, member > 0,
                      d_density + s * size);
      }
      if (member == last) edges_backward(m, task, inverse_cutoff, species, e.centers[order[i]], i, d_density, w, out);
    }
  }
}

TNEP_END
