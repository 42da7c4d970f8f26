"""Means and standard deviations over the members of an ensemble of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..polarization import quanta_in

STD = "_std"
MEMBERS = "_members"
"""Suffixes of a property's name for its standard deviation and for the values of the members."""


def combine(members: Sequence[Mapping[str, Any]], cell: np.ndarray, pbc: np.ndarray) -> dict[str, Any]:
    """Return the mean of every property, ``<name>_std`` and ``<name>_members``.

    The dipole of a crystal is defined modulo e times a lattice vector.  The dipoles of all members are moved to the
    branch of the first member, because a mean over different branches is meaningless.

    Parameters
    ----------
    members : sequence of mappings, length n >= 2
        Property -> number or array, one mapping for each member.
    cell : ndarray, shape (3, 3), in Å
        Lattice vectors in rows.
    pbc : ndarray of bool, shape (3,)

    Returns
    -------
    dict
        Standard deviations have the divisor ``n - 1``; the values of the members have shape (n, ...).
    """
    results: dict[str, Any] = {}
    for name in members[0]:
        values = np.array([member[name] for member in members], dtype=float)
        if name in ("dipole", "polarization") and pbc.any():
            lattice = cell[pbc] if name == "dipole" else cell[pbc] / abs(np.linalg.det(cell))
            values -= quanta_in(values - values[0], lattice)
        mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
        results[name], results[name + STD] = (x if x.ndim else float(x) for x in (mean, deviation))
        results[name + MEMBERS] = values
    return results
