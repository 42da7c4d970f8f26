"""Training in GPUMD folders, in place of GPUMD's program ``nep``, by gradients or by its evolution strategy."""
