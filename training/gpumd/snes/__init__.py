"""GPUMD's separable natural evolution strategy (SNES) in its training folders."""
