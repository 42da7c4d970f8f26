// The entry of the instruction set in use, out of one per set.
#pragma once

#include <cstring>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "kernels.h"

namespace tnep {

template <class T>
struct OfSet {
  const char* name;
  const T* entry;
};

// Throws std::invalid_argument if there is none.
template <class T>
const T& chosen(std::initializer_list<OfSet<T>> all) {
  const char* name = instruction_set();
  for (const OfSet<T>& one : all)
    if (std::strcmp(one.name, name) == 0) return *one.entry;
  throw std::invalid_argument(std::string("there are no kernels of this kind for the instruction set ") + name);
}

}  // namespace tnep
