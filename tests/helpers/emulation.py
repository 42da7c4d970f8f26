"""The CUDA kernels compiled for the CPU, for tests."""

import os
from pathlib import Path

import pytest
import torch

from tnep_calc import ops


def emulated_operators():
    """Return the operators ``torch.ops.tnep_emulated``; skip the calling test module where they were not built."""
    if not ops.load():
        pytest.skip(f"native kernels: {ops.status().detail}", allow_module_level=True)
    library = Path(os.environ.get("TNEP_EMULATED_LIBRARY", Path(ops.status().path).with_name("libtnep_emulated.so")))
    if not library.exists():
        pytest.skip("the emulated CUDA kernels were not built (CMake option TNEP_EMULATION)", allow_module_level=True)
    torch.ops.load_library(library)
    return torch.ops.tnep_emulated
