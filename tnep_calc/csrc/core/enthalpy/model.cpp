// Views of packed electric-enthalpy models.
#include <stdexcept>
#include <string>

#include "core/enthalpy/api.h"

namespace tnep {

namespace {

int up(int64_t n, int multiple) { return int((n + multiple - 1) / multiple * multiple); }

[[noreturn]] void refuse(const std::string& reason) { throw std::invalid_argument("packed enthalpy model: " + reason); }

}  // namespace

template <class R>
EnthalpyModel<R> make_enthalpy_model(const int64_t* h, int64_t header_size, const R* parameters, int64_t n_parameters) {
  const int64_t version = header_size > 0 ? h[kEVersion] : 0;
  if (version < 1 || version > kEnthalpyVersion)
    refuse("layout version " + std::to_string(version) + ", this library reads versions 1 to " +
           std::to_string(kEnthalpyVersion) + ": export the model again");
  const int64_t expected = version == 1 ? int64_t(kEMembers) : int64_t(kEHeaderSize);
  if (header_size != expected)
    refuse("the header must have " + std::to_string(expected) + " numbers, got " + std::to_string(header_size));
  const int64_t limits[kEHeaderSize] = {0, kMaxSpecies, kMaxRadial, 1024, 4096, 1, 1024};
  for (int field = kESpecies; field < header_size; field++)
    if (h[field] < (field == kEZbl ? 0 : 1) || h[field] > limits[field])
      refuse("header field " + std::to_string(field) + " is out of range: " + std::to_string(h[field]));

  EnthalpyModel<R> m;
  m.members = version == 1 ? 1 : int(h[kEMembers]);
  m.species = int(h[kESpecies]);
  m.radial = int(h[kERadial]);
  m.channels = int(h[kEChannels]);
  m.hidden = int(h[kEHidden]);
  m.rows = m.species * m.radial;
  m.Kp = up(m.channels, 16);
  m.Hp = up(m.hidden, 32);
  m.grams = up(3 * m.channels * (m.channels + 1) / 2, 16);
  m.Qp = up(m.grams + 20 * m.Kp, 32);
  m.Op = up(8 * m.Kp + 2, 32);
  const int64_t K = m.channels, Kp = m.Kp, Hp = m.Hp, Qp = m.Qp, Op = m.Op;
  m.stride = 4 * m.rows * Kp + m.rows * K * 16 + 4 * K * Kp + 2 * Qp + 2 * Hp + Op + 2 * (Qp * Hp + Hp * Hp + Hp * Op);
  const int64_t zbl = h[kEZbl] ? int64_t(m.species) * m.species * kPad : 0;
  m.zbl = zbl ? parameters : nullptr;
  m.sites = parameters + zbl;
  const int64_t wanted = zbl + m.stride * m.species * m.members;
  if (wanted != n_parameters)
    refuse("the header asks for " + std::to_string(wanted) + " parameters, got " + std::to_string(n_parameters));
  return m;
}

template EnthalpyModel<float> make_enthalpy_model(const int64_t*, int64_t, const float*, int64_t);
template EnthalpyModel<double> make_enthalpy_model(const int64_t*, int64_t, const double*, int64_t);

}  // namespace tnep
