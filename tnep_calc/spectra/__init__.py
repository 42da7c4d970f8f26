"""Spectra and dielectric response from time series.

All functions take and return numpy arrays; files, plots and torch are not used.  Conventions of every function:

* A *signal* is an array whose first axis is time, or a sequence of such arrays.  These are independent pieces with the
  same sampling interval, such as separate runs; correlations are never computed across pieces.
* Spectra are two-sided transforms of classical, stationary correlation functions,
  ``S(w) = integral over all t of <x(0) x(t)> exp(i w t)``, so that ``integral S dw / 2 pi = <x^2>``.
* Units: time in fs, wavenumbers in cm^-1, temperature in K, volume in Å³, dipole (e·Å) and polarizability (e·Å²/V) of
  the whole cell.
"""

from ..polarization import align_branches, unwrap_dipole
from .accumulated import AccumulatedSignal
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
    "AccumulatedSignal",
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
