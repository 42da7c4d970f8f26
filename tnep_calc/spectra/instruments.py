"""Measured spectra of a material of known dielectric function: powder in a matrix, thin film, ATR.

Effective media: Bohren and Huffman, Absorption and Scattering of Light by Small Particles (1983), ch. 8.5; Bruggeman,
Ann. Phys. 416, 636 (1935).  Layers: characteristic matrices, Born and Wolf, Principles of Optics, ch. 1.6.  With the
convention ``exp(-i w t)``, absorption is ``eps'' >= 0``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .optics import check_angle

OPAQUE = 100.0
"""Largest imaginary part of the phase of a layer; beyond it a layer is effectively infinitely thick."""

SPHERE = 1.0 / 3.0
"""Depolarisation factor of a sphere."""


def _fraction(fraction: float) -> float:
    if not (np.isfinite(fraction) and 0 <= fraction <= 1):
        raise InputError(f"the volume fraction must be between 0 and 1, got {fraction}")
    return float(fraction)


def maxwell_garnett(eps, matrix, fraction: float, depolarisation: float = SPHERE) -> np.ndarray:
    """Return the effective dielectric function of particles in a matrix (Maxwell Garnett).

    ``eps_m + eps_m f (eps - eps_m) / (eps_m + (1 - f) N (eps - eps_m))`` for small, aligned ellipsoids with the
    depolarisation factor N along the field.  For spheres (N = 1/3) it is the Clausius-Mossotti form.

    Parameters
    ----------
    eps : complex ndarray
        Dielectric function of the particles.
    matrix : complex or ndarray
        Dielectric function of the matrix, e.g. 2.33 (KBr), 2.25 (polyethylene) or 1.
    fraction : float
        Volume fraction f of the particles.
    depolarisation : float
        Depolarisation factor N.

    Returns
    -------
    complex ndarray, with the shape of `eps`

    Examples
    --------
    >>> complex(maxwell_garnett(4.0, 1.0, 0.5)).real.__round__(6)
    2.0
    """
    f = _fraction(fraction)
    eps, matrix = np.asarray(eps, dtype=complex), np.asarray(matrix, dtype=complex)
    excess = eps - matrix
    return matrix + matrix * f * excess / (matrix + (1 - f) * depolarisation * excess)


def bruggeman(eps, matrix, fraction: float) -> np.ndarray:
    """Return the effective dielectric function of a mixture of spheres of two media (Bruggeman).

    It is the root e of ``f (eps - e) / (eps + 2 e) + (1 - f) (eps_m - e) / (eps_m + 2 e) = 0`` with ``e'' >= 0``.

    Parameters
    ----------
    eps, matrix : complex ndarray
        Dielectric functions of the two media.
    fraction : float
        Volume fraction f of the first medium.

    Returns
    -------
    complex ndarray, with the shape of `eps`

    Examples
    --------
    >>> e = complex(bruggeman(4.0, 1.0, 0.5))
    >>> abs(0.5 * (4 - e) / (4 + 2 * e) + 0.5 * (1 - e) / (1 + 2 * e)) < 1e-12
    True
    """
    f = _fraction(fraction)
    eps, matrix = np.asarray(eps, dtype=complex), np.asarray(matrix, dtype=complex)
    b = (3 * f - 1) * eps + (2 - 3 * f) * matrix
    root = np.sqrt(b**2 + 8 * eps * matrix)
    plus, minus = 0.25 * (b + root), 0.25 * (b - root)
    # the physical root is the absorbing one, or the positive one if both are real
    better = np.where(
        np.abs(plus.imag - minus.imag) > 1e-12 * np.abs(root), plus.imag > minus.imag, plus.real > minus.real
    )
    return np.where(better, plus, minus)


def random_orientations(eps, matrix, fraction: float) -> np.ndarray:
    """Return the effective dielectric function of anisotropic spheres of random orientation in a matrix.

    It is Maxwell Garnett's, ``eps_m + eps_m f b / (1 - f b / 3)``, with the average over orientations
    ``b = tr[(eps - eps_m) (eps_m + (eps - eps_m) / 3)^-1] / 3`` (Sihvola, Electromagnetic Mixing Formulas (1999),
    ch. 5).  The particles do not absorb at the resonances of the mean of eps, but at those of each axis.

    Parameters
    ----------
    eps : complex ndarray, shape (..., 3, 3)
        Dielectric tensor of the particles.
    matrix : complex
        Dielectric constant of the matrix.
    fraction : float
        Volume fraction f of the particles.

    Returns
    -------
    complex ndarray, shape (...)

    Examples
    --------
    >>> isotropic = np.diag([4.0, 4.0, 4.0])
    >>> bool(np.isclose(random_orientations(isotropic, 1.0, 0.5), maxwell_garnett(4.0, 1.0, 0.5)))
    True
    """
    f = _fraction(fraction)
    tensor = np.asarray(eps, dtype=complex)
    excess = tensor - matrix * np.eye(3)
    polarization = excess @ np.linalg.inv(matrix * np.eye(3) + SPHERE * excess)
    mean = np.trace(polarization, axis1=-2, axis2=-1) / 3
    return matrix + matrix * f * mean / (1 - f * SPHERE * mean)


def powder_absorbance(
    wavenumber, eps, length: float, fraction: float, matrix: float = 2.33, model: str = "maxwell-garnett"
):
    """Return the absorbance (base 10) of a pellet of a dilute powder in a transparent matrix.

    ``A = 4 pi k w L / ln 10`` with the extinction k of the effective medium.  Surface reflections are not included,
    because experiments correct for them with a reference pellet.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,) or (n, 3, 3)
        Dielectric function, or dielectric tensor, of the material.
    length : float, in mm
        Thickness of the pellet.
    fraction : float
        Volume fraction of the material.
    matrix : float
        Dielectric constant of the matrix; 2.33 is KBr.
    model : {"maxwell-garnett", "bruggeman"}
        Effective medium, of spheres; of a tensor only Maxwell Garnett (:func:`random_orientations`).

    Returns
    -------
    ndarray, shape (n,), dimensionless

    Raises
    ------
    InputError
        If the model is unknown or not for a tensor, the thickness is not positive, or the fraction is not between 0
        and 1.
    """
    models = {"maxwell-garnett": maxwell_garnett, "bruggeman": bruggeman}
    if model not in models:
        raise InputError(f"the effective medium must be one of {', '.join(models)}, got '{model}'")
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"the thickness must be a positive number of mm, got {length}")
    tensor = np.ndim(eps) == 3
    if tensor and model != "maxwell-garnett":
        raise InputError("Bruggeman's effective medium is for one dielectric function, not for a tensor: use its mean")
    effective = (random_orientations if tensor else models[model])(eps, matrix, fraction)
    extinction = np.sqrt(effective).imag
    return 4 * np.pi * extinction * np.asarray(wavenumber, dtype=float) * 0.1 * length / np.log(10)


def layers(
    wavenumber, media: Sequence, thicknesses: Sequence[float], angle: float = 0.0, polarization: str = "s"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the power reflectivity and transmissivity of a coherent stack of parallel layers.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    media : sequence of complex, or complex ndarray, shape (n,)
        Dielectric functions, from the medium that the light comes from (transparent) to the last half space.
    thicknesses : sequence of float, in µm
        Thicknesses of the layers between the first and the last medium; may be empty.
    angle : float, in degrees
        Angle of incidence in the first medium.
    polarization : {"s", "p"}

    Returns
    -------
    reflectivity, transmissivity : ndarray, shape (n,)
        Their sum is 1 if no medium absorbs.

    Raises
    ------
    InputError
        If the numbers of media and thicknesses do not fit, the first medium is not transparent, or a thickness, angle
        or polarization is not valid.

    Examples
    --------
    >>> r, t = layers(np.array([1000.0]), [1.0, 2.25, 1.0], [2.0], angle=30.0)
    >>> bool(np.isclose(r + t, 1.0)[0])
    True
    """
    w = np.asarray(wavenumber, dtype=float)
    if len(media) != len(thicknesses) + 2:
        raise InputError(f"{len(thicknesses)} layers need {len(thicknesses) + 2} media, got {len(media)}")
    if any(not (np.isfinite(d) and d >= 0) for d in thicknesses):
        raise InputError(f"thicknesses must be numbers of µm, at least 0, got {list(thicknesses)}")
    if polarization not in ("s", "p"):
        raise InputError(f"polarization must be s or p, got '{polarization}'")
    eps = [np.broadcast_to(np.asarray(medium, dtype=complex), w.shape) for medium in media]
    if np.abs(eps[0].imag).max(initial=0.0) > 0 or eps[0].real.min(initial=1.0) <= 0:
        raise InputError("the first medium must be transparent: a real, positive dielectric constant")
    along = np.sqrt(eps[0]) * np.sin(check_angle(angle))  # n sin(theta), the same in all layers
    normal = [np.sqrt(medium - along**2) for medium in eps]
    normal = [np.where(q.imag < 0, -q, q) for q in normal]
    admittance = normal if polarization == "s" else [medium / q for medium, q in zip(eps, normal, strict=True)]
    # characteristic matrices from the last half space backwards; b and c are the tangential fields E and H
    b, c = np.ones_like(w, dtype=complex), admittance[-1].astype(complex)
    for k in range(len(thicknesses), 0, -1):
        phase = 2 * np.pi * w * 1e-4 * thicknesses[k - 1] * normal[k]
        phase = phase.real + 1j * np.minimum(phase.imag, OPAQUE)
        cosine, sine = np.cos(phase), -1j * np.sin(phase)
        b, c = b * cosine + c * sine / admittance[k], c * cosine + b * sine * admittance[k]
    first = admittance[0]
    amplitude = (first * b - c) / (first * b + c)
    transmitted = 4 * first.real * admittance[-1].real / np.abs(first * b + c) ** 2
    return np.abs(amplitude) ** 2, transmitted


