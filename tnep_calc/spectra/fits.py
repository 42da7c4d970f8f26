"""Fits of line shapes to the peaks of a spectrum: position, width and area, with errors from the blocks of the run.

All peaks are fitted together.  Errors are computed by the jackknife: the linearised fit is repeated with each block
left out.  They are valid although neighbouring points of a spectrum are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from ..errors import InputError
from .estimate import jackknife_error
from .peaks import visible_peaks
from .record import Spectrum

SHAPES = ("lorentzian", "oscillator", "voigt")

POWERS = {"eps_imag": 1, "isotropic": 0, "anisotropic": 0}
"""Power of the wavenumber in the line shape of a damped oscillator, by column; 2 for all other columns."""

MOST = 12
"""Largest number of peaks that are fitted together."""

REACH = 2.5
"""Range of fitted points around a peak, in units of its width."""

FLOOR = 0.02
"""Error that is added (in quadrature) to that of every point in the weights, relative to the highest value."""

FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class FittedPeak:
    """A fitted peak.

    Attributes
    ----------
    position : float, in cm^-1
    width : float, in cm^-1
        Full width at half maximum of the Lorentzian, or damping of the oscillator.
    area : float
        Integral over positive wavenumbers, in the unit of the column times cm^-1.
    position_error, width_error, area_error : float
        Standard errors; NaN if the spectrum has no blocks.
    height : float
        Value of this peak alone at its position.
    """

    position: float
    width: float
    area: float
    position_error: float
    width_error: float
    area_error: float
    height: float


def lorentzian(w, position, width, area):
    """Return ``area / pi * (width / 2) / ((w - position)^2 + (width / 2)^2)``.

    Examples
    --------
    >>> bool(np.isclose(lorentzian(100.0, 100.0, 4.0, 1.0), 2 / (np.pi * 4.0)))
    True
    """
    return area / np.pi * 0.5 * width / ((w - position) ** 2 + 0.25 * width**2)


def voigt(w, position, width, area, resolution):
    """Return a Lorentzian of full width `width`, convolved with a Gaussian of full width `resolution`."""
    return area * special.voigt_profile(w - position, resolution / FWHM_PER_SIGMA, 0.5 * width)


def damped_oscillator(w, position, width, area, power: int = 2):
    r"""Return the line shape of a damped harmonic oscillator with the given area over positive wavenumbers.

    .. math:: y(w) \propto \frac{\gamma w^p}{(w_0^2 - w^2)^2 + \gamma^2 w^2}

    The power p is 2 for the absorption ``n alpha`` and the power spectrum of a current, 1 for ``eps''``, and 0 for the
    power spectrum of a displacement.

    Parameters
    ----------
    w : ndarray, in cm^-1
    position, width : float, in cm^-1
        Frequency ``w_0`` and damping ``gamma``.
    area : float
        Integral over positive wavenumbers.
    power : {0, 1, 2}
    """
    return area * _oscillator_norm(position, width, power) * w**power / ((position**2 - w**2) ** 2 + (width * w) ** 2)


def _oscillator_norm(position, width, power):
    """Return one over the integral of ``w^p / ((w0^2 - w^2)^2 + g^2 w^2)`` from zero."""
    if power == 2:
        return 2 * width / np.pi
    if power == 0:
        return 2 * width * position**2 / np.pi
    b = position**2 - 0.5 * width**2
    c = width * np.sqrt(np.maximum(position**2 - 0.25 * width**2, np.finfo(float).tiny))
    return 2 * c / (0.5 * np.pi + np.arctan(b / c))


def line_shape(shape: str, column: str, resolution: float) -> Callable:
    """Return the function ``(w, position, width, area) -> values`` of a shape for a column; `resolution` in cm^-1."""
    if shape == "lorentzian":
        return lorentzian
    if shape == "voigt":
        return lambda w, position, width, area: voigt(w, position, width, area, resolution)
    if shape == "oscillator":
        power = POWERS.get(column, 2)
        return lambda w, position, width, area: damped_oscillator(w, position, width, area, power)
    raise InputError(f"the line shape must be one of {', '.join(SHAPES)}, got '{shape}'")


def fit_peaks(
    spectrum: Spectrum, name: str, shape: str = "lorentzian", positions: Sequence[float] | None = None
) -> list[FittedPeak]:
    """Fit line shapes to the peaks of a column, and return them by rising position.

    Parameters
    ----------
    spectrum : Spectrum
    name : str
        Column.
    shape : {"lorentzian", "oscillator", "voigt"}
        ``voigt`` has the resolution of the spectrum as its Gaussian width, so that its `width` is that of the band
        itself. The widths of the other shapes include the broadening by the window.
    positions : sequence of float, optional, in cm^-1
        Initial positions. Default: the 12 highest of the significant peaks (:func:`.peaks.significant_peaks`), or of
        all prominent peaks for a spectrum without error bars.

    Returns
    -------
    list of FittedPeak
        Empty if there is no peak.

    Raises
    ------
    InputError
        If the shape is unknown, a position is outside the spectrum, or the fit does not converge.
    """
    w, y = spectrum.wavenumber, spectrum.column(name)
    resolution = float(spectrum.parameters.get("resolution_fwhm_cm-1", w[1] - w[0]))
    function = line_shape(shape, name, resolution)
    if positions is None:
        positions = [peak.position for peak in visible_peaks(spectrum, name)[:MOST]]
    positions = sorted(float(p) for p in positions)
    if not positions:
        return []
    if positions[0] < w[0] or positions[-1] > w[-1]:
        raise InputError(f"peaks must lie between {w[0]:g} and {w[-1]:g} cm^-1, got {positions}")
    start, used = _start(w, y, positions, resolution)
    error = spectrum.errors.get(name, np.zeros_like(y))
    weight = 1.0 / np.hypot(error, FLOOR * np.abs(y).max())[used]

    def model(parameters):
        return sum(function(w[used], *row) for row in parameters.reshape(-1, 3))

    low = np.tile([0.0, 0.0, 0.0], len(positions)) + 1e-12
    low[0::3], high = w[0] + 1e-6, np.full(len(low), np.inf)
    high[0::3], high[1::3] = w[-1], np.ptp(w)
    fit = optimize.least_squares(
        lambda p: (model(p) - y[used]) * weight,
        np.clip(start, 1.0001 * low, 0.9999 * high),
        bounds=(low, high),
        x_scale=np.maximum(np.abs(start), 1e-9),
    )
    if not fit.success:
        raise InputError(f"the fit of {len(positions)} peaks did not converge: give fewer positions")
    errors = np.full_like(fit.x, np.nan)
    if name in spectrum.replicas:
        step = np.linalg.pinv(fit.jac) * weight
        errors = jackknife_error((spectrum.replicas[name][:, used] - y[used]) @ step.T)
    rows = zip(fit.x.reshape(-1, 3), errors.reshape(-1, 3), strict=True)
    peaks = [FittedPeak(*map(float, (*row, *wrong, function(row[0], *row)))) for row, wrong in rows]
    return sorted(peaks, key=lambda peak: peak.position)


def _start(w, y, positions, resolution):
    """Return initial parameters (position, width, area of each peak) and a mask of the points to fit."""
    tops, widths = [], []
    for position in positions:
        near = np.flatnonzero(np.abs(w - position) <= 2 * resolution)
        top = int(near[y[near].argmax()])
        low = np.flatnonzero(y < 0.5 * y[top])
        left, right = low[low < top].max(initial=0), low[low > top].min(initial=len(w) - 1)
        tops.append(top)
        # the half width of the nearer side, because the other side may belong to a neighbour
        widths.append(max(2 * min(w[top] - w[left], w[right] - w[top]), 0.5 * resolution))
    at, width = np.array(tops), np.array(widths)
    area = 0.5 * np.pi * np.maximum(y[at], 1e-3 * np.abs(y).max()) * width
    used = np.zeros(len(w), dtype=bool)
    for position, extent in zip(w[at], width, strict=True):
        used |= np.abs(w - position) <= REACH * max(extent, resolution)
    return np.column_stack([w[at], width, area]).ravel(), used
