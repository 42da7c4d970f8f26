// Sums over edges for atoms, on a GPU.
#include "core/cuda/edges.h"

TNEP_BEGIN

// Add the values of edges to the atoms at their ends with atomic additions: with a plus sign where edges begin
// (`centers`), with a minus sign where they end (`neighbors`).
template <class T>
TNEP_GLOBAL scatter_kernel(DeviceEdges e, const T* values, int size, int stride, bool centers, bool neighbors,
                           double* atoms) {
  const Block block{nullptr};
  for (int64_t c = Block::index(); c < e.n_centers; c += Block::count()) {
    const int64_t begin = e.offsets[c], count = e.offsets[c + 1] - begin, atom = e.centers[c];
    if (centers)
      block.each(size, [&](int64_t k) {
        double total = 0;
        for (int64_t i = 0; i < count; i++) total += double(values[(begin + i) * size + k]);
        atomic_add(atoms + atom * stride + k, total);
      });
    if (neighbors)
      block.each(count * size, [&](int64_t i) {
        const int64_t edge = begin + i / size, k = i % size;
        atomic_add(atoms + neighbor_of(e, edge) * stride + k, -double(values[edge * size + k]));
      });
  }
}

// Subtract from each atom the values of the edges that end there, in a fixed order.  One block handles kThreads atoms.
template <class T>
TNEP_GLOBAL gather_kernel(DeviceEdges e, const T* values, int size, int stride, const int64_t* incoming,
                          const int64_t* starts, double* atoms) {
  const Block block{nullptr};
  for (int64_t first = Block::index() * kThreads; first < e.n_atoms; first += Block::count() * kThreads) {
    const int64_t count = e.n_atoms - first < kThreads ? e.n_atoms - first : kThreads;
    block.each(count * size, [&](int64_t i) {
      const int64_t atom = first + i / size, k = i % size;
      double total = 0;
      for (int64_t at = starts[atom]; at < starts[atom + 1]; at++) total += double(values[incoming[at] * size + k]);
      atoms[atom * stride + k] -= total;
    });
  }
}

// Set nine[edge][3 a + b] to r_a P_b of every edge.
template <class R>
TNEP_GLOBAL virial_kernel(DeviceEdges e, const R* partials, double* nine) {
  const Block block{nullptr};
  for (int64_t c = Block::index(); c < e.n_centers; c += Block::count()) {
    const int64_t begin = e.offsets[c], atom = e.centers[c];
    block.each(9 * (e.offsets[c + 1] - begin), [&](int64_t i) {
      const int64_t edge = begin + i / 9;
      const int a = int(i % 9) / 3, b = int(i % 9) % 3;
      nine[9 * edge + a * 3 + b] = component(e, atom, edge, a) * double(partials[3 * edge + b]);
    });
  }
}

constexpr int64_t kMostBlocks = int64_t(1) << 20;

template <class T>
void scatter(const DeviceEdges& e, const T* values, int size, int stride, bool centers, const int64_t* incoming,
             const int64_t* starts, double* atoms, void* stream) {
  if (e.n_edges == 0) return;
  const int64_t blocks = e.n_centers < kMostBlocks ? e.n_centers : kMostBlocks;
  if (centers || !incoming)
    TNEP_LAUNCH((scatter_kernel<T>), blocks, 0, stream, e, values, size, stride, centers, incoming == nullptr, atoms);
  if (!incoming) return;
  const int64_t groups = (e.n_atoms + kThreads - 1) / kThreads;
  TNEP_LAUNCH((gather_kernel<T>), (groups < kMostBlocks ? groups : kMostBlocks), 0, stream, e, values, size, stride,
              incoming, starts, atoms);
}

template <class R>
void edge_virials(const DeviceEdges& e, const R* partials, double* nine, void* stream) {
  if (e.n_edges == 0) return;
  const int64_t blocks = e.n_centers < kMostBlocks ? e.n_centers : kMostBlocks;
  TNEP_LAUNCH((virial_kernel<R>), blocks, 0, stream, e, partials, nine);
}

#define TNEP_INSTANTIATE(R)                                                                                            \
  template void scatter(const DeviceEdges&, const R*, int, int, bool, const int64_t*, const int64_t*, double*, void*); \
  template void edge_virials(const DeviceEdges&, const R*, double*, void*);
TNEP_INSTANTIATE(float)
TNEP_INSTANTIATE(double)
#undef TNEP_INSTANTIATE

TNEP_END
