// The kernels of NEP and TNEP for one l_max, TNEP_L, compiled for the CPU, see emulation.h.
#include "core/cuda/nep_order.cu"
