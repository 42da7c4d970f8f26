// The CUDA kernels, compiled for the CPU, see emulation.h.
#include "core/cuda/nep.cu"
