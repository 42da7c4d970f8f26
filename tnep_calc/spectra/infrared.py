"""Infrared absorption from the dipole fluctuations of a classical simulation."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .correlation import Signal, as_pieces, centre
from .dielectric import dielectric_function, dielectric_function_from_current, fluctuation_factor
from .estimate import estimate_spectrum
from .optics import optical_constants
from .record import Spectrum
from .streaming import apply

UNITS = {
    "absorption": "cm^-1",
    "eps_imag": "1",
    "eps_real": "1",
    "refractive_index": "1",
    "absorption_coefficient": "cm^-1",
    "reflectivity": "1",
}


def unit_vector(direction, name: str = "direction") -> np.ndarray:
    """Return `direction` (three numbers) as a unit vector, shape (3,); raise InputError if all are zero."""
    vector = np.asarray(direction, dtype=float)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not vector.any():
        raise InputError(f"{name} must be three numbers, not all zero, got {direction}")
    return vector / np.linalg.norm(vector)


def infrared_spectrum(
    dipole: Signal | None,
    dt: float,
    volume: float,
    temperature: float,
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    direction=None,
    eps_inf: float | None = None,
    max_wavenumber: float | None = None,
    current: Signal | None = None,
) -> Spectrum:
    r"""Return the infrared spectrum, ``n(w) alpha(w)`` in cm^-1, and the dielectric function.

    .. math:: n(\omega)\alpha(\omega) = \frac{\omega}{c}\epsilon''(\omega), \qquad
              \epsilon''(\omega) = \frac{\omega}{6 \epsilon_0 V k_B T}
              \int_{-\infty}^{\infty} \langle\delta M(0)\cdot\delta M(t)\rangle e^{i\omega t} dt

    (McQuarrie, Statistical Mechanics, ch. 21; for one Cartesian direction the factor is 2 instead of 6).

    No quantum correction must be applied, because this classical fluctuation-dissipation form is already exact for
    harmonic modes.  The factor ``x / (1 - exp(-x))`` from the classical to the quantum fluctuation and the factor
    ``(1 - exp(-x))`` from the fluctuation to the net absorption have the product ``x``, which is in the formula.
    The former alone would make a band at 500 cm^-1 and 300 K 2.6 times too strong.

    Parameters
    ----------
    dipole : ndarray, shape (n, 3), or sequence of such, in e·Å; or None
        Total dipole of the cell on one branch (:func:`tnep_calc.polarization.unwrap_dipole`); its mean is subtracted.
        None: use the `current`.
    dt : float, in fs
        Sampling interval.
    volume : float, in Å³
    temperature : float, in K
    resolution : float, optional, in cm^-1
        Full width at half maximum that an infinitely sharp mode gets. Default: 10, or more for a short run
        (:func:`.estimate.choose_resolution`).
    window : {"gaussian", "hann"}
        Lag window (:mod:`.windows`).
    blocks : int, optional
        Number of blocks for the error bars; 0 or 1: no error bars. Default: up to 20, each at least two windows long.
    direction : array_like, shape (3,), optional
        Direction n of the field, for the component ``n.eps.n``. Default: a third of the trace (isotropic average).
    eps_inf : float, optional
        Electronic dielectric constant (along `direction`). It adds the columns ``eps_real``, ``refractive_index``,
        ``absorption_coefficient`` (``alpha`` itself) and ``reflectivity``.
    max_wavenumber : float, optional, in cm^-1
        Last wavenumber of the result. Default: the Nyquist wavenumber.
    current : ndarray, shape (n, 3), or sequence of such, in e·Å/fs, optional
        ``dM/dt = sum_j Z_j . v_j`` instead of the dipole. It gives the same spectrum without polarization branches.

    Returns
    -------
    Spectrum
        Columns ``absorption`` (n·alpha, cm^-1, base e) and ``eps_imag``, and those that `eps_inf` adds.  The parameters
        contain ``static_fluctuation``, the value of ``(2 / pi) integral eps''/w dw``
        (:func:`.dielectric.static_sum_rule`).

    Raises
    ------
    InputError
        If an input has the wrong shape, is missing, not finite or not positive, or the series is too short.

    Examples
    --------
    >>> t = np.arange(40000.0)
    >>> M = np.outer(np.cos(0.1 * t), [1.0, 0.0, 0.0])
    >>> ir = infrared_spectrum(M, 1.0, 1000.0, 300.0, resolution=20.0)
    >>> float(round(ir.wavenumber[ir.values["absorption"].argmax()], -1))
    530.0
    """
    if dipole is not None and current is None:
        pieces, transform = centre(as_pieces(dipole, (3,), "dipole")), dielectric_function
    elif current is not None and dipole is None:
        pieces, transform = as_pieces(current, (3,), "current"), dielectric_function_from_current
    else:
        raise InputError("give either the dipole or the current")
    factor = fluctuation_factor(volume, temperature)
    if eps_inf is not None and not (np.isfinite(eps_inf) and eps_inf >= 1):
        raise InputError(f"eps_inf must be a number of at least 1, got {eps_inf}")
    components = 3
    if direction is not None:
        axis = unit_vector(direction)
        pieces, components = [apply(piece, lambda rows: (rows @ axis)[:, None]) for piece in pieces], 1

    at_zero: list[float] = []

    def evaluate(correlate, resolution):
        wavenumber, eps = transform(correlate() / components, dt, resolution, factor)
        at_zero.append(float(eps[0].real))
        values = {"absorption": 2 * np.pi * wavenumber * eps.imag, "eps_imag": eps.imag}
        if eps_inf is not None:
            optical = optical_constants(wavenumber, eps + eps_inf)
            values["eps_real"] = eps.real + eps_inf
            values |= {name: optical[name] for name in optical if name in UNITS}
        return wavenumber, values

    parameters = {
        "temperature_K": float(temperature),
        "volume_A3": float(volume),
        "route": "dipole" if current is None else "current",
        "direction": None if direction is None else axis.tolist(),
        "eps_inf": None if eps_inf is None else float(eps_inf),
        "quantum_correction": "none (the classical form is exact for harmonic modes)",
    }
    spectrum = estimate_spectrum(
        "infrared",
        pieces,
        dt,
        evaluate,
        UNITS,
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters=parameters,
    )
    spectrum.parameters["static_fluctuation"] = at_zero[0]  # of the whole run, which is evaluated first
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)
