"""Optical constants of a medium from its dielectric function: refractive index, absorption, reflection, loss.

With the convention ``exp(-i w t)``, absorption is ``eps'' >= 0`` and ``k >= 0``.  Fresnel's equations are in Born and
Wolf, Principles of Optics, ch. 1.5 and 14.2.
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
"""Units of the results of :func:`optical_constants`."""


def optical_constants(wavenumber, eps) -> dict[str, np.ndarray]:
    """Return the optical constants of an isotropic medium, or of a crystal along a principal axis.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,)
        Dielectric function, including ``eps_inf``.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        * ``refractive_index`` n and ``extinction`` k, from ``n + i k = sqrt(eps)``
        * ``absorption_coefficient``, ``4 pi k w`` in cm^-1 (base e)
        * ``reflectivity`` at normal incidence from vacuum, ``R = |(n + i k - 1) / (n + i k + 1)|^2``
        * ``loss``, ``-Im(1 / eps)``, which has peaks at the longitudinal frequencies
        * ``emissivity`` of an opaque body along the normal, ``1 - R`` (Kirchhoff)
        * ``conductivity``, ``eps0 w eps''`` in S/cm

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
    """Return an angle of incidence (degrees) in rad; raise InputError unless it is at least 0 and below 90 degrees."""
    if not (np.isfinite(angle) and 0 <= angle < 90):
        raise InputError(f"the angle of incidence must be at least 0 and below 90 degrees, got {angle}")
    return float(np.radians(angle))


def reflectivity(eps, angle: float = 0.0, polarization: str = "s") -> np.ndarray:
    r"""Return the power reflectivity of a half space for light from vacuum at an angle of incidence.

    .. math:: r_s = \frac{\cos\theta - \sqrt{\epsilon - \sin^2\theta}}{\cos\theta + \sqrt{\epsilon - \sin^2\theta}},
              \qquad
              r_p = \frac{\epsilon\cos\theta - \sqrt{\epsilon - \sin^2\theta}}
                         {\epsilon\cos\theta + \sqrt{\epsilon - \sin^2\theta}}

    Parameters
    ----------
    eps : complex ndarray, shape (n,) or (n, 3, 3)
        Dielectric function of an isotropic medium, or the tensor of a crystal with principal axes x, y and z. The
        surface is then normal to z, and the plane of incidence is xz. s polarization depends on ``yy``, and p on ``xx``
        and ``zz``:
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
        If the angle or the polarization is not valid.

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
    r"""Return ``eps'(w) - eps_inf`` from ``eps''``, for example to check spectra from other sources.

    .. math:: \epsilon'(\omega) - \epsilon_\infty = \frac{2}{\pi} P\!\!\int_0^\infty
              \frac{\omega' \epsilon''(\omega')}{\omega'^2 - \omega^2} d\omega'

    ``eps''`` is interpolated linearly between the grid points, and the principal value is integrated in closed form.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1, increasing
    eps_imag : ndarray, shape (n,)
        Zero or small at both ends.

    Returns
    -------
    ndarray, shape (n,)
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(eps_imag, dtype=float)
    # Because eps''(-w) = -eps''(w), the result is the integral of eps''(s) / (s - w) / pi over all s. Integration by
    # parts of a piecewise linear function gives (change of slope) * u log|u| at each grid point, with u = s - w.
    grid = np.concatenate([-x[x > 0][::-1], x])
    odd = np.concatenate([-y[x > 0][::-1], y])
    kinks = np.diff(np.diff(odd) / np.diff(grid), prepend=0.0, append=0.0)
    result = np.empty_like(y)
    for k, w in enumerate(x):
        u = grid - w
        log = np.log(np.abs(u), out=np.zeros_like(u), where=u != 0)
        result[k] = odd[-1] * (log[-1] + 1) - odd[0] * (log[0] + 1) + kinks @ (u * log)
    return result / np.pi
