// Scratch memory of one thread, reused for all its centres: arrays within one block of memory.
#pragma once

#include "core/common/edges.h"
#include "core/nep/api.h"

TNEP_BEGIN

// Neighbours of one species: slots [begin, begin + count), padded to whole vectors with points beyond the cutoff.
struct Group {
  int species, begin, count, vectors;
};

// Counts clock ticks for every part of the work if `ticks` is set; otherwise it costs only a well-predicted branch.
struct Stopwatch {
  uint64_t* ticks = nullptr;
  uint64_t last = 0;

  static TNEP_HD uint64_t now() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
  }
  TNEP_HD void start() {
    if (ticks) last = now();
  }
  TNEP_HD void lap(Part part) {
    if (!ticks) return;
    const uint64_t time = now();
    ticks[part] += time - last;
    last = time;
  }
};

// Arrays over "slots" hold the neighbours within the cutoff, sorted by species.  The angular neighbours are a subset,
// in blocks of one vector; arrays per block are indexed [row][lane].
template <class R>
struct Workspace : Slots<R> {
  int species_stride;  // slots of species t begin at t * species_stride
  int n_groups, n_angular, n_blocks;
  Group* groups;  // [T], of which n_groups are used: the species that occur
  R *r, *inverse_r;
  R *f[3], *cheb;  // cutoff function and derivatives, Chebyshev argument
  R* partial[3];   // dU/dr of every slot
  int32_t *angular_slot, *angular_species;
  R *ax, *ay, *az, *ar, *a_inverse_r, *a_inverse_cutoff;  // angular: unit vector, distance
  R* harmonics;                                           // [block][components][lane]
  R *t_harmonics, *along;  // their changes and those of the distance, for one component of the field
  R* g[3];                 // [angular][n]: radial functions and derivatives
  R* g_lanes[3];           // [block][n][lane]: the same, transposed
  R *sums, *d_sums;        // [components][n]: angular sums A and dU/dA
  R *q, *d_q;              // [dim]: descriptor and dU/dq
  R *hidden, *delta;       // [neurons]
  R* moments;              // [kr]: sums of fc T_k over one species
  R* expansion;            // [kr]: dU/d(fc T_k)
  // Arrays for response gradients, one set per component of the field.
  R *t_sums, *t_d_sums, *t_q, *t_d_q, *scalar_d_q, *scratch;
  R* gradients;  // [component * 3 + displacement][slot]
  int64_t slot_stride;
  Stopwatch watch;
};

// Lay out the arrays from `base` on (null: only count); returns the number of bytes.
template <class R>
inline size_t assign_memory(const Model<R>& m, int64_t max_edges, char* base, Workspace<R>& w) {
  size_t used = 0;
  const auto take = [&](auto*& pointer, int64_t count) {
    using Item = __typeof__(*pointer);
    pointer = reinterpret_cast<__typeof__(&*pointer)>(base + used);
    used += size_t(round_up(count * int64_t(sizeof(Item)) + 64, 64));
  };
  const int64_t W = kLanes<R>, components = (m.l_max + 1) * (m.l_max + 1) - 1;
  const int64_t angular = round_up(max_edges, W) + W;
  w.n_species = m.species;
  w.species_stride = int(round_up(max_edges, kPad) + 2 * kPad);
  const int64_t slots = m.species * w.species_stride;
  take(w.groups, m.species);
  take(w.cutoff2, m.species + kPad);
  take(w.filled, m.species);
  take(w.atom, slots);
  R** const of_slots[] = {&w.x,    &w.y,    &w.z,    &w.r,          &w.inverse_r,  &w.f[0],
                          &w.f[1], &w.f[2], &w.cheb, &w.partial[0], &w.partial[1], &w.partial[2]};
  for (R** p : of_slots) take(*p, slots);
  take(w.angular_slot, angular + kPad);
  take(w.angular_species, angular);
  R** const of_angular[] = {&w.ax, &w.ay, &w.az, &w.ar, &w.a_inverse_r, &w.a_inverse_cutoff};
  for (R** p : of_angular) take(*p, angular);
  take(w.harmonics, components * angular);
  take(w.t_harmonics, components * angular);
  take(w.along, angular);
  for (int d = 0; d < 3; d++) {
    take(w.g[d], m.na_pad * angular);
    take(w.g_lanes[d], m.na_pad * angular);
  }
  take(w.sums, components * m.na_pad);
  take(w.d_sums, components * m.na_pad);
  take(w.q, m.dim_pad + kPad);
  take(w.d_q, m.dim_pad + kPad);
  take(w.hidden, m.neurons_pad);
  take(w.delta, m.neurons_pad);
  take(w.moments, m.kr_pad);
  take(w.expansion, m.kr_pad);
  constexpr int64_t sets = 6;
  take(w.t_sums, sets * components * m.na_pad);
  take(w.t_d_sums, sets * components * m.na_pad);
  take(w.t_q, sets * (m.dim_pad + kPad));
  take(w.t_d_q, sets * (m.dim_pad + kPad));
  take(w.scalar_d_q, m.dim_pad);
  take(w.scratch, m.neurons_pad);
  take(w.gradients, 3 * sets * slots);
  w.slot_stride = slots;
  return used;
}

TNEP_END
