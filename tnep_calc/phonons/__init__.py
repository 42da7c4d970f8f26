"""Lattice dynamics with response: Gamma modes, LO-TO splitting; ``anharmonic``: force constants and conductivity."""

from .anharmonic.force_constants import force_constants
from .anharmonic.polymlp import PolymlpCalculator

__all__ = ["PolymlpCalculator", "force_constants"]
