"""The complete dielectric response of a simulation: complex tensor, optics, loss, with error bars."""

from __future__ import annotations

import numpy as np

from ..conventions import ASE_ORDER, order_labels
from ..errors import InputError
from .correlation import Signal, as_pieces, centre
from .dielectric import dielectric_function, dielectric_function_from_current, f_sum_rule, fluctuation_factor
from .estimate import estimate_spectrum
from .infrared import unit_vector
from .optics import UNITS as OPTICAL_UNITS
from .optics import check_angle, optical_constants, reflectivity
from .record import Spectrum
from .static import electronic_tensor

COMPONENTS = order_labels(ASE_ORDER)
"""Names of the six components of the tensor: xx, yy, zz, yz, xz, xy."""

UNITS = {
    "eps_real": "1",
    "eps_imag": "1",
    **{f"eps_{part}_{name}": "1" for part in ("real", "imag") for name in COMPONENTS},
    "absorption": "cm^-1",
    **OPTICAL_UNITS,
    "reflectivity_s": "1",
    "reflectivity_p": "1",
}


def dielectric_spectrum(
    dt: float,
    volume: float,
    temperature: float,
    *,
    dipole: Signal | None = None,
    current: Signal | None = None,
    eps_inf=None,
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    direction=None,
    tensor: bool = False,
    angle: float | None = None,
    max_wavenumber: float | None = None,
) -> Spectrum:
    r"""Return the dielectric function of a run, and the optical constants that follow from it.

    The dipole (:func:`.dielectric.dielectric_function`) and the current ``dM/dt = sum_j Z_j . v_j``
    (:func:`.dielectric.dielectric_function_from_current`) give the same result.  No quantum correction is applied,
    because the classical fluctuation-dissipation form is exact for harmonic modes.

    Parameters
    ----------
    dt : float, in fs
        Sampling interval.
    volume : float, in Å³
    temperature : float, in K
    dipole : ndarray, shape (n, 3), or sequence of such, in e·Å
        Total dipole of the cell on one branch; its mean is subtracted.  Give either this or `current`.
    current : ndarray, shape (n, 3), or sequence of such, in e·Å/fs
        Time derivative of the dipole.
    eps_inf : float or ndarray, shape (3, 3), optional
        Electronic dielectric constant. Default: 1, so that the optical constants are those of the ions alone.
    resolution : float, optional, in cm^-1
        Full width at half maximum that an infinitely sharp mode gets. Default: 10, or more for a short run
        (:func:`.estimate.choose_resolution`).
    window : {"gaussian", "hann"}
        Lag window (:mod:`.windows`).
    blocks : int, optional
        Number of blocks for the error bars; 0 or 1: no error bars. Default: up to 20, each at least two windows long.
    direction : array_like, shape (3,), optional
        Direction n of the field, for ``n.eps.n``. Default: a third of the trace (isotropic media).
    tensor : bool
        Whether to add the six components of the tensor, ``eps_real_xx`` to ``eps_imag_xy``.
    angle : float, optional, in degrees
        Angle of incidence, to add ``reflectivity_s`` and ``reflectivity_p`` (:func:`.optics.reflectivity`) of the
        isotropic medium, or with `tensor` of a crystal with its surface normal to z and the plane of incidence xz.
    max_wavenumber : float, optional, in cm^-1
        Last wavenumber of the result. Default: the Nyquist wavenumber.

    Returns
    -------
    Spectrum
        Of kind ``"dielectric"``, with the columns ``eps_real``, ``eps_imag``, ``absorption`` (n·alpha) and those of
        :func:`.optics.optical_constants`.  The parameters contain ``static_fluctuation`` (ionic part of the static
        constant) and ``f_sum_cm-2`` (:func:`.dielectric.f_sum_rule` up to the Nyquist wavenumber).

    Raises
    ------
    InputError
        If an input has the wrong shape, is missing, not finite or not positive, or the series is too short.

    Examples
    --------
    >>> t = np.arange(40000.0)
    >>> M = np.outer(np.cos(0.1 * t), [1.0, 0.0, 0.0])
    >>> found = dielectric_spectrum(1.0, 1000.0, 300.0, dipole=M, eps_inf=2.0, resolution=20.0)
    >>> float(round(found.wavenumber[found.values["eps_imag"].argmax()], -1))
    530.0
    """
    if dipole is not None and current is None:
        pieces, transform = centre(as_pieces(dipole, (3,), "dipole")), dielectric_function
    elif current is not None and dipole is None:
        # the mean is not subtracted: a drift of the dipole, which an insulator does not have, must remain visible
        pieces, transform = as_pieces(current, (3,), "current"), dielectric_function_from_current
    else:
        raise InputError("give either the dipole or the current")
    factor = fluctuation_factor(volume, temperature)
    electronic = electronic_tensor(eps_inf)
    axis = None if direction is None else unit_vector(direction)
    scalar = float(np.trace(electronic) / 3 if axis is None else axis @ electronic @ axis)
    if angle is not None:
        check_angle(angle)

    def evaluate(correlate, resolution):
        if tensor or axis is not None:
            wavenumber, full = transform(correlate(tensor=True), dt, resolution, factor)
            full = full + electronic
            eps = np.trace(full, axis1=1, axis2=2) / 3 if axis is None else np.einsum("i,wij,j->w", axis, full, axis)
        else:
            wavenumber, eps = transform(correlate() / 3, dt, resolution, factor)
            full, eps = eps[:, None, None] * np.eye(3), eps + scalar
        values = {"eps_real": eps.real, "eps_imag": eps.imag, "absorption": 2 * np.pi * wavenumber * eps.imag}
        values |= optical_constants(wavenumber, eps)
        if tensor:
            for name, (i, j) in zip(COMPONENTS, ASE_ORDER, strict=True):
                values[f"eps_real_{name}"], values[f"eps_imag_{name}"] = full[:, i, j].real, full[:, i, j].imag
        if angle is not None:
            for light in ("s", "p"):
                values[f"reflectivity_{light}"] = reflectivity(full if tensor else eps, angle, light)
        return wavenumber, values

    parameters = {
        "temperature_K": float(temperature),
        "volume_A3": float(volume),
        "route": "dipole" if current is None else "current",
        "direction": None if axis is None else axis.tolist(),
        "eps_inf": scalar,
        "eps_inf_tensor": electronic.tolist(),
        "angle_of_incidence_deg": angle,
        "quantum_correction": "none (the classical form is exact for harmonic modes)",
    }
    spectrum = estimate_spectrum(
        "dielectric",
        pieces,
        dt,
        evaluate,
        UNITS,
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters=parameters,
    )
    spectrum.parameters["static_fluctuation"] = float(spectrum.values["eps_real"][0] - scalar)
    spectrum.parameters["f_sum_cm-2"] = f_sum_rule(spectrum.wavenumber, spectrum.values["eps_imag"])
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)
