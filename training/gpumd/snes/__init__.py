"""GPUMD's evolution strategy (SNES) in its training folders."""
