"""GPUMD training folders: the program ``nep`` replaced, with its evolution strategy."""
