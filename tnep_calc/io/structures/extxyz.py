"""Labelled structures from extended xyz files: read them, check them, and convert to the package's units and signs.

Every label is checked when it is read, and an error names file, structure and field.  ASE moves some keys of an
extended xyz file to ``atoms.calc`` (energy, forces, stress, dipole) and leaves others in ``atoms.info`` and
``atoms.arrays``.  All of these are searched, so that files written by ASE, by GPUMD tools or by hand are equivalent.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...conventions import ASE_ORDER, from_six
from ...errors import DataFileError, InputError
from ...neighbors import MAX_COORDINATE
from ...progress import tracked
from ...structures import FIELDS, LABELS, LabelledStructure, symmetric_part
from ...units import EPSILON_0
from ..files import atomic_output, read_text, reading
from .frames import frames_of
from .left_out import UnconvergedError, listed, unconverged, warn_of_unconverged, warn_of_unused

log = logging.getLogger(__name__)


def read_dataset(
    paths: str | Path | Sequence[str | Path],
    keys: Mapping[str, str] | None = None,
    require: Sequence[str] = (),
) -> list[LabelledStructure]:
    """Read all structures of extended xyz files.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, read in this order; ``.gz``, ``.bz2`` and ``.xz`` are decompressed.
    keys : mapping, optional
        Key in the file for a field of ``FIELDS``, e.g. ``{"energy": "dft_energy"}``. Every structure must have a field
        that is named here.
    require : sequence of str, optional
        Labels (of ``LABELS``) that every structure at zero field must have.

    Returns
    -------
    list of LabelledStructure
        Without those of which the file says that their calculation has not converged (``converged=F``); a warning
        names them.

    Raises
    ------
    DataFileError
        If a file cannot be read or is empty, no calculation has converged, a required label is missing, or a value has
        the wrong shape or is not finite.  The message names file, structure and field, and lists the other structures
        of the file with errors.
    InputError
        If `keys` or `require` name an unknown field.
    """
    keys = dict(keys or {})
    for name, known in [*((k, FIELDS) for k in keys), *((r, LABELS) for r in require)]:
        if name not in known:
            raise InputError(f"unknown field '{name}'; known: {', '.join(known)}")
    structures: list[LabelledStructure] = []
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        path = Path(path)
        before, bad = len(structures), []  # bad: indices of structures that cannot be used, with the reasons
        left_out: list[int] = []
        unused: set[str] = set()
        frames = tracked(frames_of(path, read_text(path)), log, f"structures of {path.name} read")
        for index, frame in enumerate(frames):
            source = f"{path}, structure {index}"
            try:
                with reading(source, "extended xyz"):
                    atoms = _atoms_of(frame.text, source)
                    structure = from_atoms(atoms, source, keys, require, unused)
                structures.append(_in_our_units(structure, frame.factors))
            except UnconvergedError:
                left_out.append(index)
            except DataFileError as error:
                bad.append((index, str(error)))
        if bad:
            raise DataFileError(_all_bad(bad))
        warn_of_unconverged(path, left_out, len(structures) - before)
        if len(structures) == before:
            raise DataFileError(f"{path}: no structure in the file")
        warn_of_unused(path, structures[before:], unused)
    return structures


def _atoms_of(text, source):
    """Return ASE's ``Atoms`` of one frame; DataFileError that names a symbol that is not of an element."""
    from ase.io import read

    try:
        atoms: Any = read(io.StringIO(text), format="extxyz")
        unknown = "X" if "X" in atoms.symbols else None
    except KeyError as error:  # ASE looks up symbols in a table
        unknown = str(error.args[0])
        if not unknown.isalnum() or len(unknown) > 3:
            raise
    if unknown is not None:
        raise DataFileError(f"{source}: '{unknown}' is not the symbol of an element")
    return atoms


def _in_our_units(structure, factors):
    scaled = {
        label: factor * getattr(structure, label)
        for label, factor in factors.items()
        if getattr(structure, label) is not None
    }
    return replace(structure, **scaled) if scaled else structure


def _all_bad(bad: list[tuple[int, str]]) -> str:
    """Return the reason of the first pair (structure, reason), followed by the numbers of the other structures."""
    others = [index for index, _ in bad[1:]]
    if not others:
        return bad[0][1]
    what = f"{len(others)} more structure{'s' * (len(others) > 1)} of this file"
    return f"{bad[0][1]}; {what} cannot be used: {listed(others)}"


