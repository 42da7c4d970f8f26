// SPDX-License-Identifier: GPL-2.0-or-later

#ifndef TNEP_PRECISION_H
#define TNEP_PRECISION_H

#include <string>

namespace torch::jit {
struct Module;
}

namespace LAMMPS_NS {

// Change the floating-point tensors of a model and its attributes `dtype` to another type, "float32" or "float64".  The
// tensors that the model names in its list `always_double` are not changed.  Files of earlier versions have no such
// list; for the `family` "enthalpy" it is known.  tnep_calc/artifact/precision.py does the same in Python.
void tnep_cast(torch::jit::Module& module, const std::string& dtype, const std::string& family);

}  // namespace LAMMPS_NS

#endif
