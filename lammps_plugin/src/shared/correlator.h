// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_CORRELATOR_H
#define TNEP_CORRELATOR_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace LAMMPS_NS {

// Sums of products x_a(t) x_b(t + k) of a sampled signal for the lags k < `lags`, in memory that does not depend on the
// number of samples.
//
// The samples are cut into blocks of equal length, first of 2 `lags` samples.  When there are `max_blocks` full blocks,
// neighbouring blocks are joined in pairs, and the length doubles.  Products are formed within a block only.  Each
// block keeps its first and last `lags` - 1 samples, from which the products across the seam between two blocks follow,
// so that the correlation of the whole signal is exact (tnep_calc/spectra/accumulated.py).  A piece is a part of the
// signal without interruption; nothing is correlated across pieces.
class TnepCorrelator {
 public:
  TnepCorrelator(int components, int lags, int max_blocks);

  // Add a sample of `components` numbers; `starts` if it does not follow the sample before at the sampling interval.
  // Throws std::runtime_error if there are more pieces than blocks.
  void add(const double* sample, bool starts);

  int64_t samples() const;
  double memory() const;  // largest size in bytes that the blocks can reach

  // The state as numbers: components, lags, block length, number of blocks, origin (components), and for each block:
  // samples, 1 if it starts a piece else 0, sum (components), products (pairs, lags) with pairs (a, b) in the order 00
  // 01 .. 11 12 .., the first and the last min(samples, lags - 1) samples (rows, components).  The origin, which is the
  // first sample, is subtracted from all samples.
  std::vector<double> pack();

  // Continue from a packed state; returns its number of numbers.  Throws std::runtime_error unless it has `size`
  // numbers or more, and the same components and lags.
  size_t unpack(const double* state, size_t size);

 private:
  struct Block {
    int64_t samples = 0;
    bool starts = false;
    std::vector<double> sum, products, head, tail;
  };
  int components, lags, pairs, max_blocks;
  int64_t block_length;
  std::vector<Block> blocks;
  std::vector<double> origin, pending;  // pending: samples of the last block that are not in its sums yet

  void open_block(bool starts);
  void absorb();
  void join_pairs();
  void add_products(const std::vector<double>& earlier, const std::vector<double>& later, size_t offset,
                    std::vector<double>& products) const;
  size_t rows(const std::vector<double>& samples) const { return samples.size() / components; }
};

}  // namespace LAMMPS_NS

#endif
