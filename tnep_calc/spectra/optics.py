"""What light does at a medium of known dielectric function: index, absorption, reflection, loss, conductivity.

Convention ``exp(-i w t)``: absorption is ``eps'' >= 0`` and ``k >= 0``.  Fresnel's equations: Born and Wolf, Principles
of Optics, ch. 1.5 and 14.2.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..units import EPSILON_0_SI, INV_CM_TO_HERTZ

UNITS = {
    "refractive_index": "1",
    "extinction": "1",
    "absorption_coefficient": "cm^-1",
    "reflectivity": "1",
    "loss": "1",
    "emissivity": "1",
    "conductivity": "S/cm",
}
"""Units of what :func:`optical_constants` gives."""


def optical_constants(wavenumber, eps) -> dict[str, np.ndarray]:
    """Return what follows from the dielectric function of an isotropic medium, or along a principal axis.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,)
        Including ``eps_inf``.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``refractive_index`` n and ``extinction`` k of ``n + i k = sqrt(eps)``; ``absorption_coefficient``
        ``4 pi k w`` (cm^-1, base e); ``reflectivity`` at normal incidence from vacuum
        ``R = |(n + i k - 1) / (n + i k + 1)|^2``; ``loss`` ``-Im(1 / eps)``, which peaks at the longitudinal
        frequencies; ``emissivity`` ``1 - R`` of an opaque body (Kirchhoff), seen along the normal; ``conductivity``
        ``eps0 w eps''`` (S/cm).

    Examples
    --------
    >>> glass = optical_constants(np.array([100.0]), np.array([2.25 + 0.0j]))
    >>> float(glass["refractive_index"][0]), round(float(glass["reflectivity"][0]), 4)
    (1.5, 0.04)
    """
    eps = np.asarray(eps, dtype=complex)
    wavenumber = np.asarray(wavenumber, dtype=float)
    index = np.sqrt(eps)
    reflected = np.abs((index - 1) / (index + 1)) ** 2
    return {
        "refractive_index": index.real,
        "extinction": index.imag,
        "absorption_coefficient": 4 * np.pi * index.imag * wavenumber,
        "reflectivity": reflected,
        "loss": -(1 / eps).imag,
        "emissivity": 1 - reflected,
        "conductivity": 0.01 * EPSILON_0_SI * 2 * np.pi * INV_CM_TO_HERTZ * wavenumber * eps.imag,
    }


def check_angle(angle: float) -> float:
    """Return an angle of incidence in rad; raise InputError if it is not between 0 and 90 degrees."""
    if not (np.isfinite(angle) and 0 <= angle < 90):
        raise InputError(f"the angle of incidence must be at least 0 and below 90 degrees, got {angle}")
    return float(np.radians(angle))


def reflectivity(eps, angle: float = 0.0, polarization: str = "s") -> np.ndarray:
    r"""Return the power reflectivity of a half space, from vacuum, at an angle.

    .. math:: r_s = \frac{\cos\theta - \sqrt{\epsilon - \sin^2\theta}}{\cos\theta + \sqrt{\epsilon - \sin^2\theta}},
              \qquad
              r_p = \frac{\epsilon\cos\theta - \sqrt{\epsilon - \sin^2\theta}}
                         {\epsilon\cos\theta + \sqrt{\epsilon - \sin^2\theta}}

    Parameters
    ----------
    eps : complex ndarray, shape (n,) or (n, 3, 3)
        Dielectric function of an isotropic medium, or the tensor of a crystal with x, y and z as principal axes, whose
        surface is normal to z and whose plane of incidence is xz: s polarization sees ``yy``; p sees ``xx`` and ``zz``,
        ``r_p = (sqrt(eps_xx eps_zz) cos - sqrt(eps_zz - sin^2)) / (sqrt(eps_xx eps_zz) cos + sqrt(eps_zz - sin^2))``.
    angle : float, in degrees
        Angle of incidence from the normal.
    polarization : {"s", "p"}
        Field perpendicular (s) or parallel (p) to the plane of incidence.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the angle or the polarization is none.

    Examples
    --------
    >>> brewster = np.degrees(np.arctan(1.5))
    >>> bool(reflectivity(np.array([2.25 + 0j]), brewster, "p")[0] < 1e-20)
    True
    """
    if polarization not in ("s", "p"):
        raise InputError(f"polarization must be s or p, got '{polarization}'")
    theta = check_angle(angle)
    eps = np.asarray(eps, dtype=complex)
    if eps.ndim == 3:
        xx, yy, zz = eps[:, 0, 0], eps[:, 1, 1], eps[:, 2, 2]
    else:
        xx = yy = zz = eps
    cosine, sine2 = np.cos(theta), np.sin(theta) ** 2
    if polarization == "s":
        first, second = cosine, np.sqrt(yy - sine2)
    else:
        first, second = np.sqrt(xx) * np.sqrt(zz) * cosine, np.sqrt(zz - sine2)
    return np.abs((first - second) / (first + second)) ** 2


def kramers_kronig(wavenumber, eps_imag) -> np.ndarray:
    r"""Return ``eps'(w) - eps_inf`` from ``eps''``, a check of spectra that come from elsewhere.

    .. math:: \epsilon'(\omega) - \epsilon_\infty = \frac{2}{\pi} P\!\!\int_0^\infty
              \frac{\omega' \epsilon''(\omega')}{\omega'^2 - \omega^2} d\omega'

    ``eps''`` is taken to be linear between the grid points, on which the principal value is integrated in closed form.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1, increasing
    eps_imag : ndarray, shape (n,)
        Zero at both ends, or small there.

    Returns
    -------
    ndarray, shape (n,)
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(eps_imag, dtype=float)
    # eps''(-w) = -eps''(w), so that the integral is that of eps''(s) / (s - w) / pi over the whole axis; by parts, a
    # function that is linear between grid points gives (change of slope) * u log|u| at each of them, with u = s - w
    grid = np.concatenate([-x[x > 0][::-1], x])
    odd = np.concatenate([-y[x > 0][::-1], y])
    kinks = np.diff(np.diff(odd) / np.diff(grid), prepend=0.0, append=0.0)
    result = np.empty_like(y)
    for k, w in enumerate(x):
        u = grid - w
        log = np.log(np.abs(u), out=np.zeros_like(u), where=u != 0)
        result[k] = odd[-1] * (log[-1] + 1) - odd[0] * (log[0] + 1) + kinks @ (u * log)
    return result / np.pi
