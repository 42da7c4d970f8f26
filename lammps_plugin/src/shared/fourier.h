// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_FOURIER_H
#define TNEP_FOURIER_H

#include <cmath>
#include <complex>
#include <cstddef>
#include <utility>
#include <vector>

namespace LAMMPS_NS {

// Discrete Fourier transform of a power of two of complex numbers (Cooley and Tukey, Math. Comput. 19, 297 (1965)).
class TnepFourier {
 public:
  // The size is the smallest power of two that is at least `least`.
  explicit TnepFourier(size_t least) {
    while (n < least) n *= 2;
    const double turn = -6.283185307179586476925 / static_cast<double>(n);
    for (size_t k = 0; k < n / 2; k++) roots.push_back(std::polar(1.0, turn * static_cast<double>(k)));
  }

  size_t size() const { return n; }

  // Replace x by sum_t x(t) exp(-2 pi i f t / n), or by sum_f x(f) exp(2 pi i f t / n) / n.
  void forward(std::vector<std::complex<double>>& x) const { transform(x, false); }
  void backward(std::vector<std::complex<double>>& x) const {
    transform(x, true);
    for (auto& value : x) value /= static_cast<double>(n);
  }

 private:
  size_t n = 1;
  std::vector<std::complex<double>> roots;

  void transform(std::vector<std::complex<double>>& x, bool inverse) const {
    for (size_t i = 1, j = 0; i < n; i++) {  // order by reversed bits
      size_t bit = n / 2;
      for (; j & bit; bit /= 2) j ^= bit;
      j ^= bit;
      if (i < j) std::swap(x[i], x[j]);
    }
    for (size_t length = 2; length <= n; length *= 2)
      for (size_t start = 0; start < n; start += length)
        for (size_t k = 0; k < length / 2; k++) {
          const auto& root = roots[k * (n / length)];
          const double c = root.real(), s = inverse ? -root.imag() : root.imag();
          const auto &even = x[start + k], &odd = x[start + k + length / 2];
          const std::complex<double> turned(odd.real() * c - odd.imag() * s, odd.real() * s + odd.imag() * c);
          const std::complex<double> sum = even + turned, difference = even - turned;
          x[start + k] = sum;
          x[start + k + length / 2] = difference;
        }
  }
};

}  // namespace LAMMPS_NS

#endif