def from_atoms(
    atoms,
    source: str,
    keys: Mapping[str, str] | None = None,
    require: Sequence[str] = (),
    unused: set[str] | None = None,
) -> LabelledStructure:
    """Return the checked labelled structure of an ASE ``Atoms``.

    Parameters
    ----------
    atoms : ase.Atoms
        With labels in ``info``, ``arrays`` or the results of its calculator.
    source : str
        Name of the structure in messages.
    keys, require
        As in :func:`read_dataset`.
    unused : set of str, optional
        The names of values that belong to no field are added to this set.

    Raises
    ------
    UnconvergedError
        If a value such as ``converged=F`` says that the calculation has not converged.
    DataFileError
        As :func:`read_dataset`.
    """
    found = _Fields(atoms, source, dict(keys or {}))
    found.check_convergence()
    n, cell = len(atoms), np.array(atoms.cell)
    if n == 0:
        raise DataFileError(f"{source}: has no atoms")
    if not (np.abs(cell) <= MAX_COORDINATE).all():
        raise DataFileError(f"{source}: a lattice vector has a component above {MAX_COORDINATE:g} Å, or not a number")
    volume = abs(np.linalg.det(cell))
    pbc = np.array(atoms.pbc, dtype=bool)
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise DataFileError(f"{source}: is periodic but its lattice vectors are zero or linearly dependent")
    field = found.array("electric_field", (3,))
    labels: dict[str, object] = {
        "forces": found.array("forces", (n, 3)),
        "dipole": found.array("dipole", (3,)),
        "born_charges": found.array("born_charges", (n, 3, 3)),
        "virial": found.symmetric("virial"),
        "polarizability": found.symmetric("polarizability"),
        "electric_field": field,
        "atomic_dipole": found.array("atomic_dipole", (n, 3)),
        "atomic_polarizability": found.symmetric_of_atoms("atomic_polarizability", (n,)),
        "polarizability_gradient": found.symmetric_of_atoms("polarizability_gradient", (n, 3)),
    }
    energy = found.array("energy", ())
    labels["energy"] = None if energy is None else float(energy)
    for label, name, convert in (
        ("virial", "stress", lambda stress: -volume * stress),
        ("polarizability", "epsilon_inf", lambda eps: EPSILON_0 * volume * (eps - np.eye(3))),
        ("polarizability", "susceptibility", lambda chi: EPSILON_0 * volume * chi),
    ):
        if labels[label] is None and (value := found.symmetric(name)) is not None:
            if volume == 0:
                raise DataFileError(f"{source}: '{name}' needs a cell with a volume, but the structure has none")
            labels[label] = convert(value)
    slope = found.symmetric_of_atoms("epsilon_gradient", (n, 3))
    if labels["polarizability_gradient"] is None and slope is not None:
        if volume == 0:
            raise DataFileError(f"{source}: 'epsilon_gradient' needs a cell with a volume, but the structure has none")
        labels["polarizability_gradient"] = EPSILON_0 * volume * slope
    for label in require if field is None or not field.any() else ():
        if labels[label] is None:
            wanted = [keys[label]] if keys and label in keys else list(FIELDS[label])
            wanted += {"virial": ["stress"], "polarizability": ["epsilon_inf", "susceptibility"]}.get(label, [])
            raise DataFileError(
                f"{source}: no {label} (looked for {', '.join(wanted)}; found {', '.join(found.names()) or 'nothing'})"
            )
    if (weight := found.array("weight", ())) is not None:
        if not 0 < weight <= 100:
            raise DataFileError(f"{source}: 'weight' must be above 0 and at most 100, found {float(weight):g}")
        labels["weight"] = float(weight)
    if (charge := found.array("charge", ())) is not None:
        labels["charge"] = float(charge)
    symbols = tuple(atoms.get_chemical_symbols())
    if unused is not None:
        unused |= found.unused()
    return LabelledStructure(source, symbols, found.positions(), cell, pbc, **labels)  # type: ignore[arg-type]


def write_dataset(path: str | Path, structures: Sequence[LabelledStructure], force: bool = False) -> None:
    """Write structures with all their labels as extended xyz, which :func:`read_dataset` and ASE can read.

    Keys are those of ``FIELDS``.  If there is a cell, the virial is written as the stress (eV/Å³, ASE's sign).  Numbers
    have 17 digits in the header and 12 in the columns.

    Parameters
    ----------
    path : path
        Must not exist, unless `force`.
    structures : sequence of LabelledStructure
    force : bool, default False
        Overwrite.

    Raises
    ------
    InputError
        If the file exists or its folder does not.
    """
    with atomic_output(path, force) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        for s in structures:
            stream.write(_as_text(s))


_COLUMNS = {
    "forces": 3,
    "born_charges": 9,
    "atomic_dipole": 3,
    "atomic_polarizability": 9,
    "polarizability_gradient": 27,
}


