"""GPUMD's ``train.xyz`` and ``test.xyz``, read by the rules of its ``nep`` program.

These rules differ from those of ASE.  Keys and the ``properties`` list are case-insensitive.  Every structure is
periodic in three directions, whatever ``pbc`` says.  If both are given, ``virial`` is used and ``stress`` is not.  Of a
pair of off-diagonal components such as ``xy`` and ``yx``, the second (``yx``, ``zx``, ``zy``) is used.  Unlike in
GPUMD, tensors that are far from symmetric are an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...conventions import GPUMD_ORDER, from_six
from ...errors import DataFileError
from ...progress import tracked
from ...structures import MAX_DENSITY, LabelledStructure, symmetric_part
from ..files import read_text
from ..structures.frames import read_header, unit_factors
from ..structures.left_out import unconverged

_log = logging.getLogger(__name__)

_LOWER = [3 * max(a, b) + min(a, b) for a, b in GPUMD_ORDER]  # the six of nine numbers that are used
ATOMIC = {"dipole": ("adipole", "atomic_dipole"), "polarizability": ("apol", "atomic_polarizability")}
"""Names of the columns with atomic targets."""
_ANY_UNIT = ("dipole", "polarizability", "susceptibility", *ATOMIC["dipole"], *ATOMIC["polarizability"])
_COLUMNS = {
    "species": 1,
    "pos": 3,
    "force": 3,
    "forces": 3,
    "adipole": 3,
    "atomic_dipole": 3,
    "apol": 9,
    "atomic_polarizability": 9,
}


@dataclass(frozen=True, eq=False)
class GpumdFrame:
    """One structure of a ``train.xyz`` or ``test.xyz``; a missing target is None.

    Attributes
    ----------
    structure : LabelledStructure
        Geometry, ``energy`` (eV), ``forces`` (eV/Å), ``virial`` (eV), ``dipole`` and ``polarizability`` (totals, in the
        unit and normalisation of the file, which does not say them).
    weight : float
        Weight of the structure.
    energy_weight : float
        Weight of its energy.
    atomic_dipole : ndarray, shape (n_atoms, 3), or None
    atomic_polarizability : ndarray, shape (n_atoms, 6), or None
        Components in GPUMD's order (xx yy zz xy yz zx).
    """

    structure: LabelledStructure
    weight: float = 1.0
    energy_weight: float = 1.0
    atomic_dipole: np.ndarray | None = None
    atomic_polarizability: np.ndarray | None = None

    def __len__(self):
        return len(self.structure)


def read_gpumd_xyz(
    path: str | Path, species: Sequence[str], kind: str, *, atomic: bool = False, prediction: bool = False
) -> list[GpumdFrame]:
    """Read a ``train.xyz`` or ``test.xyz`` (plain or ``.gz``).

    Parameters
    ----------
    path : str or path
    species : sequence of str
        Chemical symbols of the model; others are an error.
    kind : {"potential", "dipole", "polarizability"}
        Kind of the model, which decides which targets are read. For the latter two, energies and forces are not read.
    atomic : bool, default False
        Read atomic targets instead of totals (``atomic_v``).
    prediction : bool, default False
        Allow missing targets.

    Returns
    -------
    list of GpumdFrame

    Raises
    ------
    DataFileError
        If the file cannot be read, is empty or truncated, has an unknown species, an invalid cell or number, a tensor
        that is far from symmetric, a unit other than eV and Å, or (unless `prediction`) lacks a target, or if it says
        that a calculation has not converged.  The message names file, structure (counted from 0) and field.
    """
    path = Path(path)
    lines = read_text(path).splitlines()
    frames = [
        _Block(source, header, rows).frame(species, kind, atomic, prediction)
        for source, header, rows in tracked(_blocks(path, lines), _log, f"structures of {path.name} read")
    ]
    if not frames:
        raise DataFileError(f"{path}: no structure in the file")
    return frames


def _blocks(path, lines) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the name, the second line, and the atom lines of each structure."""
    at = index = 0
    while at < len(lines):
        if not any(line.strip() for line in lines[at:]):
            return
        source = f"{path}, structure {index}"
        words = lines[at].split()
        if len(words) != 1 or not words[0].isdecimal() or int(words[0]) < 1:
            raise DataFileError(f"{source}: line {at + 1} must be a number of atoms, found '{lines[at].strip()[:40]}'")
        n = int(words[0])
        if len(lines) < at + 2 + n:
            raise DataFileError(f"{source}: expected {n} atoms, but the file ends after {len(lines) - at - 2}")
        yield source, lines[at + 1], lines[at + 2 : at + 2 + n]
        at, index = at + 2 + n, index + 1


