"""Quantum ESPRESSO's XML files (``data-file-schema.xml``): single points, and sets of runs in finite electric fields.

A set is one geometry at E = 0 and in one or more fields.  All of its runs have ``lelfield = .true.``, and the run at
E = 0 has ``efield_cart = 0 0 0``.  It becomes one structure at zero field and one per field with the labels in that
field (see ``finite_field``).  The former gets Born charges and polarizability by finite differences if the fields span
all three directions.

``etot`` of a run in a field is ``U - E.P`` with QE's own unfolded P, which may be on another branch than the printed
dipole.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DataFileError
from ...progress import tracked
from ...structures import LabelledStructure
from ...units import BOHR, HARTREE
from ..files import read_bytes, reading
from ..xml_tree import parse_xml
from .finite_field import FieldRun, combine, geometry_key
from .problems import Problems, collecting

RYDBERG_FIELD = HARTREE / BOHR / 2**0.5  # V/Å per atomic unit of ``efield_cart`` (Rydberg units: e² = 2)
RYDBERG_DIPOLE = BOHR / 2**0.5  # e·Å per atomic unit of the printed dipoles
_log = logging.getLogger(__name__)
_ZERO_FIELD = "lelfield = .true., efield_cart = 0 0 0"


def read_espresso(paths: Sequence[str | Path], problems: Problems | None = None) -> list[LabelledStructure]:
    """Read XML files of ``pw.x`` (plain, ``.gz``, ``.bz2`` or ``.xz``); those of one geometry form a set.

    Parameters
    ----------
    paths : sequence of paths
        In any order. Files of the same geometry form a set.
    problems : Problems, optional
        Collects the errors of files and sets, which are then left out; by default the first one is raised.

    Returns
    -------
    list of LabelledStructure
        In the order of the first file of each set. Within a set, the structure at zero field comes first, the others
        follow in the order of their files.

    Raises
    ------
    DataFileError
        If a file cannot be read or is not converged, a set has no or several runs at E = 0, or the branch of a
        polarization cannot be determined; the message names the file.
    """
    sets: dict[tuple, list[FieldRun]] = {}
    for path in tracked(paths, _log, "files read"):
        with collecting(problems):
            run = _read_run(Path(path))
            sets.setdefault(geometry_key(run.symbols, run.positions, run.cell), []).append(run)
    structures: list[LabelledStructure] = []
    for runs in sets.values():
        with collecting(problems):
            structures += combine(runs, _ZERO_FIELD)
    return structures


def _read_run(path: Path) -> FieldRun:
    data = read_bytes(path)
    with reading(path, "output of pw.x"):
        return _read_data(path, data)


def _read_data(path, data) -> FieldRun:
    root = parse_xml(path, data)
    output = root.find("output")
    if not root.tag.endswith("espresso") or output is None:
        raise DataFileError(f"{path}: is not the XML file of a finished pw.x run (no <output>)")
    creator = root.find("general_info/creator")
    program = "" if creator is None else creator.get("NAME", "")
    if program and not program.upper().startswith("PW"):
        raise DataFileError(f"{path}: was written by the program {program}, expected pw.x (PWSCF)")
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
    potential = inputs.text("input/electric_field/electric_potential", "").strip()
    if potential == "sawtooth_potential":
        raise DataFileError(f"{path}: a sawtooth potential (tefield) is not a homogeneous field; use lelfield")
    dipole = None
    electronic = get.numbers("electric_field/finiteElectricFieldInfo/electronicDipole", 3)
    if electronic is not None:
        dipole = (electronic + get.required("electric_field/finiteElectricFieldInfo/ionicDipole", 3)) * RYDBERG_DIPOLE
    return FieldRun(
        f"{path}",
        tuple(chemical_symbol(path, atom.get("name", "")) for atom in atoms),
        np.array([get.parse(atom.text, 3, "positions") for atom in atoms]) * BOHR,
        cell,
        field * RYDBERG_FIELD if field is not None and potential == "homogenous_field" else np.zeros(3),
        {
            "energy": float(get.required("total_energy/etot", 1)[0]) * HARTREE,
            "forces": None if forces is None else forces.reshape(-1, 3) * HARTREE / BOHR,
            "virial": None if stress is None else volume * stress.reshape(3, 3) * HARTREE / BOHR**3,  # QE's sign
            "dipole": dipole,
        },
        () if dipole is None else (dipole,),
    )


def chemical_symbol(path, name: str) -> str:
    """Return the chemical symbol of a species of Quantum ESPRESSO, e.g. ``Fe`` of ``fe_up``."""
    from ase.data import atomic_numbers

    symbol = re.split(r"[\d_\-]", name)[0].capitalize()
    if symbol not in atomic_numbers:
        raise DataFileError(f"{path}: '{name}' is not a chemical symbol")
    return symbol


class _Reader:
    """Reader of checked numbers from one XML tree."""

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
