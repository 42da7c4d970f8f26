"""Infrared, Raman and dielectric response from machine-learned models.

Importing the package is fast: torch is imported only when a model is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_PUBLIC = {
    "TNEPCalculator": "tnep_calc.calculators.tnep",
    "load_artifact": "tnep_calc.artifact",
    "export_artifact": "tnep_calc.artifact",
    "read_nep": "tnep_calc.io.gpumd.nep_txt",
    "write_nep": "tnep_calc.io.gpumd.nep_txt",
}

__all__ = ["TNEPCalculator", "__version__", "export_artifact", "load_artifact", "read_nep", "write_nep"]

if TYPE_CHECKING:
    from .artifact import export_artifact, load_artifact
    from .calculators.tnep import TNEPCalculator
    from .io.gpumd.nep_txt import read_nep, write_nep


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'tnep_calc' has no attribute '{name}'")
