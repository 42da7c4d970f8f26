// Constants shared by the packed models of all families.
#pragma once

#include <cstdint>

namespace tnep {

constexpr int64_t kPad = 16;  // rows are padded with zeros to a multiple of this
constexpr int64_t kMaxSpecies = 1000;

}  // namespace tnep
