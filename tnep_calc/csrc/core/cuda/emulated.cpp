// The CUDA kernels compiled for the CPU, see emulation.h.
#include "core/cuda/enthalpy_edges.cu"
#include "core/cuda/enthalpy_outputs.cu"
#include "core/cuda/enthalpy_sites.cu"
#include "core/cuda/nep.cu"
#include "core/cuda/sums.cu"
