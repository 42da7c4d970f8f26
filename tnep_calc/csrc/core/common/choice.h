// The instruction set in use, chosen once for all kernels, and the selection of its entry points.
#pragma once

#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace tnep {

// "generic", "avx2" or "avx512": the most capable set of the processor.  The environment variable TNEP_SIMD overrides
// the choice; throws std::invalid_argument if the processor lacks that set or the name is unknown.
const char* instruction_set();

template <class T>
struct OfSet {
  const char* name;
  T entry;  // a pointer
};

// The entry for the instruction set in use; throws std::invalid_argument if there is none.
template <class T>
T chosen(std::initializer_list<OfSet<T>> all) {
  const char* name = instruction_set();
  for (const OfSet<T>& one : all)
    if (std::strcmp(one.name, name) == 0) return one.entry;
  throw std::invalid_argument(std::string("there are no kernels of this kind for the instruction set ") + name);
}

}  // namespace tnep
