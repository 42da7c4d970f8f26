// SPDX-License-Identifier: GPL-2.0-or-later

#include "shared/correlator.h"

#include "shared/fourier.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

using namespace LAMMPS_NS;

static constexpr size_t SMALLEST_CHUNK = 256;  // samples that are transformed at once, if there are fewer lags

TnepCorrelator::TnepCorrelator(int components_in, int lags_in, int max_blocks_in)
    : components(components_in),
      lags(lags_in),
      pairs(components_in * (components_in + 1) / 2),
      max_blocks(max_blocks_in),
      block_length(2 * static_cast<int64_t>(lags_in)) {}

int64_t TnepCorrelator::samples() const {
  int64_t total = static_cast<int64_t>(rows(pending));
  for (const Block& block : blocks) total += block.samples;
  return total;
}

double TnepCorrelator::memory() const {
  return static_cast<double>(max_blocks) * lags * (pairs + 2 * components) * sizeof(double);
}

void TnepCorrelator::open_block(bool starts) {
  blocks.emplace_back();
  blocks.back().starts = starts;
  blocks.back().sum.assign(components, 0.0);
  blocks.back().products.assign(static_cast<size_t>(pairs) * lags, 0.0);
}

void TnepCorrelator::add(const double* sample, bool starts) {
  if (origin.empty()) origin.assign(sample, sample + components);
  if (blocks.empty() || starts) {
    absorb();
    if (static_cast<int>(blocks.size()) >= max_blocks) join_pairs();
    open_block(true);
  } else if (blocks.back().samples == block_length) open_block(false);
  for (int a = 0; a < components; a++) pending.push_back(sample[a] - origin[a]);
  const bool full = blocks.back().samples + static_cast<int64_t>(rows(pending)) == block_length;
  if (full || rows(pending) >= std::max(SMALLEST_CHUNK, static_cast<size_t>(lags))) absorb();
  if (full && static_cast<int>(blocks.size()) >= max_blocks) join_pairs();
}

// Move the pending samples into the sums of the last block.
void TnepCorrelator::absorb() {
  if (pending.empty()) return;
  Block& block = blocks.back();
  const size_t kept = static_cast<size_t>(components) * (lags - 1), history = rows(block.tail);
  block.samples += static_cast<int64_t>(rows(pending));
  for (size_t k = 0; k < pending.size(); k++) block.sum[k % components] += pending[k];
  block.head.insert(block.head.end(), pending.begin(),
                    pending.begin() + static_cast<ptrdiff_t>(std::min(pending.size(), kept - block.head.size())));
  block.tail.insert(block.tail.end(), pending.begin(), pending.end());
  add_products(block.tail, pending, history, block.products);
  if (block.tail.size() > kept) block.tail.erase(block.tail.begin(), block.tail.end() - static_cast<ptrdiff_t>(kept));
  pending.clear();
}

// Join neighbouring full blocks of one piece, and double the length of a full block.
void TnepCorrelator::join_pairs() {
  std::vector<Block> joined;
  for (size_t k = 0; k < blocks.size(); k++) {
    joined.push_back(std::move(blocks[k]));
    if (joined.back().samples != block_length || k + 1 == blocks.size()) continue;
    Block &block = joined.back(), &next = blocks[k + 1];
    if (next.samples != block_length || next.starts) continue;
    for (size_t i = 0; i < block.products.size(); i++) block.products[i] += next.products[i];
    add_products(block.tail, next.head, rows(block.tail), block.products);
    for (int a = 0; a < components; a++) block.sum[a] += next.sum[a];
    block.tail = std::move(next.tail);
    block.samples += next.samples;
    k++;
  }
  blocks = std::move(joined);
  block_length *= 2;
  if (static_cast<int>(blocks.size()) >= max_blocks)
    throw std::runtime_error("the samples have too many interruptions (" + std::to_string(blocks.size()) +
                             " pieces): sample without changes of the step number, or use more blocks");
}

// Add to products(a b, k) the sum over t of the symmetric part of earlier_a(t + offset - k) later_b(t), for all lags k.
void TnepCorrelator::add_products(const std::vector<double>& earlier, const std::vector<double>& later, size_t offset,
                                  std::vector<double>& products) const {
  if (earlier.empty() || later.empty()) return;
  // Padded with zeros, so that negative indices, which are periodic, do not reach the samples.
  const TnepFourier fourier(std::max(rows(earlier), offset + rows(later)) + lags - 1);
  const size_t n = fourier.size();
  const auto transformed = [&](const std::vector<double>& samples, size_t at, int a) {
    std::vector<std::complex<double>> x(n);
    for (size_t t = 0; t < rows(samples); t++) x[at + t] = samples[components * t + a];
    fourier.forward(x);
    return x;
  };
  std::vector<std::vector<std::complex<double>>> first, second;
  for (int a = 0; a < components; a++) {
    first.push_back(transformed(earlier, 0, a));
    second.push_back(transformed(later, offset, a));
  }
  size_t pair = 0;
  std::vector<std::complex<double>> power(n);
  for (int a = 0; a < components; a++)
    for (int b = a; b < components; b++, pair++) {
      for (size_t f = 0; f < n; f++)
        power[f] = 0.5 * (std::conj(first[a][f]) * second[b][f] + std::conj(first[b][f]) * second[a][f]);
      fourier.backward(power);
      for (int k = 0; k < lags; k++) products[pair * lags + k] += power[k].real();
    }
}

std::vector<double> TnepCorrelator::pack() {
  absorb();
  std::vector<double> out{static_cast<double>(components), static_cast<double>(lags), static_cast<double>(block_length),
                          static_cast<double>(blocks.size())};
  out.insert(out.end(), origin.begin(), origin.end());
  if (origin.empty()) out.resize(out.size() + components);
  for (const Block& block : blocks) {
    out.push_back(static_cast<double>(block.samples));
    out.push_back(block.starts ? 1.0 : 0.0);
    for (const auto* part : {&block.sum, &block.products, &block.head, &block.tail})
      out.insert(out.end(), part->begin(), part->end());
  }
  return out;
}

size_t TnepCorrelator::unpack(const double* state, size_t size) {
  size_t at = 0;
  const auto take = [&](size_t n) {
    if (n > size - at) throw std::runtime_error("the stored correlations are incomplete");
    at += n;
    return state + at - n;
  };
  const double* head = take(4);
  if (head[0] != components || head[1] != lags)
    throw std::runtime_error("the stored correlations have " + std::to_string(static_cast<int>(head[0])) +
                             " components and " + std::to_string(static_cast<int>(head[1])) + " lags, expected " +
                             std::to_string(components) + " and " + std::to_string(lags) +
                             ": use the timestep, interval and resolution of the run before");
  block_length = static_cast<int64_t>(head[2]);
  const double* first = take(components);
  origin.assign(first, first + components);
  blocks.clear();
  pending.clear();
  for (size_t k = 0; k < static_cast<size_t>(head[3]); k++) {
    const double* numbers = take(2);
    Block block;
    block.samples = static_cast<int64_t>(numbers[0]);
    block.starts = numbers[1] != 0.0;
    const size_t kept = static_cast<size_t>(components) * std::min<int64_t>(block.samples, lags - 1);
    const auto fill = [&](std::vector<double>& part, size_t n) {
      const double* from = take(n);
      part.assign(from, from + n);
    };
    fill(block.sum, components);
    fill(block.products, static_cast<size_t>(pairs) * lags);
    fill(block.head, kept);
    fill(block.tail, kept);
    blocks.push_back(std::move(block));
  }
  if (blocks.empty()) origin.clear();
  return at;
}
