"""Raman scattering from the polarizability fluctuations of a classical simulation."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS, POLARIZABILITY_TO_A3
from .correlation import Signal, as_pieces, centre, one_sided_transform
from .estimate import estimate_spectrum
from .infrared import unit_vector
from .quantum import bose_factor, check_temperature, laser_factor
from .record import Spectrum

UNITS = dict.fromkeys(("VV", "VH", "unpolarised", "isotropic", "anisotropic", "oriented"), "A^6/cm^-1")

VV_ANISOTROPIC = 2.0 / 15.0
"""Weight of the anisotropic spectrum ``S[tr(B B)]`` in VV: 4/45 of gamma^2 = (3/2) tr(B B)."""

VH_ANISOTROPIC = 1.0 / 10.0
"""Weight of the anisotropic spectrum in VH: 1/15 of gamma^2."""


def invariants(polarizability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean polarizability and the anisotropic part of symmetric tensors.

    Parameters
    ----------
    polarizability : ndarray, shape (n, 3, 3) or (n, 9)

    Returns
    -------
    mean : ndarray, shape (n,)
        A third of the trace.
    anisotropic : ndarray, shape (n, 6)
        Traceless part B as (xx, yy, zz, sqrt2 yz, sqrt2 xz, sqrt2 xy), so that its square is ``tr(B B)``.
    """
    tensor = polarizability.reshape(-1, 3, 3)
    mean = np.trace(tensor, axis1=1, axis2=2) / 3
    anisotropic = np.empty((len(tensor), 6))
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        if i == j:
            anisotropic[:, k] = tensor[:, i, i] - mean
        else:
            anisotropic[:, k] = np.sqrt(0.5) * (tensor[:, i, j] + tensor[:, j, i])
    return mean, anisotropic


def raman_spectrum(
    polarizability: Signal,
    dt: float,
    temperature: float,
    resolution: float = 10.0,
    window: str = "gaussian",
    blocks: int | None = None,
    laser: float = 532.0,
    polarizations=None,
    max_wavenumber: float = 4500.0,
) -> Spectrum:
    r"""Return the Stokes Raman spectrum of a powder, liquid or gas, or of an oriented crystal.

    .. math:: I(\tilde\nu) = \left(\frac{\tilde\nu_L - \tilde\nu}{\tilde\nu_L}\right)^4
              \frac{x}{1 - e^{-x}}\, L(\tilde\nu), \qquad x = \frac{h c \tilde\nu}{k_B T}

    with the classical line shapes ``L_VV = S[a] + (2/15) S[tr(B B)]`` and ``L_VH = (1/10) S[tr(B B)]``, where
    ``alpha = a 1 + B``, ``a = tr(alpha) / 3`` (McQuarrie, Statistical Mechanics, ch. 21; with gamma^2 = (3/2) tr(B B)
    these are the weights (45 a^2 + 4 gamma^2)/45 and gamma^2/15).  VH/VV is at most 3/4.  ``S`` is normalised per
    wavenumber: ``integral of S[a] over all (positive and negative) wavenumbers = <(a - <a>)^2>``.

    Intensities are relative to the fourth power of the laser frequency and share one absolute scale, so that spectra
    of different runs and lasers can be compared after multiplication by ``w_L^4``.

    Parameters
    ----------
    polarizability : ndarray, shape (n, 3, 3), or sequence of such, in e·Å²/V
        Total polarizability of the cell; the mean (Rayleigh line) is removed.
    dt : float, in fs
        Sampling interval.
    temperature : float, in K
    resolution : float, in cm^-1
        Full width at half maximum of an infinitely sharp mode.
    window : {"gaussian", "hann"}
    blocks : int, optional
        Number of blocks for the error bars; 0 or 1: none; None: up to 20, each at least two windows long.
    laser : float, in nm
        Vacuum wavelength of the exciting laser.
    polarizations : pair of array_like, shape (3,), optional
        Directions of the incident and the scattered field of an oriented crystal; adds the column ``oriented``, the
        line shape of ``e_s . alpha . e_i`` with the same factors.
    max_wavenumber : float, in cm^-1
        Where the result ends (at most the Nyquist wavenumber).

    Returns
    -------
    Spectrum
        Columns ``VV``, ``VH``, ``unpolarised`` (VV + VH: no analyser) and the classical line shapes ``isotropic``
        ``S[a]`` and ``anisotropic`` ``S[tr(B B)]`` without the two factors; all in Å^6 per cm^-1 (volume
        polarizability squared).

    Raises
    ------
    InputError
        If an input has the wrong shape, is missing, not finite or not positive, or the series is too short.

    Examples
    --------
    >>> t = np.arange(40000.0)
    >>> alpha = np.cos(0.1 * t)[:, None, None] * np.diag([1.0, 1.0, 1.0])
    >>> raman = raman_spectrum(alpha, 1.0, 300.0, resolution=20.0)
    >>> float(round(raman.wavenumber[raman.values["VV"].argmax()], -1)), bool(raman.values["VH"].max() < 1e-20)
    (530.0, True)
    """
    tensors = as_pieces(polarizability, (3, 3), "polarizability")
    check_temperature(temperature)
    laser_factor(0.0, laser)
    if not max_wavenumber > 0:
        raise InputError(f"max_wavenumber must be a positive number of cm^-1, got {max_wavenumber}")
    columns = []
    for piece in centre(tensors):
        mean, anisotropic = invariants(piece)
        columns.append(np.column_stack([mean, anisotropic]) * POLARIZABILITY_TO_A3)
    if polarizations is not None:
        incident, scattered = (unit_vector(e, "a polarization") for e in polarizations)
        projected = [
            POLARIZABILITY_TO_A3 * np.einsum("i,tij,j->t", scattered, piece.reshape(-1, 3, 3), incident)
            for piece in centre(tensors)
        ]
        columns = [np.column_stack(pair) for pair in zip(columns, projected, strict=True)]

    def lineshape(correlation):
        wavenumber, transform = one_sided_transform(correlation, dt, resolution)
        return wavenumber, transform.real * INV_CM_TO_RAD_PER_FS / np.pi

    def evaluate(parts, correlate):
        wavenumber, isotropic = lineshape(correlate([part[:, 0] for part in parts]))
        anisotropic = lineshape(correlate([part[:, 1:7] for part in parts]))[1]
        keep = wavenumber <= max_wavenumber
        factor = bose_factor(wavenumber[keep], temperature) * laser_factor(wavenumber[keep], laser)
        isotropic, anisotropic = isotropic[keep], anisotropic[keep]
        values = {
            "VV": factor * (isotropic + VV_ANISOTROPIC * anisotropic),
            "VH": factor * VH_ANISOTROPIC * anisotropic,
            "unpolarised": factor * (isotropic + (VV_ANISOTROPIC + VH_ANISOTROPIC) * anisotropic),
            "isotropic": isotropic,
            "anisotropic": anisotropic,
        }
        if polarizations is not None:
            values["oriented"] = factor * lineshape(correlate([part[:, 7] for part in parts]))[1][keep]
        return wavenumber[keep], values

    parameters = {
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "intensity_factors": "((w_L - w) / w_L)^4 * x / (1 - exp(-x)), x = h c w / k T (not on isotropic, anisotropic)",
        "polarizations": None if polarizations is None else [incident.tolist(), scattered.tolist()],
    }
    return estimate_spectrum(
        "raman", columns, dt, evaluate, UNITS,
        resolution=resolution, window=window, blocks=blocks, parameters=parameters,
    )  # fmt: skip
