"""A NEP for small displacements: the linear fit of the supercells of ``tnep fc``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.displaced_supercells import SupercellData
from tnep_calc.io.gpumd.nep_parameters import NepParameters
from tnep_calc.io.gpumd.nep_txt import write_nep

from ...common.labels import make_labels
from .basis import NepBasis
from .equations import Problem
from .fit import fit

DEFAULTS: dict[str, Any] = {
    "radial_cutoff": 8.0,
    "angular_cutoff": 7.0,
    "n_max": 7,
    "basis_size": (8, 6),
    "l_max": 4,
}
"""Default parameters of :func:`fit_nep`; ``n_max`` is the angular one."""
ENERGY_WEIGHT = 1.0
"""Weight in 1/Å of the error of the energy of a supercell (eV) beside that of a force component (eV/Å)."""


def nep_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of the fit, with those of `given` instead of the defaults.

    Raises
    ------
    InputError
        If a name is unknown or a value has the wrong type.

    Examples
    --------
    >>> nep_settings({"n_max": 5})["n_max"]
    5
    """
    settings = dict(DEFAULTS)
    for name, value in given.items():
        if name not in settings:
            raise InputError(f"the fit of a NEP has no parameter '{name}'; known: {', '.join(settings)}")
        default = settings[name]
        try:
            if isinstance(default, tuple):
                first, second = value
                settings[name] = (int(first), int(second))
            else:
                settings[name] = type(default)(value)
        except (TypeError, ValueError):
            kind = "two integers" if isinstance(default, tuple) else "one number"
            raise InputError(f"parameter '{name}' of the fit of a NEP must be {kind}, got {value}") from None
    if settings["n_max"] < 0:
        raise InputError(f"parameter 'n_max' of the fit of a NEP must not be negative, got {settings['n_max']}")
    return settings


def fit_nep(
    data: SupercellData,
    train: Sequence[int],
    test: Sequence[int],
    path,
    settings: Mapping[str, Any] | None = None,
    checkpoint=None,
) -> NepParameters:
    """Fit a NEP to displaced supercells and write it to a file.

    The regularisation with the smallest force error on the test supercells is chosen, so that this error is slightly
    too small.

    Parameters
    ----------
    data : SupercellData
    train, test : sequence of int
        Indices of the supercells for the fit, and for the choice of the regularisation.
    path : path
        File to write, usually ``nep.txt``.
    settings : mapping, optional
        Parameters by name (``DEFAULTS``).
    checkpoint : path, optional
        File (``.npz``) of the normal equations so far, with which a killed fit resumes.

    Returns
    -------
    NepParameters

    Raises
    ------
    InputError
        If a parameter is unknown or out of range.
    DataFileError
        If the checkpoint is damaged.
    """
    chosen = nep_settings(settings or {})
    species = tuple(dict.fromkeys(data.supercell.symbols))
    basis = NepBasis(species, chosen["radial_cutoff"], chosen["angular_cutoff"], chosen["basis_size"], chosen["l_max"])
    structures, held = ([data.structure(k) for k in which] for which in (train, test))
    labels = make_labels(structures, ("energy", "forces"), species)
    atoms = len(data.supercell.symbols)
    # mean squared error of the force components, and of the energies of supercells as if each were one more component
    forces = 1 / (atoms * len(structures))
    factors = {"forces": forces, "energy": ENERGY_WEIGHT**2 * atoms**2 * forces / 3}
    found = fit(Problem(basis, structures, labels, factors, held), chosen["n_max"], checkpoint)
    of_atom = found.constants[[species.index(symbol) for symbol in data.supercell.symbols]].mean()
    parameters = replace(found.parameters, b1=np.array([-of_atom]))  # all supercells have the same composition
    write_nep(path, parameters, decimals=16)  # large terms cancel: with eight digits the forces get an error
    return parameters
