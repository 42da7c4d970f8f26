"""The dielectric function from fluctuations of the dipole or of the current.

The equations are those of Neumann and Steinhauser, Chem. Phys. Lett. 102, 508 (1983).  With the sign convention
``exp(-i w t)``, absorption is ``eps'' >= 0``.  The boundary is conducting (tin-foil), as in a periodic simulation
without a macroscopic field.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import trapezoid

from ..errors import InputError
from ..units import BOLTZMANN, EPSILON_0, INV_CM_TO_RAD_PER_FS
from .correlation import one_sided_transform
from .quantum import check_temperature


def check_volume(volume) -> float:
    """Return the volume in Å³ as a float; raise InputError if it is missing or not positive."""
    if volume is None:
        raise InputError("the volume of the cell is not known: give the volume (Å³) or the cell")
    if not (np.isfinite(volume) and volume > 0):
        raise InputError(f"the volume must be a positive number of Å³, got {volume}")
    return float(volume)


def fluctuation_factor(volume: float, temperature: float) -> float:
    """Return ``1 / (eps0 V k_B T)`` in (e·Å)^-2, for a volume in Å³ and a temperature in K."""
    return 1.0 / (EPSILON_0 * check_volume(volume) * BOLTZMANN * check_temperature(temperature))


def dielectric_function(
    correlation: np.ndarray, dt: float, resolution: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return wavenumbers and the complex ``eps(w) - eps_inf`` of a windowed dipole correlation function.

    .. math:: \epsilon(\omega) - \epsilon_\infty = \frac{1}{\epsilon_0 V k_B T}
              \left[C(0) + i\omega\int_0^\infty C(t) e^{i\omega t}\,dt\right]

    with C(t) the correlation function of one Cartesian component, or of two for a component of the tensor.  Real and
    imaginary part fulfil the Kramers-Kronig relations by construction.  The trapezoid rule has an error in the
    imaginary part of the integral, which comes from t = 0.  It is corrected for the constant term of C(t).  The
    remaining error is of order ``(w dt)^2 (w_0 dt)^2 / 240``.

    Parameters
    ----------
    correlation : ndarray, shape (n_lags, ...), in (e·Å)²
        ``C(k dt)``, multiplied by the window.
    dt : float, in fs
    resolution : float, in cm^-1
        Only sets the grid of wavenumbers.
    factor : float, in (e·Å)^-2
        Result of :func:`fluctuation_factor`.

    Returns
    -------
    wavenumber : ndarray, shape (m,), in cm^-1
    eps : complex ndarray, shape (m, ...), dimensionless
    """
    wavenumber, transform = one_sided_transform(correlation, dt, resolution)
    omega, end_correction = _along(correlation, wavenumber, dt)
    real = end_correction * correlation[0] - omega * transform.imag
    return wavenumber, factor * (real + 1j * omega * transform.real)


def dielectric_function_from_current(
    correlation: np.ndarray, dt: float, resolution: float, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return wavenumbers and the complex ``eps(w) - eps_inf`` of a windowed current correlation function.

    With ``J = dM/dt = sum_j Z_j . v_j``, which is exact also if the Born charges change along the run, there are no
    branches of the polarization and no mean to subtract:

    .. math:: \epsilon(\omega) - \epsilon_\infty = \frac{i}{\omega}\,\frac{1}{\epsilon_0 V k_B T}
              \int_0^\infty \langle J(0) J(t)\rangle e^{i\omega t}\,dt

    (Green-Kubo; the integral divided by V k_B T is the conductivity).  At zero wavenumber the result is the limit of an
    insulator, ``- factor * integral of t C(t) dt``.  Below about the resolution, the imaginary part is the noise of the
    conductivity times 1/w.

    Parameters
    ----------
    correlation : ndarray, shape (n_lags, ...), in (e·Å/fs)²
        ``<J(0) J(k dt)>``, multiplied by the window.
    dt, resolution, factor
        As in :func:`dielectric_function`.

    Returns
    -------
    wavenumber : ndarray, shape (m,), in cm^-1
    eps : complex ndarray, shape (m, ...), dimensionless
    """
    wavenumber, transform = one_sided_transform(correlation, dt, resolution)
    omega, end_correction = _along(correlation, wavenumber, dt)
    with np.errstate(divide="ignore", invalid="ignore"):
        imaginary = transform.imag + correlation[0] * (1 - end_correction) / omega
        eps = (1j * transform.real - imaginary) / omega
    lags = dt * np.arange(len(correlation)).reshape(-1, *[1] * (correlation.ndim - 1))
    eps[0] = -dt * (lags * correlation).sum(axis=0) - dt**2 / 12 * correlation[0]
    return wavenumber, factor * eps


def _along(correlation, wavenumber, dt):
    """Return omega (rad/fs) and ``(w dt / 2) / tan(w dt / 2)``, with the axes of `correlation`."""
    omega = wavenumber * INV_CM_TO_RAD_PER_FS
    half = 0.5 * omega * dt
    end_correction = np.divide(half, np.tan(half), out=np.ones_like(half), where=half > 0)
    shape = (-1, *[1] * (correlation.ndim - 1))
    return omega.reshape(shape), end_correction.reshape(shape)


def f_sum_rule(wavenumber, eps_imag) -> float:
    """Return ``(2 / pi) * integral of w eps''(w) dw``, the square of the plasma frequency of the ions, in cm^-2.

    It equals the current fluctuation ``<J^2> / (3 eps0 V k_B T)``, which is ``sum_j |Z_j|^2 / (3 m_j eps0 V)`` in a
    classical system.  Absorption above the last wavenumber is missing.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps_imag : ndarray, shape (n,)
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(eps_imag, dtype=float)
    return float(2 / np.pi * trapezoid(x * y, x))


def static_sum_rule(wavenumber, eps_imag) -> float:
    """Return ``(2 / pi) * integral of eps''(w) / w dw``, the ionic part of the static dielectric constant.

    The integral is a trapezoid rule from zero, where ``eps''/w`` is taken from the first point above zero, to the last
    wavenumber.  For a spectrum up to its Nyquist wavenumber it equals the dipole fluctuation, for any window.  For a
    shorter spectrum, the contribution of higher wavenumbers is missing.

    Parameters
    ----------
    wavenumber : ndarray, shape (n,), in cm^-1
    eps_imag : ndarray, shape (n,)
    """
    x, y = np.asarray(wavenumber, dtype=float), np.asarray(eps_imag, dtype=float)
    positive = x > 0
    x, y = x[positive], y[positive] / x[positive]
    return float(2 / np.pi * (trapezoid(y, x) + x[0] * y[0]))
