"""Mean and spread of the spectra of an ensemble of models from one trajectory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .record import Spectrum


def combine_members(spectra: Sequence[Spectrum]) -> Spectrum:
    """Return the mean spectrum of the members of an ensemble, with the standard deviation over them.

    The members share a trajectory and therefore its statistical error, so that the standard errors of the blocks are
    averaged, not reduced.  The spread (standard deviation with the divisor ``n - 1``) is the error of the models.

    Parameters
    ----------
    spectra : sequence of Spectrum
        One per member, of the same kind, on the same wavenumbers. A single spectrum is returned unchanged.

    Returns
    -------
    Spectrum
        With ``spreads``. The parameters contain the number of ``models``. Parameters that differ between members are
        replaced by their mean, with their standard deviation as ``<name>_spread``.

    Raises
    ------
    InputError
        If the spectra differ in kind, columns, wavenumbers, number of samples or temperature.
    """
    first = spectra[0]
    if len(spectra) == 1:
        return first
    for k, spectrum in enumerate(spectra[1:], start=2):
        if (spectrum.kind, list(spectrum.values)) != (first.kind, list(first.values)):
            raise InputError(f"spectrum {k} has other columns than the first: {spectrum.kind}, {list(spectrum.values)}")
        same = spectrum.wavenumber.shape == first.wavenumber.shape
        if not same or not np.allclose(spectrum.wavenumber, first.wavenumber, rtol=1e-9):
            raise InputError(
                f"spectrum {k} has other wavenumbers than the first: all members need the same trajectory and sampling"
            )
        for key in ("samples", "temperature_K"):
            if spectrum.parameters.get(key) != first.parameters.get(key):
                raise InputError(
                    f"spectrum {k} has {key} = {spectrum.parameters.get(key)}, the first "
                    f"{first.parameters.get(key)}: all members need the same trajectory"
                )
    values = {name: np.array([s.values[name] for s in spectra]) for name in first.values}
    errors = {name: np.mean([s.errors[name] for s in spectra], axis=0) for name in first.errors}
    parameters = {**first.parameters, "models": len(spectra)}
    for key, value in first.parameters.items():
        if not isinstance(value, float):
            continue
        numbers = [float(s.parameters[key]) for s in spectra]
        if any(number != value for number in numbers):
            parameters[key] = float(np.mean(numbers))
            parameters[f"{key}_spread"] = float(np.std(numbers, ddof=1))
    return Spectrum(
        first.kind,
        first.wavenumber,
        {name: v.mean(axis=0) for name, v in values.items()},
        first.units,
        errors,
        parameters,
        {name: v.std(axis=0, ddof=1) for name, v in values.items()},
        {name: np.mean([s.replicas[name] for s in spectra], axis=0) for name in first.replicas},
    )