class _Block:
    """One structure as text; its methods look up and check its fields."""

    def __init__(self, source, header, rows):
        self.source, self.rows = source, rows
        self.fields = read_header(header, source)[1]
        if other := unit_factors(self.fields, source, _ANY_UNIT):
            self.fail(
                f"{' and '.join(other)} in other units than eV and Å, which GPUMD expects: convert with 'tnep data'"
            )
        if (found := unconverged(self.fields)) is not None:
            self.fail(f"{found}: the calculation has not converged; 'tnep data' leaves such structures out")

    def fail(self, reason):
        raise DataFileError(f"{self.source}: {reason}")

    def numbers(self, key, count):
        """Return the numbers of a key, or None if the key is absent."""
        if key not in self.fields:
            return None
        words = self.fields[key].split()
        try:
            values = np.array(words, dtype=float)
        except ValueError:
            self.fail(f"'{key}' must be numbers, found '{self.fields[key][:40]}'")
        if values.size != count:
            self.fail(f"'{key}' must be {count} number{'s' * (count > 1)}, found {values.size}")
        if not np.isfinite(values).all():
            self.fail(f"'{key}' is not finite")
        return values

    def tensor(self, key):
        values = self.numbers(key, 9)
        if values is None:
            return None
        symmetric_part(values.reshape(3, 3), self.source, key)  # raises if far from symmetric
        return from_six(values[_LOWER], GPUMD_ORDER)

    def frame(self, species, kind, atomic, prediction):
        cell = self.numbers("lattice", 9)
        if cell is None:
            self.fail(f"no lattice; found {', '.join(sorted(self.fields)) or 'nothing'}")
        cell = cell.reshape(3, 3)
        volume = abs(np.linalg.det(cell))
        if volume < 1e-9 * np.prod(np.linalg.norm(cell, axis=1)) or volume == 0:
            self.fail("the lattice vectors are zero or linearly dependent")
        if len(self.rows) > MAX_DENSITY * volume:
            self.fail(f"'lattice' gives {len(self.rows) / volume:.3g} atoms per Å³: is it in Å?")
        columns, symbols = self.columns()
        unknown = sorted(set(symbols) - set(species))
        if unknown:
            self.fail(f"has {' '.join(unknown)}, but 'type' in nep.in names {' '.join(species)} (case matters)")
        labels, atoms = self.targets(kind, atomic, columns, volume)
        if not prediction:
            self.require(kind, atomic, labels, atoms)
        return GpumdFrame(
            LabelledStructure(self.source, symbols, columns["pos"], cell, np.array([True] * 3), **labels),
            self.weight("weight"),
            self.weight("energy_weight"),
            atoms["dipole"],
            atoms["polarizability"],
        )

    def columns(self):
        """Return the known columns, as arrays by name, and the chemical symbols."""
        if "properties" not in self.fields:
            self.fail(f"no properties; found {', '.join(sorted(self.fields)) or 'nothing'}")
        words = self.fields["properties"].lower().split(":")
        if len(words) % 3 or not all(word.isdecimal() for word in words[2::3]):
            self.fail(f"'properties' must be name:type:columns groups, found '{self.fields['properties'][:60]}'")
        places, at = {}, 0
        for name, count in zip(words[::3], map(int, words[2::3]), strict=True):
            if name in _COLUMNS:
                if count != _COLUMNS[name]:
                    self.fail(f"'{name}' must have {_COLUMNS[name]} columns, 'properties' says {count}")
                places[name] = slice(at, at + count)
            at += count
        for name in ("species", "pos"):
            if name not in places:
                self.fail(f"'properties' must have '{name}', found '{self.fields['properties'][:60]}'")
        table = [row.split() for row in self.rows]
        for k, row in enumerate(table):
            if len(row) != at:
                self.fail(f"atom {k} has {len(row)} columns, 'properties' says {at}")
        arrays = {}
        for name, place in places.items():
            if name == "species":
                continue
            try:
                values = np.array([row[place] for row in table], dtype=float)
            except ValueError:
                self.fail(f"'{name}' must be numbers")
            if not np.isfinite(values).all():
                self.fail(f"'{name}' of atom {int(np.argmin(np.isfinite(values).all(axis=1)))} is not finite")
            arrays[name] = values
        return arrays, tuple(row[places["species"]][0] for row in table)

    def targets(self, kind, atomic, columns, volume):
        labels, atoms = {}, {"dipole": None, "polarizability": None}
        if kind == "potential":
            energy = self.numbers("energy", 1)
            labels["energy"] = None if energy is None else float(energy[0])
            labels["forces"] = columns.get("force", columns.get("forces"))
            labels["virial"] = self.tensor("virial")
            if labels["virial"] is None and (stress := self.tensor("stress")) is not None:
                labels["virial"] = -volume * stress
        else:
            labels["dipole" if kind == "dipole" else "polarizability"] = (
                self.numbers("dipole", 3) if kind == "dipole" else self.tensor("pol")
            )
            if atomic:
                found = next((columns[name] for name in ATOMIC[kind] if name in columns), None)
                atoms[kind] = found if found is None or kind == "dipole" else found[:, _LOWER]
        return labels, atoms

    def require(self, kind, atomic, labels, atoms):
        missing = [name for name, value in labels.items() if value is None and name != "virial"]
        if atomic:
            missing = [] if atoms[kind] is not None else [f"{ATOMIC[kind][0]} column (atomic_v 1)"]
        if missing:
            names = {"polarizability": "pol", "forces": "force column"}
            words = " and ".join(names.get(name, name) for name in missing)
            self.fail(f"no {words}, which training a {kind} model needs; found {', '.join(sorted(self.fields))}")

    def weight(self, key):
        value = self.numbers(key, 1)
        if value is None:
            return 1.0
        if not 0 < value[0] <= 100:
            self.fail(f"'{key}' must be above 0 and at most 100, found {value[0]:g}")
        return float(value[0])
