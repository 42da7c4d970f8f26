"""Calculations of one geometry in finite electric fields: responses by differences, and the labels in each field.

The readers of all DFT codes use this module.  A set is one geometry at E = 0 and in one or more fields:

* Born charges ``Z[a, i, j] = dF_aj / dE_i`` and polarizability ``dP_i / dE_j`` are least-squares solutions of
  ``dF = E Z`` and ``dP = E alpha`` over all fields, so that pairs of opposite fields give central differences.
* The dipole at E = 0 is folded into the cell.  A dipole in a field is this dipole plus its change with the field, which
  is moved to its nearest branch first.
* The energy in a field is the electric enthalpy ``U - E.P`` of the dipole label (see ``LabelledStructure``), from the
  internal energy U(E).  If a code prints ``U - E.P`` with its own unfolded P, the branch is found from
  ``U(E) - U(0) = E.(P(E) - P(0)) / 2``.  This condition also reveals energies computed with other settings.

The stress in a field is not used: the derivative of E.P with respect to strain depends on the branch of P, and a model
may be on another branch than the label.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import DataFileError, InputError
from ...polarization import fold_dipole, nearest_branch
from ...structures import LabelledStructure, symmetric_part

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FieldRun:
    """One calculation at E = 0 or in a field.

    Attributes
    ----------
    source : str
        File, and dataset or step in it.
    symbols, positions, cell
        As those of a :class:`LabelledStructure`.
    field : ndarray, shape (3,), in V/Å
        Electric field; may be zero.
    labels : mapping
        Labels with the names and units of a :class:`LabelledStructure`. The dipole may be on any branch.
    energy_dipoles : sequence of ndarray, shape (3,), in e·Å
        If given, the energy is ``U - E.P`` with one of these P, up to quanta. If empty, it is U.
    """

    source: str
    symbols: tuple[str, ...]
    positions: np.ndarray
    cell: np.ndarray
    field: np.ndarray
    labels: Mapping[str, Any]
    energy_dipoles: Sequence[np.ndarray] = ()


def geometry_key(symbols: Iterable[str], positions: np.ndarray, cell: np.ndarray) -> tuple:
    """Return a key that is equal for structures of the same geometry (to 1e-6 Å)."""
    return (tuple(symbols), *((np.round(a, 6) + 0.0).tobytes() for a in (positions, cell)))


def combine(runs: Sequence[FieldRun], zero_field: str) -> list[LabelledStructure]:
    """Return the structures of one geometry: the one at E = 0, if any, and one for each field.

    Parameters
    ----------
    runs : sequence of FieldRun
        Runs of the same geometry, at most one at E = 0.
    zero_field : str
        Input settings that give a polarization at E = 0, for messages.

    Raises
    ------
    DataFileError
        If there are several runs at E = 0, or none although the branch of an energy depends on it; if a polarization is
        missing or changes too much to find its branch; or if an energy fits no branch.
    """
    zero, in_field = [r for r in runs if not r.field.any()], [r for r in runs if r.field.any()]
    if len(zero) > 1:
        raise DataFileError(f"{zero[1].source}: the same geometry at E = 0 as {zero[0].source}; give one of them")
    base = zero[0] if zero else None
    for run in in_field:
        if run.labels.get("dipole") is None:
            raise DataFileError(f"{run.source}: is in a field, but its output has no polarization")
        if run.energy_dipoles and base is None:
            raise DataFileError(
                f"{run.source}: is in a field, and no file has its geometry at E = 0, which fixes the branch of the "
                f"polarization; give that file too ({zero_field})"
            )
    if base is None:
        return [_alone(run) for run in in_field]
    labels = dict(base.labels)
    if labels.get("dipole") is None:
        if any(run.energy_dipoles for run in in_field):
            raise DataFileError(f"{base.source}: has no polarization; run it with {zero_field}")
        return [_structure(base, labels), *map(_alone, in_field)]
    dipole = labels["dipole"] = fold_dipole(labels["dipole"], base.cell)
    changes = [_change(run, base) for run in in_field]
    for name, value in _responses(base, in_field, changes).items():
        if labels.get(name) is None:
            labels[name] = value
    structures = [_structure(base, labels)]
    for run, change in zip(in_field, changes, strict=True):
        internal = _internal_energy(run, base, change)
        structures.append(_in_field(run, internal, dipole + change))
    return structures


def _structure(run, labels):
    return LabelledStructure(run.source, run.symbols, run.positions, run.cell, np.array([True] * 3), **labels)


def _in_field(run, internal, dipole):
    energy = None if internal is None else internal - float(run.field @ dipole)
    forces = run.labels.get("forces")
    return _structure(run, {"energy": energy, "forces": forces, "dipole": dipole, "electric_field": run.field})


def _alone(run):
    return _in_field(run, run.labels.get("energy"), fold_dipole(run.labels["dipole"], run.cell))


def _change(run, base):
    try:
        return nearest_branch(run.labels["dipole"] - base.labels["dipole"], base.cell)
    except InputError as error:
        raise DataFileError(f"{run.source}: {error}") from error


def _responses(base, in_field, changes) -> dict[str, np.ndarray]:
    if not in_field:
        return {}
    fields = np.array([run.field for run in in_field])
    if np.linalg.matrix_rank(fields, tol=1e-3 * np.abs(fields).max()) < 3:
        if base.labels.get("polarizability") is None:
            _log.warning("%s: no responses by differences: the fields do not span all directions", base.source)
        return {}
    polarizability = np.linalg.lstsq(fields, np.array(changes), rcond=None)[0].T
    responses = {"polarizability": symmetric_part(polarizability, base.source, "polarizability")}
    forces = [run.labels.get("forces") for run in (base, *in_field)]
    if all(f is not None for f in forces):
        differences = np.array([(f - forces[0]).ravel() for f in forces[1:]])
        solution = np.linalg.lstsq(fields, differences, rcond=None)[0]  # [field, atom and displacement]
        responses["born_charges"] = solution.reshape(3, -1, 3).transpose(1, 0, 2)
    return responses


def _internal_energy(run, base, change) -> float | None:
    """Return U(E) in eV, or None if an energy is missing; ``U(E) - U(0) = E.dP/2`` must hold to 20 %."""
    energy, reference = run.labels.get("energy"), base.labels.get("energy")
    if energy is None or reference is None:
        return None if run.energy_dipoles else energy
    expected = reference + float(run.field @ change) / 2
    candidates = [energy]
    if run.energy_dipoles:
        quanta = np.array(list(itertools.product(range(-3, 4), repeat=3))) @ run.cell
        candidates = [energy + float(run.field @ (p + q)) for p in run.energy_dipoles for q in quanta]
    internal = min(candidates, key=lambda u: abs(u - expected))
    work = expected - reference
    if abs(internal - expected) > max(0.2 * abs(work), 1e-5):
        where = " on every branch" if run.energy_dipoles else ""
        raise DataFileError(
            f"{run.source}: energy and polarization do not fit together: U(E) - U(0) is off by "
            f"{internal - expected:.3g} eV from E.dP/2 = {work:.3g} eV{where}; converge the run further, with the "
            "settings of the run at E = 0"
        )
    return internal
