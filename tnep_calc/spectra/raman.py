"""Raman scattering from the polarizability fluctuations of a classical simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS, POLARIZABILITY_TO_A3
from .correlation import Signal, as_pieces, centre, one_sided_transform
from .estimate import estimate_spectrum
from .porto import Geometry
from .quantum import NM_INV_CM, bose_factor, check_temperature, laser_factor
from .record import Spectrum
from .streaming import apply

INTENSITY = "A^6/cm^-1"
"""Unit of intensities and line shapes, the squared volume polarizability per wavenumber."""

CROSS_SECTION = "cm^2/sr/cm^-1"
"""Unit of cross-sections per molecule."""

POWDER = ("VV", "VH", "unpolarised")

VV_ANISOTROPIC = 2.0 / 15.0
"""Weight of the anisotropic spectrum ``S[tr(B B)]`` in VV, from (4/45) gamma^2 with gamma^2 = (3/2) tr(B B)."""

VH_ANISOTROPIC = 1.0 / 10.0
"""Weight of the anisotropic spectrum ``S[tr(B B)]`` in VH, from (1/15) gamma^2."""


def invariants(polarizability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean polarizability and the anisotropic part of symmetric tensors.

    Parameters
    ----------
    polarizability : ndarray, shape (n, 3, 3) or (n, 9)
        Tensors, in any unit, which is also that of the results.

    Returns
    -------
    mean : ndarray, shape (n,)
        A third of the trace.
    anisotropic : ndarray, shape (n, 6)
        Traceless part B as (xx, yy, zz, sqrt2 yz, sqrt2 xz, sqrt2 xy), so that its square sum is ``tr(B B)``.
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
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    laser: float = 532.0,
    geometries: Sequence[Geometry] = (),
    anti_stokes: bool = False,
    molecules: int | None = None,
    max_wavenumber: float = 4500.0,
) -> Spectrum:
    r"""Return the Raman spectrum of a powder, liquid or gas, or of an oriented crystal.

    .. math:: I(\tilde\nu) = \left(\frac{\tilde\nu_L - \tilde\nu}{\tilde\nu_L}\right)^4
              \frac{x}{1 - e^{-x}}\, L(\tilde\nu), \qquad x = \frac{h c \tilde\nu}{k_B T}

    with the classical line shapes ``L_VV = S[a] + (2/15) S[tr(B B)]`` and ``L_VH = (1/10) S[tr(B B)]``, where
    ``alpha = a 1 + B`` and ``a = tr(alpha) / 3`` (McQuarrie, Statistical Mechanics, ch. 21).  With
    gamma^2 = (3/2) tr(B B) these are the weights (45 a^2 + 4 gamma^2)/45 and gamma^2/15.  VH/VV is at most 3/4.  ``S``
    is normalised per wavenumber: the integral of ``S[a]`` over positive and negative wavenumbers is ``<(a - <a>)^2>``.

    For an oriented crystal the polarizability is projected first, ``L = S[e_s . alpha . e_i]`` for each geometry.  The
    average over directions cannot be computed from these spectra.  On the anti-Stokes side the factors are
    ``((w_L + w) / w_L)^4`` and ``x / (e^x - 1)``.

    All intensities share one absolute scale, in which the fourth power of the laser frequency is left out.  Times
    ``(2 pi w_L)^4`` they are differential cross-sections of the cell: scattered power per incident power, solid angle
    and wavenumber inside the medium, without a local-field factor.  `molecules` adds them per molecule; for a harmonic
    mode they integrate to ``(2 pi)^4 (w_L - w)^4 / 45 * (45 a'^2 + 7 gamma'^2) h / (8 pi^2 c w) / (1 - exp(-x))``.

    Parameters
    ----------
    polarizability : ndarray, shape (n, 3, 3), or sequence of such, in e·Å²/V
        Total polarizability of the cell; its mean (Rayleigh line) is subtracted.
    dt : float, in fs
        Sampling interval.
    temperature : float, in K
    resolution : float, optional, in cm^-1
        Full width at half maximum that an infinitely sharp mode gets. Default: 10, or more for a short run
        (:func:`.estimate.choose_resolution`).
    window : {"gaussian", "hann"}
        Lag window (:mod:`.windows`).
    blocks : int, optional
        Number of blocks for the error bars; 0 or 1: no error bars. Default: up to 20, each at least two windows long.
    laser : float, in nm
        Vacuum wavelength of the exciting laser.
    geometries : sequence of Geometry
        Geometries of an oriented crystal. Each adds a column with the name of its label (:func:`.porto.parse_porto`),
        or ``oriented_VV``, ``oriented_VH``, ... for those of :func:`.porto.polarization_settings`.
    anti_stokes : bool
        Whether to add the anti-Stokes side of every intensity, as ``anti_stokes_<name>``.
    molecules : int, optional
        Number of molecules in the cell, to add ``cross_section_<name>`` per molecule for VV, VH and unpolarised.
    max_wavenumber : float, in cm^-1
        Last wavenumber of the result (at most the Nyquist wavenumber).

    Returns
    -------
    Spectrum
        Intensities ``VV``, ``VH`` and ``unpolarised`` (VV + VH, no analyser), and the classical line shapes
        ``isotropic`` (``S[a]``) and ``anisotropic`` (``S[tr(B B)]``) without the two factors, all in Å^6 per cm^-1
        (squared volume polarizability).  The column ``depolarisation`` is the ratio VH / VV, which is noise where there
        is no band.

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
    if molecules is not None and not (isinstance(molecules, int) and molecules > 0):
        raise InputError(f"the number of molecules must be a positive integer, got {molecules}")
    labels = [geometry.label for geometry in geometries]
    # the labels VV, VH, ... of a crystal must differ from the columns of the powder
    labels = [f"oriented_{label}" if set(label) <= set("VH") else label for label in labels]
    if len(set(labels)) < len(labels):
        raise InputError(f"a geometry is given twice: {', '.join(labels)}")

    def columns(rows):
        mean, anisotropic = invariants(rows)
        projected = [geometry.project(rows.reshape(-1, 3, 3)) for geometry in geometries]
        return POLARIZABILITY_TO_A3 * np.column_stack([mean, anisotropic, *projected])

    pieces = [apply(piece, columns) for piece in centre(tensors)]

    def evaluate(correlate, resolution):
        def lineshape(*which):
            wavenumber, transform = one_sided_transform(correlate(slice(*which)), dt, resolution)
            return wavenumber, transform.real * INV_CM_TO_RAD_PER_FS / np.pi

        wavenumber, isotropic = lineshape(0, 1)
        keep = wavenumber <= max_wavenumber
        wavenumber, isotropic, anisotropic = wavenumber[keep], isotropic[keep], lineshape(1, 7)[1][keep]
        classical = {
            "VV": isotropic + VV_ANISOTROPIC * anisotropic,
            "VH": VH_ANISOTROPIC * anisotropic,
            "unpolarised": isotropic + (VV_ANISOTROPIC + VH_ANISOTROPIC) * anisotropic,
        }
        for k, label in enumerate(labels):
            classical[label] = lineshape(7 + k, 8 + k)[1][keep]
        bose = bose_factor(wavenumber, temperature)
        stokes = {name: bose * laser_factor(wavenumber, laser) * shape for name, shape in classical.items()}
        values = {**stokes, "isotropic": isotropic, "anisotropic": anisotropic}
        values["depolarisation"] = _ratio(classical["VH"], classical["VV"])
        if anti_stokes:
            down = bose_factor(-wavenumber, temperature) * laser_factor(-wavenumber, laser)
            values |= {f"anti_stokes_{name}": down * shape for name, shape in classical.items()}
        if molecules is not None:
            scale = cross_section_scale(laser) / molecules
            values |= {f"cross_section_{name}": scale * stokes[name] for name in POWDER}
        return wavenumber, values

    names = [*POWDER, *labels]
    units = dict.fromkeys([*names, *(f"anti_stokes_{name}" for name in names), "isotropic", "anisotropic"], INTENSITY)
    units |= {"depolarisation": "1", **dict.fromkeys((f"cross_section_{name}" for name in POWDER), CROSS_SECTION)}
    parameters = {
        "temperature_K": float(temperature),
        "laser_nm": float(laser),
        "intensity_factors": "Stokes: ((w_L - w) / w_L)^4 * x / (1 - exp(-x)), x = h c w / k T (not on isotropic, "
        "anisotropic, depolarisation)",
        "geometries": labels,
        "molecules": molecules,
    }
    return estimate_spectrum(
        "raman",
        pieces,
        dt,
        evaluate,
        units,
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters=parameters,
    )


def cross_section_scale(laser: float) -> float:
    """Return ``(2 pi w_L)^4`` in cm^2 per Å^6, the factor from intensities to cross-sections; `laser` in nm.

    Examples
    --------
    >>> float(f"{cross_section_scale(532.0):.4g}")
    1.946e-28
    """
    return float((2 * np.pi * NM_INV_CM / laser) ** 4 * 1e-48)


def _ratio(numerator, denominator):
    """Return the quotient, or zero where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
