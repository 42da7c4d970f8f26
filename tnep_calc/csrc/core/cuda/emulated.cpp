// The CUDA kernels compiled for the CPU, see emulation.h.
#include "core/cuda/enthalpy.cu"
#include "core/cuda/nep.cu"
#include "core/cuda/sums.cu"
