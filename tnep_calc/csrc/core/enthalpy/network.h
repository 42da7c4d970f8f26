// The network of an electric-enthalpy model for many centres at once: products with matrices in panels, and SiLU.
#pragma once

#include "core/common/elementary.h"

TNEP_BEGIN

constexpr int kPanel = 32;  // columns of a panel, see layout.h
#if defined(__AVX512F__)
constexpr int kTileRows = 12;  // 24 of 32 registers hold results
#else
constexpr int kTileRows = 6;  // 12 of 16
#endif

// Product of M rows with two vectors of columns of one panel.
template <int M, class R>
TNEP_FUNCTION void product_tile(const R* in, int in_stride, int inner, const R* panel, const R* bias, R* out,
                                int out_stride) {
  using V = Vec<R>;
  constexpr int W = kLanes<R>;
  V acc[M][2];
  TNEP_UNROLL(12)
  for (int i = 0; i < M; i++) {
    acc[i][0] = bias ? load<V>(bias) : fill<V>(R(0));
    acc[i][1] = bias ? load<V>(bias + W) : fill<V>(R(0));
  }
  for (int k = 0; k < inner; k++) {
    const V left = load<V>(panel + k * kPanel), right = load<V>(panel + k * kPanel + W);
    TNEP_UNROLL(12)
    for (int i = 0; i < M; i++) {
      const V factor = fill<V>(in[i * in_stride + k]);
      acc[i][0] += left * factor;
      acc[i][1] += right * factor;
    }
  }
  TNEP_UNROLL(12)
  for (int i = 0; i < M; i++) {
    store<V>(out + i * out_stride, acc[i][0]);
    store<V>(out + i * out_stride + W, acc[i][1]);
  }
}

template <int M, class R>
TNEP_HD void product_rows(int rows, const R* in, int in_stride, int inner, const R* panel, const R* bias, R* out,
                          int out_stride) {
  if constexpr (M > 0) {
    if (rows == M) product_tile<M>(in, in_stride, inner, panel, bias, out, out_stride);
    else product_rows<M - 1>(rows, in, in_stride, inner, panel, bias, out, out_stride);
  }
}

// A matrix in panels, see layout.h.
template <class R>
struct Panels {
  const R* values;
  int rows, columns;
};

// Compute the columns first, ..., last - 1 (multiples of a panel) of
// out[rows][columns] = in[rows][inner] matrix[inner][columns] + bias (null: none), using the first `inner` rows of the
// matrix.
template <class R>
TNEP_FUNCTION void product(int rows, const R* in, int in_stride, int inner, const Panels<R>& matrix, int first,
                           int last, const R* bias, R* out) {
  for (int column = first; column < last; column += kPanel) {
    const R* panel = matrix.values + int64_t(matrix.rows) * column;
    for (int row = 0; row < rows; row += kTileRows) {
      const int count = rows - row < kTileRows ? rows - row : kTileRows;
      for (int part = 0; part < kPanel; part += 2 * kLanes<R>)
        product_rows<kTileRows>(count, in + int64_t(row) * in_stride, in_stride, inner, panel + part,
                                bias ? bias + column + part : nullptr,
                                out + int64_t(row) * matrix.columns + column + part, matrix.columns);
    }
  }
}

// out[rows][columns] = in[rows][rows of the matrix] matrix + bias (null: none).
template <class R>
TNEP_FUNCTION void product(int rows, const R* in, const Panels<R>& matrix, const R* bias, R* out) {
  product(rows, in, matrix.rows, matrix.rows, matrix, 0, matrix.columns, bias, out);
}

// Write row `row` of a matrix `count` times.
template <class R>
TNEP_FUNCTION void repeat_row(const Panels<R>& matrix, int row, int count, R* out) {
  using V = Vec<R>;
  for (int i = 0; i < count; i++)
    for (int column = 0; column < matrix.columns; column += kPanel, out += kPanel) {
      const R* from = matrix.values + (int64_t(matrix.rows) * column + int64_t(row) * kPanel);
      for (int part = 0; part < kPanel; part += kLanes<R>) store<V>(out + part, load<V>(from + part));
    }
}

// Replace z by z / (1 + e^-z), and set slope to the derivative.
template <class R>
TNEP_FUNCTION void silu(R* z, R* slope, int64_t n) {
  using V = Vec<R>;
  const V limit = fill<V>(R(sizeof(R) == 4 ? 80 : 600)), one = fill<V>(R(1));
  for (int64_t i = 0; i < n; i += kLanes<R>) {
    const V v = load<V>(z + i);
    V y = v < limit ? v : limit;
    y = y > -limit ? y : -limit;
    const V sigmoid = one / (one + exponential(-y));
    store<V>(z + i, v * sigmoid);
    store<V>(slope + i, sigmoid * (one + v * (one - sigmoid)));
  }
}

// values[seed][row] *= slope[row] for rows of length n (a multiple of a vector).
template <class R>
TNEP_FUNCTION void multiply_rows(R* values, const R* slope, int64_t n, int seeds) {
  using V = Vec<R>;
  for (int s = 0; s < seeds; s++, values += n)
    for (int64_t i = 0; i < n; i += kLanes<R>) store<V>(values + i, load<V>(values + i) * load<V>(slope + i));
}

TNEP_END