def _as_text(s: LabelledStructure) -> str:
    columns = {name: getattr(s, name) for name in _COLUMNS if getattr(s, name) is not None}
    properties = "species:S:1:pos:R:3" + "".join(f":{name}:R:{_COLUMNS[name]}" for name in columns)
    header: dict[str, object] = {"Lattice": s.cell} if s.cell.any() else {}
    header |= {"Properties": properties, "energy": s.energy, "dipole": s.dipole, "polarizability": s.polarizability}
    if s.virial is not None:
        header |= {"stress": -s.virial / s.volume} if s.volume else {"virial": s.virial}
    header |= {"electric_field": s.electric_field, "weight": None if s.weight == 1 else s.weight}
    header |= {"charge": s.charge or None}
    header |= {"source": s.source.replace('"', "'"), "pbc": " ".join("FT"[int(p)] for p in s.pbc)}
    words = []
    for key, value in header.items():
        if value is None:
            continue
        if not isinstance(value, str):
            value = " ".join(repr(float(x)) for x in np.ravel(np.asarray(value)))
        words.append(f"{key}={value}" if " " not in value and value else f'{key}="{value}"')
    table = np.concatenate([s.positions, *(v.reshape(len(s), -1) for v in columns.values())], axis=1)
    rows = (f"{a:<2} " + " ".join(f"{x:.12g}" for x in row) for a, row in zip(s.symbols, table, strict=True))
    return "\n".join([str(len(s)), " ".join(words), *rows, ""])


class _Fields:
    """Look up the fields of one ``Atoms`` in all places where ASE's reader puts them."""

    def __init__(self, atoms, source, keys):
        self.source, self.keys = source, keys
        self.atoms = atoms
        self.values = dict(getattr(atoms.calc, "results", {}) or {})
        self.values.update({k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")})
        self.values.update(atoms.info)
        self.by_lower = {str(k).lower(): k for k in self.values}

    def names(self):
        return sorted(map(str, self.values))

    def fail(self, reason):
        raise DataFileError(f"{self.source}: {reason}")

    def _value(self, field):
        if field in self.keys:
            key = self.keys[field]
            if key not in self.values:
                self.fail(f"no '{key}' (the key given for {field}); found {', '.join(self.names()) or 'nothing'}")
            return key, self.values[key]
        for alias in FIELDS[field]:
            if alias in self.by_lower:
                return alias, self.values[self.by_lower[alias]]
        return field, None

    def _numbers(self, key, value):
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            self.fail(f"'{key}' must be numbers, found {str(value)[:40]!r}")
        if not np.isfinite(array).all():
            self.fail(f"'{key}' is not finite ({array.size - int(np.isfinite(array).sum())} of {array.size} values)")
        return array

    def unused(self):
        """Return the names of values that are not read, also those of a second, different value of a field."""
        taken = {key.lower() for key in self.keys.values()}
        for field, aliases in FIELDS.items():
            _, used = self._value(field)
            values = {alias: self.values[self.by_lower[alias]] for alias in aliases if alias in self.by_lower}
            taken |= {alias for alias, value in values.items() if np.array_equal(value, used)}
        return {name for name in self.names() if name.lower() not in taken}

    def check_convergence(self):
        """Raise ``UnconvergedError`` if a value such as ``converged=F`` says that the calculation has not converged."""
        if (found := unconverged(self.values)) is not None:
            raise UnconvergedError(f"{self.source}: {found}: the calculation has not converged")

    def positions(self):
        positions = self._numbers("positions", self.atoms.positions)
        far = np.abs(positions).max(axis=1) > MAX_COORDINATE
        if far.any():
            self.fail(f"atom {int(far.argmax())} is more than {MAX_COORDINATE:g} Å away from the origin")
        return positions

    def array(self, field, shape):
        key, value = self._value(field)
        if value is None:
            return None
        array = self._numbers(key, value)
        if array.size != int(np.prod(shape)) or (shape and array.shape[:1] != shape[:1]):
            self.fail(f"'{key}' must have shape {shape}, found {array.shape}")
        return array.reshape(shape)

    def symmetric(self, field):
        """Return a symmetric 3x3 tensor from nine numbers, or for the stress also from six in ASE's order."""
        key, value = self._value(field)
        if value is None:
            return None
        array = self._numbers(key, value)
        if array.size == 6 and field == "stress":
            return from_six(array.reshape(6), ASE_ORDER)
        if array.size != 9:
            self.fail(f"'{key}' must be nine numbers (3x3), found shape {array.shape}")
        return symmetric_part(array.reshape(3, 3), self.source, key)

    def symmetric_of_atoms(self, field, rows):
        """Return the symmetric parts of 3x3 tensors, which need not be symmetric, for all atoms (and axes)."""
        array = self.array(field, (*rows, 3, 3))
        return None if array is None else (array + array.swapaxes(-1, -2)) / 2
