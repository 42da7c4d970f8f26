"""The result record that every spectrum function returns, every writer writes and every plot draws."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError


@dataclass(frozen=True)
class Spectrum:
    """A spectrum with everything needed to use it again.

    Attributes
    ----------
    kind : str
        ``"infrared"`` or ``"raman"``.
    wavenumber : ndarray, shape (n,), in cm^-1
    values : dict of str to ndarray, shape (n,)
        Named columns.
    units : dict of str to str
        Unit of every column (``"1"``: dimensionless).
    errors : dict of str to ndarray, shape (n,)
        Standard errors of columns, in the same unit; empty if the series was too short for blocks.
    parameters : dict of str to str, number, list or None
        Everything that the numbers depend on; names carry their unit.
    spreads : dict of str to ndarray, shape (n,)
        Standard deviations over the members of an ensemble of models, in the unit of the column; empty for one model.
    replicas : dict of str to ndarray, shape (blocks, n)
        Columns with one block of the run left out, for the errors of anything derived from them
        (:func:`.estimate.jackknife_error`); not in text files.
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
            raise InputError("every column needs a unit, and errors and spreads belong to columns")

    def column(self, name: str) -> np.ndarray:
        """Return a column; an unknown name is an InputError that lists the known ones."""
        if name not in self.values:
            raise InputError(f"this {self.kind} spectrum has no '{name}', only {', '.join(self.values)}")
        return self.values[name]

    def between(self, low: float, high: float) -> Spectrum:
        """Return the part with ``low <= wavenumber <= high`` (cm^-1)."""
        keep = (self.wavenumber >= low) & (self.wavenumber <= high)
        if not keep.any():
            raise InputError(
                f"no point between {low:g} and {high:g} cm^-1; the spectrum spans "
                f"{self.wavenumber[0]:g} to {self.wavenumber[-1]:g} cm^-1"
            )
        return replace(
            self,
            wavenumber=self.wavenumber[keep],
            values={name: value[keep] for name, value in self.values.items()},
            errors={name: value[keep] for name, value in self.errors.items()},
            spreads={name: value[keep] for name, value in self.spreads.items()},
            replicas={name: value[:, keep] for name, value in self.replicas.items()},
        )
