"""The class :class:`Spectrum`, the result of all spectrum functions and the input of all writers and plots."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError

FEWEST = 3
"""Smallest number of points of a part of a spectrum, in which a peak can be found."""


@dataclass(frozen=True)
class Spectrum:
    """A spectrum with its units, errors and parameters.

    Attributes
    ----------
    kind : str
        ``"infrared"``, ``"raman"``, ``"dielectric"``, ``"partial"``, ``"modes"`` or ``"reference"``.
    wavenumber : ndarray, shape (n,), in cm^-1
    values : dict of str to ndarray, shape (n,)
        Named columns.
    units : dict of str to str
        Unit of every column (``"1"``: dimensionless).
    errors : dict of str to ndarray, shape (n,)
        Standard errors of columns, in the same unit; empty if the series was too short for blocks.
    parameters : dict of str to str, number, list or None
        All parameters that the values depend on; their names end in their unit.
    spreads : dict of str to ndarray, shape (n,)
        Standard deviations over the members of an ensemble of models, in the unit of the column; empty for one model.
    replicas : dict of str to ndarray, shape (blocks, n)
        Columns with each block of the run left out, for the errors of derived quantities
        (:func:`.estimate.jackknife_error`). They are not written to text files.
    """

    kind: str
    wavenumber: np.ndarray
    values: dict[str, np.ndarray]
    units: dict[str, str]
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict = field(default_factory=dict)
    spreads: dict[str, np.ndarray] = field(default_factory=dict)
    replicas: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        for name, column in [*self.values.items(), *self.errors.items(), *self.spreads.items()]:
            if np.shape(column) != np.shape(self.wavenumber):
                raise InputError(
                    f"column '{name}' must be as long as the wavenumbers {np.shape(self.wavenumber)}, "
                    f"got {np.shape(column)}"
                )
        if set(self.units) != set(self.values) or not {*self.errors, *self.spreads} <= set(self.values):
            raise InputError("every column needs a unit, and every error or spread must belong to a column")

    def column(self, name: str) -> np.ndarray:
        """Return a column, shape (n,); InputError if there is no column of that name."""
        if name not in self.values:
            raise InputError(f"this {self.kind} spectrum has no '{name}', only {', '.join(self.values)}")
        return self.values[name]

    def between(self, low: float, high: float) -> Spectrum:
        """Return the part with ``low <= wavenumber <= high`` (cm^-1); InputError if it has fewer than 3 points."""
        keep = (self.wavenumber >= low) & (self.wavenumber <= high)
        if keep.sum() < FEWEST:
            raise InputError(
                f"fewer than {FEWEST} points between {low:g} and {high:g} cm^-1; the spectrum spans "
                f"{self.wavenumber[0]:g} to {self.wavenumber[-1]:g} cm^-1, in steps of {self.wavenumber[1]:.3g}"
            )
        return replace(
            self,
            wavenumber=self.wavenumber[keep],
            values={name: value[keep] for name, value in self.values.items()},
            errors={name: value[keep] for name, value in self.errors.items()},
            spreads={name: value[keep] for name, value in self.spreads.items()},
            replicas={name: value[:, keep] for name, value in self.replicas.items()},
        )

    def plot(self, ax, columns: Sequence[str] | str | None = None, **style):
        """Draw columns with their standard errors as bands, and label the axes with units.

        Parameters
        ----------
        ax : matplotlib Axes
        columns : str or sequence of str, optional
            Columns to draw. Default: the first one.
        **style
            Arguments of ``ax.plot``.

        Returns
        -------
        matplotlib Axes
        """
        names = [columns] if isinstance(columns, str) else list(columns or list(self.values)[:1])
        for name in names:
            values = self.column(name)
            (line,) = ax.plot(self.wavenumber, values, **{"label": name, **style})
            if name in self.errors:
                low, high = values - self.errors[name], values + self.errors[name]
                ax.fill_between(self.wavenumber, low, high, color=line.get_color(), alpha=0.3, linewidth=0)
        ax.set_xlabel("wavenumber (cm$^{-1}$)")
        unit = self.units[names[0]]
        ax.set_ylabel(names[0] if unit == "1" else f"{names[0]} ({unit})")
        return ax

    def _with(self, other, operate: Callable, error: Callable) -> Spectrum:
        """Return the result of an operation on every column, with errors as of independent spectra."""
        if isinstance(other, Spectrum):
            same = self.wavenumber.shape == other.wavenumber.shape
            if not same or not np.allclose(self.wavenumber, other.wavenumber, rtol=1e-9, atol=1e-9):
                raise InputError("the spectra have different wavenumbers: use Spectrum.on_grid first")
            common = [name for name in self.values if self.units[name] == other.units.get(name)]
            if not common:
                raise InputError(
                    f"these spectra have no column of the same name and unit: {', '.join(self.values)} and "
                    f"{', '.join(other.values)}"
                )
            second: dict = other.values
            wrong: dict = other.errors
        else:
            common, second, wrong = list(self.values), dict.fromkeys(self.values, float(other)), {}
        values = {name: operate(self.values[name], second[name]) for name in common}
        zero = np.zeros_like(self.wavenumber)
        errors = {
            name: error(self.values[name], self.errors.get(name, zero), second[name], wrong.get(name, zero))
            for name in common
            if name in self.errors or name in wrong
        }
        return Spectrum(
            self.kind,
            self.wavenumber,
            values,
            {name: self.units[name] for name in common},
            errors,
            {"calculated": "arithmetic of spectra; errors are those of independent runs"},
        )

    def __add__(self, other: Spectrum) -> Spectrum:
        return self._with(other, operator.add, lambda a, da, b, db: np.hypot(da, db))

    def __sub__(self, other: Spectrum) -> Spectrum:
        return self._with(other, operator.sub, lambda a, da, b, db: np.hypot(da, db))

    def __mul__(self, factor: float) -> Spectrum:
        return self._with(float(factor), operator.mul, lambda a, da, b, db: da * abs(b))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Spectrum:
        return self * (1.0 / float(divisor))

    def on_grid(self, wavenumber) -> Spectrum:
        """Return the spectrum interpolated linearly to other wavenumbers.

        Errors and spreads are interpolated too.  Replicas are dropped.

        Parameters
        ----------
        wavenumber : array_like, shape (m,), in cm^-1
            Increasing wavenumbers within the range of the spectrum.

        Raises
        ------
        InputError
            If the wavenumbers do not increase, or are outside the range of the spectrum.
        """
        grid = np.asarray(wavenumber, dtype=float)
        if grid.ndim != 1 or (np.diff(grid) <= 0).any():
            raise InputError("the grid must be a vector of increasing wavenumbers")
        if grid[0] < self.wavenumber[0] - 1e-9 or grid[-1] > self.wavenumber[-1] + 1e-9:
            raise InputError(
                f"the grid, {grid[0]:g} to {grid[-1]:g} cm^-1, reaches beyond the spectrum, {self.wavenumber[0]:g} to "
                f"{self.wavenumber[-1]:g} cm^-1"
            )

        def moved(columns):
            return {name: np.interp(grid, self.wavenumber, column) for name, column in columns.items()}

        return replace(
            self,
            wavenumber=grid,
            values=moved(self.values),
            errors=moved(self.errors),
            spreads=moved(self.spreads),
            replicas={},
        )
