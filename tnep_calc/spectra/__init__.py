"""Spectra and dielectric response from time series: numpy in, numpy out; no files, no plots, no torch.

Conventions, used by every function here:

* A *signal* is an array whose first axis is time, or a sequence of such arrays (independent pieces with the same
  sampling interval, such as separate runs); correlations never reach across pieces.
* Two-sided transform of the classical, stationary correlation function:
  ``S(w) = integral over all t of <x(0) x(t)> exp(i w t)``, so that ``integral S dw / 2 pi = <x^2>``.
* Time in fs, wavenumbers in cm^-1, temperature in K, dipole in e·Å and polarizability in e·Å²/V of the whole cell,
  volume in Å³.
"""

from ..polarization import align_branches, unwrap_dipole
from .correlation import autocorrelation, correlation_tensor, split_blocks
from .dielectric import dielectric_function, dielectric_function_from_current
from .infrared import infrared_spectrum
from .members import combine_members
from .optics import kramers_kronig, optical_constants, reflectivity
from .peaks import Peak, find_peaks
from .porto import parse_porto, polarization_settings
from .quantum import bose_factor, laser_factor
from .raman import raman_spectrum
from .record import Spectrum
from .response import dielectric_spectrum
from .static import electronic_dielectric, static_dielectric
from .streaming import LazySignal
from .windows import lag_window

__all__ = [
    "LazySignal",
    "Peak",
    "Spectrum",
    "align_branches",
    "autocorrelation",
    "bose_factor",
    "combine_members",
    "correlation_tensor",
    "dielectric_function",
    "dielectric_function_from_current",
    "dielectric_spectrum",
    "electronic_dielectric",
    "find_peaks",
    "infrared_spectrum",
    "kramers_kronig",
    "lag_window",
    "laser_factor",
    "optical_constants",
    "parse_porto",
    "polarization_settings",
    "raman_spectrum",
    "reflectivity",
    "split_blocks",
    "static_dielectric",
    "unwrap_dipole",
]