def thin_film(
    wavenumber, eps, thickness: float, substrate=2.33, angle: float = 0.0, polarization: str = "s"
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectivity and transmissivity of a film between vacuum and a substrate.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,)
        Dielectric function of the film.
    thickness : float, in µm
    substrate : complex or complex ndarray, shape (n,)
        Dielectric function of the substrate, a half space.
    angle, polarization
        As in :func:`layers`.

    Returns
    -------
    reflectivity, transmissivity : ndarray, shape (n,)
        The latter into the substrate.
    """
    return layers(wavenumber, [1.0, eps, substrate], [thickness], angle, polarization)


def attenuated_total_reflection(
    wavenumber, eps, crystal: float = 5.66, angle: float = 45.0, polarization: str = "s", reflections: int = 1
) -> np.ndarray:
    """Return the ATR absorbance ``-log10(R)`` of a thick sample on a crystal.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps : complex ndarray, shape (n,)
        Dielectric function of the sample.
    crystal : float
        Dielectric constant of the ATR crystal, e.g. 5.66 (diamond), 16 (germanium) or 5.76 (ZnSe).
    angle : float, in degrees
        Angle of incidence in the crystal.
    polarization : {"s", "p", "unpolarised"}
    reflections : int
        Number of reflections.

    Returns
    -------
    ndarray, shape (n,), dimensionless
        Zero where the sample is transparent and the angle is above that of total reflection.
    """
    if reflections < 1:
        raise InputError(f"the number of reflections must be at least 1, got {reflections}")
    lights = ("s", "p") if polarization == "unpolarised" else (polarization,)
    power = [layers(wavenumber, [crystal, eps], [], angle, light)[0] ** reflections for light in lights]
    return -np.log10(np.maximum(np.mean(power, axis=0), np.finfo(float).tiny))
