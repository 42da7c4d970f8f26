"""Quantum ESPRESSO's XML files (``data-file-schema.xml``): single points, and sets of runs in finite electric fields.

A set is one geometry at E = 0 and in one or more fields (``lelfield = .true.`` in all of them, the first with
``efield_cart = 0 0 0``).  It becomes a structure without field, which has Born charges and polarizability by finite
differences if the fields span space, and one structure per field with the labels in that field.

* Born charges ``Z[a, i, j] = dF_aj / dE_i`` and polarizability ``dP_i / dE_j`` are least-squares solutions of
  ``dF = E Z`` and ``dP = E alpha`` over all fields, so pairs of opposite fields give central differences.
* The dipole at E = 0 is folded into the cell once.  Those in fields follow from it: each change is brought to its
  nearest branch before anything else is done with it.
* ``etot`` of a run in a field is ``U - E.P`` with QE's own unfolded P, whose branch need not be the one of the printed
  dipole.  It is found from ``U(E) - U(0) = E.(P(E) - P(0)) / 2``, and the energy is given for the dipole label.

The stress in a field is left out: its dependence on the branch of the polarization is not documented.
"""

from __future__ import annotations

import itertools
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..units import BOHR, HARTREE
from .dataset import LabelledStructure, symmetric_part
from .files import read_bytes
from .polarization import fold_dipole, nearest_branch

RYDBERG_FIELD = HARTREE / BOHR / 2**0.5  # V/Å per atomic unit of ``efield_cart`` (Rydberg units: e² = 2)
RYDBERG_DIPOLE = BOHR / 2**0.5  # e·Å per atomic unit of the printed dipoles

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Run:
    """One file, in the units of the package; the dipole is None where no field was switched on."""

    path: Path
    symbols: tuple[str, ...]
    positions: np.ndarray
    cell: np.ndarray
    field: np.ndarray
    energy: float
    forces: np.ndarray | None
    virial: np.ndarray | None
    dipole: np.ndarray | None

    @property
    def geometry(self):
        return (self.symbols, *(np.round(a, 6).tobytes() for a in (self.positions + 0.0, self.cell + 0.0)))


def read_espresso(paths: Sequence[str | Path]) -> list[LabelledStructure]:
    """Read XML files of ``pw.x`` (plain, ``.gz``, ``.bz2`` or ``.xz``); those of one geometry form a set.

    Parameters
    ----------
    paths : sequence of paths
        In any order: the geometry in the files decides what belongs together.

    Returns
    -------
    list of LabelledStructure
        In the order of the first file of each set: without field first, then in the order of the files.

    Raises
    ------
    DataFileError
        If a file cannot be read or is not converged, a set has no or several runs at E = 0, or a branch of the
        polarization cannot be told; the message names the file.
    """
    sets: dict[tuple, list[_Run]] = {}
    for path in paths:
        run = _read_run(Path(path))
        sets.setdefault(run.geometry, []).append(run)
    return [structure for runs in sets.values() for structure in _structures(runs)]


def _structures(runs: list[_Run]) -> list[LabelledStructure]:
    zero, in_field = [r for r in runs if not r.field.any()], [r for r in runs if r.field.any()]
    if len(zero) > 1:
        raise DataFileError(f"{zero[1].path}: the same geometry at E = 0 as {zero[0].path}; give one of them")
    if not zero:
        raise DataFileError(
            f"{in_field[0].path}: is in a field, and no file has its geometry at E = 0, which fixes the branch of the "
            "polarization; give that file too (lelfield = .true., efield_cart = 0 0 0)"
        )
    (base,) = zero
    labels: dict[str, object] = {"energy": base.energy, "forces": base.forces, "virial": base.virial}
    if base.dipole is None:
        if in_field:
            raise DataFileError(f"{base.path}: has no polarization; run it with lelfield = .true. and zero field")
        return [_structure(base, f"{base.path}", labels)]
    dipole = labels["dipole"] = fold_dipole(base.dipole, base.cell)
    changes = [_change(run, base) for run in in_field]
    fields = np.array([run.field for run in in_field]).reshape(-1, 3)
    if np.linalg.matrix_rank(fields, tol=1e-3 * np.abs(fields).max(initial=1e-9)) == 3:
        labels["polarizability"] = symmetric_part(
            np.linalg.lstsq(fields, np.array(changes), rcond=None)[0].T, f"{base.path}", "polarizability"
        )
        if base.forces is not None and all(run.forces is not None for run in in_field):
            forces = np.array([(run.forces - base.forces).ravel() for run in in_field])
            solution = np.linalg.lstsq(fields, forces, rcond=None)[0]  # [field, atom and displacement]
            labels["born_charges"] = solution.reshape(3, -1, 3).transpose(1, 0, 2)
    elif in_field:
        _log.warning("%s: its fields do not span space, so it gets no Born charges and polarizability", base.path)
    structures = [_structure(base, f"{base.path}", labels)]
    for run, change in zip(in_field, changes, strict=True):
        internal = _internal_energy(run, base, change)
        structures.append(
            _structure(
                run, f"{run.path}",
                {"energy": internal - float(run.field @ (dipole + change)), "forces": run.forces,
                 "dipole": dipole + change, "electric_field": run.field},
            )
        )  # fmt: skip
    return structures


