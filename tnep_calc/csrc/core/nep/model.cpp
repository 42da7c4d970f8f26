// Views of packed NEP and TNEP models.
#include <stdexcept>
#include <string>

#include "core/nep/api.h"

namespace tnep {

namespace {

int64_t padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }

[[noreturn]] void refuse(const std::string& reason) { throw std::invalid_argument("packed NEP model: " + reason); }

}  // namespace

template <class R>
Model<R> make_model(const int64_t* h, int64_t header_size, const R* parameters, int64_t n_parameters) {
  if (header_size != kHeaderSize)
    refuse("the header must have " + std::to_string(int(kHeaderSize)) + " numbers, got " + std::to_string(header_size));
  if (h[kVersion] != kLayoutVersion)
    refuse("layout version " + std::to_string(h[kVersion]) + ", this library reads version " +
           std::to_string(kLayoutVersion) + ": export the model again");
  for (int field = kSpecies; field < kHeaderSize; field++) {
    const bool may_be_zero = field == kExtraFlags || field == kZbl;
    if (h[field] < (may_be_zero ? 0 : 1) || h[field] > 1000000)
      refuse("header field " + std::to_string(field) + " is out of range: " + std::to_string(h[field]));
  }
  if (h[kKind] < 0 || h[kKind] > 2 || h[kSpecies] > kMaxSpecies || h[kLMax] > kMaxL || h[kRadialK] > kMaxBasis ||
      h[kAngularK] > kMaxBasis || h[kExtraFlags] >= (1 << kExtraBlocks) || h[kNetworks] != (h[kKind] == 2 ? 2 : 1) ||
      h[kZbl] > 1 || (h[kNets] != 1 && h[kNets] != h[kSpecies]))
    refuse("the header is inconsistent");
  int64_t blocks = h[kLMax];
  for (int b = 0; b < kExtraBlocks; b++) {
    const bool on = h[kExtraFlags] >> b & 1;
    blocks += on;
    constexpr int needed[kExtraBlocks] = {2, 1, 2, 3, 3, 4};
    if (on && h[kLMax] < needed[b]) refuse("an optional block needs a larger l_max than " + std::to_string(h[kLMax]));
  }
  if (h[kDim] != h[kRadialN] + h[kAngularN] * blocks) refuse("the descriptor length does not fit the header");

  Model<R> m;
  m.kind = int(h[kKind]);
  m.species = int(h[kSpecies]);
  m.nr = int(h[kRadialN]);
  m.na = int(h[kAngularN]);
  m.kr = int(h[kRadialK]);
  m.ka = int(h[kAngularK]);
  m.l_max = int(h[kLMax]);
  m.extra = int(h[kExtraFlags]);
  m.neurons = int(h[kNeurons]);
  m.nets = int(h[kNets]);
  m.networks = int(h[kNetworks]);
  m.dim = int(h[kDim]);
  m.nr_pad = int(padded(m.nr));
  m.na_pad = int(padded(m.na));
  m.kr_pad = int(padded(m.kr));
  m.neurons_pad = int(padded(m.neurons));
  m.dim_pad = int(padded(m.dim));
  m.net_stride = int64_t(m.dim) * m.neurons_pad + int64_t(m.neurons) * m.dim_pad + 2 * m.neurons_pad;

  const int64_t pairs = int64_t(m.species) * m.species;
  int64_t used = 0;
  const auto take = [&](int64_t count) {
    const R* block = parameters + used;
    used += padded(count);
    return block;
  };
  m.radial_cutoffs = take(pairs);
  m.angular_cutoffs = take(pairs);
  m.q_scaler = take(m.dim);
  m.bias = take(int64_t(m.networks) * m.species);
  m.nets_begin = take(m.net_stride * m.networks * m.nets);
  m.radial_by_k = take(pairs * m.kr * m.nr_pad);
  m.radial_by_n = take(pairs * m.nr * m.kr_pad);
  m.angular_by_k = take(pairs * m.ka * m.na_pad);
  m.zbl = h[kZbl] ? take(pairs * kPad) : nullptr;
  if (used != n_parameters)
    refuse("the header asks for " + std::to_string(used) + " parameters, got " + std::to_string(n_parameters));
  return m;
}

template Model<float> make_model(const int64_t*, int64_t, const float*, int64_t);
template Model<double> make_model(const int64_t*, int64_t, const double*, int64_t);

}  // namespace tnep
