"""Messages about what a file of structures has but the package does not use."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ...errors import DataFileError
from ...structures import LABELS, LabelledStructure

log = logging.getLogger(__name__)

_LISTED = 20  # longest list of structures in a message
_CONVERGED = re.compile(r"(?:(?:is|was|scf|dft|elec|electronic|e)_)*(?P<no>(?:not|un)_?)?converged")
_FALSE, _TRUE = ("false", "f", ".false.", "no", "n", "0"), ("true", "t", ".true.", "yes", "y", "1")


class UnconvergedError(DataFileError):
    """A file says of a structure that its calculation has not converged."""


def listed(indices: Sequence[int]) -> str:
    """Return the indices of structures for a message: all, or the first ones and the last.

    Examples
    --------
    >>> listed([3, 5])
    '3, 5'
    """
    more = f", ... {indices[-1]}" if len(indices) > _LISTED else ""
    return ", ".join(map(str, indices[:_LISTED])) + more


def unconverged(values: Mapping[str, object]) -> str | None:
    """Return the value, such as ``converged=F``, that says that a calculation has not converged; None if none does.

    Examples
    --------
    >>> unconverged({"energy": -1.5, "scf_converged": "false"})
    'scf_converged=false'
    """
    for name, value in values.items():
        match = _CONVERGED.fullmatch(str(name).lower().replace("-", "_"))
        if match and str(value).lower() in (_TRUE if match["no"] else _FALSE):
            return f"{name}={value}"
    return None


def warn_of_unconverged(path: Path, left_out: Sequence[int], used: int) -> None:
    """Log which structures of a file were left out because their calculations have not converged.

    Parameters
    ----------
    path : path
        File, for the message.
    left_out : sequence of int
        Indices of these structures.
    used : int
        Number of the other structures.

    Raises
    ------
    DataFileError
        If there is no other structure.
    """
    if left_out and not used:
        raise DataFileError(f"{path}: no calculation has converged, as the file says (converged=F)")
    if left_out:
        log.warning("%s: not converged, as the file says, and left out: structure %s", path, listed(left_out))


def warn_of_unused(path: Path, structures: Sequence[LabelledStructure], unused: Collection[str]) -> None:
    """Log which values of a file look like labels but are not used, and whether the file has no label.

    Parameters
    ----------
    path : path
        File, for the message.
    structures : sequence of LabelledStructure
        All structures of the file.
    unused : collection of str
        Names of its values that belong to no field, see :func:`from_atoms`.
    """
    hints = []
    for name in sorted(unused):
        lower = name.lower()
        field = _SHORT.get(lower) or next((f for f, words in _PARTS.items() if any(w in lower for w in words)), None)
        if field is not None and not lower.startswith("unit") and not lower.endswith(("unit", "units")):
            hints.append(f"{name} (--key {field}={name} reads it)")
    if hints:
        log.warning("%s: not read: %s", path, ", ".join(hints))
    if all(getattr(s, label) is None for s in structures for label in LABELS):
        log.warning("%s: no structure has a label", path)


_PARTS = {
    "energy": ("energy",),
    "forces": ("force",),
    "virial": ("virial",),
    "stress": ("stress",),
    "born_charges": ("born", "bec"),
    "dipole": ("dipole", "polarization"),
    "polarizability": ("polarizab",),
    "epsilon_inf": ("epsilon", "dielectric"),
    "susceptibility": ("suscept",),
    "polarizability_gradient": ("raman",),
}
_SHORT = {"e": "energy", "e0": "energy", "etot": "energy", "e_tot": "energy", "toten": "energy", "f": "forces"}
_SHORT |= {"mu": "dipole", "dip": "dipole", "alpha": "polarizability", "eps": "epsilon_inf", "zstar": "born_charges"}