def _structure(run, source, labels):
    return LabelledStructure(source, run.symbols, run.positions, run.cell, np.array([True] * 3), **labels)


def _change(run, base):
    if run.dipole is None:
        raise DataFileError(f"{run.path}: has a field but no polarization in its output")
    try:
        return nearest_branch(run.dipole - base.dipole, base.cell)
    except InputError as error:
        raise DataFileError(f"{run.path}: {error}") from error


def _internal_energy(run, base, change) -> float:
    """Return U(E) in eV: ``etot + E.P`` on the branch that fits ``U(E) - U(0) = E.dP/2``."""
    work = float(run.field @ change) / 2
    excess = run.energy + float(run.field @ run.dipole) - base.energy - work
    tolerance = max(0.2 * abs(work), 1e-5)
    for quanta in sorted(itertools.product(range(-3, 4), repeat=3), key=lambda n: sum(map(abs, n))):
        shift = float(run.field @ (np.array(quanta) @ run.cell))
        if abs(excess + shift) < tolerance:
            return base.energy + work + excess + shift
    raise DataFileError(
        f"{run.path}: its energy does not belong to its polarization: U(E) - U(0) is off by {excess:.3g} eV from "
        f"E.dP/2 = {work:.3g} eV on every branch; converge the run further (conv_thr, nberrycyc)"
    )


def _read_run(path: Path) -> _Run:
    try:
        root = ET.fromstring(read_bytes(path))
    except ET.ParseError as error:
        raise DataFileError(f"{path}: is not complete XML ({error})") from error
    output = root.find("output")
    if not root.tag.endswith("espresso") or output is None:
        raise DataFileError(f"{path}: is not the XML file of a finished pw.x run (no <output>)")
    get = _Reader(path, output)
    if get.text("convergence_info/scf_conv/convergence_achieved", "true").strip() != "true":
        raise DataFileError(f"{path}: the SCF cycle has not converged")
    atoms = output.findall("atomic_structure/atomic_positions/atom")
    if not atoms:
        raise DataFileError(f"{path}: no Cartesian positions (<atomic_positions>) in the output")
    cell = np.array([get.numbers(f"atomic_structure/cell/a{k}", 3) for k in (1, 2, 3)]) * BOHR
    forces, stress = get.numbers("forces", 3 * len(atoms)), get.numbers("stress", 9)
    volume = abs(np.linalg.det(cell))
    inputs = _Reader(path, root)
    field = inputs.numbers("input/electric_field/electric_field_vector", 3)
    homogeneous = inputs.text("input/electric_field/electric_potential", "").strip() == "homogenous_field"
    if inputs.text("input/electric_field/electric_potential", "").strip() == "sawtooth_potential":
        raise DataFileError(f"{path}: a sawtooth potential (tefield) is not a homogeneous field; use lelfield")
    dipole = None
    electronic = get.numbers("electric_field/finiteElectricFieldInfo/electronicDipole", 3)
    if electronic is not None:
        dipole = (electronic + get.required("electric_field/finiteElectricFieldInfo/ionicDipole", 3)) * RYDBERG_DIPOLE
    return _Run(
        path,
        tuple(_symbol(path, atom.get("name", "")) for atom in atoms),
        np.array([get.parse(atom.text, 3, "positions") for atom in atoms]) * BOHR,
        cell,
        field * RYDBERG_FIELD if field is not None and homogeneous else np.zeros(3),
        float(get.required("total_energy/etot", 1)[0]) * HARTREE,
        None if forces is None else forces.reshape(-1, 3) * HARTREE / BOHR,
        None if stress is None else volume * stress.reshape(3, 3) * HARTREE / BOHR**3,  # QE: positive = compressed
        dipole,
    )


def _symbol(path, name):
    from ase.data import atomic_numbers

    symbol = re.split(r"[\d_\-]", name)[0].capitalize()
    if symbol not in atomic_numbers:
        raise DataFileError(f"{path}: '{name}' is not a chemical symbol")
    return symbol


class _Reader:
    """Numbers of one XML tree, checked."""

    def __init__(self, path, root):
        self.path, self.root = path, root

    def text(self, name, default):
        return self.root.findtext(name, default) or default

    def parse(self, text, count, name):
        try:
            values = np.array((text or "").split(), dtype=float)
        except ValueError:
            values = np.empty(0)
        if values.size != count or not np.isfinite(values).all():
            raise DataFileError(f"{self.path}: <{name}> must be {count} finite numbers, found '{(text or '')[:40]}'")
        return values

    def numbers(self, name, count):
        text = self.root.findtext(name)
        return None if text is None else self.parse(text, count, name)

    def required(self, name, count):
        values = self.numbers(name, count)
        if values is None:
            raise DataFileError(f"{self.path}: no <{name}> in the output")
        return values
