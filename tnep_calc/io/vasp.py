"""VASP: ``OUTCAR`` and ``vasprun.xml``, with the responses of LEPSILON and LCALCEPS.

Structures, energies, forces and stresses are read by ASE.  What ASE leaves out is taken from the same file:

* Born charges, printed as rows of the electric field and columns of the displacement, which is the order used here
  (``Z[a, i, j] = dF_aj / dE_i``; checked against Quantum ESPRESSO for alpha-quartz, whose tensors are asymmetric);
* the dielectric tensor with fixed ions, local-field effects included;
* the Berry-phase dipole of LCALCPOL (OUTCAR only).  VASP prints it in "electrons Angst", i.e. with the sign of the
  electron's charge, and from 6.3 on in "|e| Angst".

The energy is the free energy, of which the forces are derivatives.  Responses belong to the last ionic step.
"""

from __future__ import annotations

import io
import logging
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..conventions import ASE_ORDER, from_six
from ..errors import DataFileError
from ..units import EPSILON_0
from .dataset import LabelledStructure, symmetric_part
from .files import read_bytes, read_text
from .polarization import fold_dipole

_FLOAT = r"[-+]?\d+\.\d*(?:[Ee][-+]?\d+)?"
_VECTOR = rf"\(\s*({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s*\)"
_EPSILON = ("epsilon", "epsilon_scf", "dielectric_dft")  # LEPSILON, LCALCEPS, LEPSILON of newer versions
_log = logging.getLogger(__name__)


def read_vasp(path: str | Path) -> list[LabelledStructure]:
    """Read all ionic steps of an ``OUTCAR`` or ``vasprun.xml`` (plain, ``.gz``, ``.bz2`` or ``.xz``).

    Returns
    -------
    list of LabelledStructure
        Of a calculation with LCALCEPS only the responses are kept: its last energy and forces may be those in a field.

    Raises
    ------
    DataFileError
        If the file cannot be read or is not converged, or the calculation is one of phonons (IBRION 5 to 8) or in a
        constant field (EFIELD_PEAD).
    """
    path = Path(path)
    data = read_bytes(path)
    is_xml = data.lstrip()[:1] == b"<"
    read = _read_xml if is_xml else _read_outcar
    images, settings, responses = read(path, data if is_xml else read_text(path))
    ibrion = int(settings.get("IBRION", ["-1"])[0])
    if 5 <= ibrion <= 8:
        raise DataFileError(f"{path}: is a phonon calculation (IBRION = {ibrion}); give one with IBRION = -1")
    finite_field = settings.get("LCALCEPS", ["F"])[0].strip(".").upper().startswith("T")
    if not finite_field and any(float(x) != 0 for x in settings.get("EFIELD_PEAD", [])):
        raise DataFileError(f"{path}: is in a constant field (EFIELD_PEAD), which is not supported; use LCALCEPS")
    structures = [_structure(path, k, len(images), atoms) for k, atoms in enumerate(images)]
    last = structures[-1]
    labels: dict[str, object] = {}
    if "epsilon" in responses:
        susceptibility = symmetric_part(responses["epsilon"], last.source, "dielectric tensor") - np.eye(3)
        labels["polarizability"] = EPSILON_0 * last.volume * susceptibility
    if "born" in responses:
        if responses["born"].shape != (len(last), 3, 3):
            raise DataFileError(f"{path}: {len(responses['born'])} Born charges for {len(last)} atoms")
        labels["born_charges"] = responses["born"]
    if "dipole" in responses:
        labels["dipole"] = fold_dipole(responses["dipole"], last.cell)
    if finite_field:
        _log.warning("%s: only the responses are kept (LCALCEPS: energy and forces may be those in a field)", path)
        labels |= {"energy": None, "forces": None, "virial": None, "dipole": None}
    structures[-1] = replace(last, **labels)  # type: ignore[arg-type]
    return structures


def _structure(path, index, count, atoms) -> LabelledStructure:
    results = atoms.calc.results if atoms.calc is not None else {}
    cell, stress = np.array(atoms.cell), results.get("stress")
    volume = abs(np.linalg.det(cell))
    energy = results.get("free_energy", results.get("energy"))
    return LabelledStructure(
        f"{path}" + (f", step {index}" if count > 1 else ""),
        tuple(atoms.get_chemical_symbols()), np.array(atoms.positions), cell, np.array([True] * 3),
        energy=None if energy is None else float(energy),
        forces=results.get("forces"),
        virial=None if stress is None else -volume * from_six(np.asarray(stress), ASE_ORDER),
    )  # fmt: skip


def _images(path, stream, fmt):
    from ase.io import read

    try:
        images = read(stream, index=":", format=fmt)
    except Exception as error:  # ASE's parsers raise whatever their parts raise
        raise DataFileError(f"{path}: cannot be read ({type(error).__name__}: {error}); did the run finish?") from error
    if not images:
        raise DataFileError(f"{path}: no complete ionic step")
    return images


def _read_xml(path, data):
    try:
        root = ET.fromstring(data)
    except ET.ParseError as error:
        raise DataFileError(f"{path}: is not complete XML ({error}); did the run finish?") from error
    if root.tag != "modeling":
        raise DataFileError(f"{path}: is not a vasprun.xml (its root is <{root.tag}>)")
    settings = {}
    for part in ("incar", "parameters"):
        for element in root.findall(f"{part}//*[@name]"):
            if element.tag in ("i", "v") and element.text:
                settings[element.get("name")] = element.text.split()
    responses = {}
    for calculation in root.findall("calculation")[-1:]:
        for name in _EPSILON:
            if (array := calculation.find(f"varray[@name='{name}']")) is not None:
                responses["epsilon"] = _rows(path, name, array.findall("v"))
        if (array := calculation.find("array[@name='born_charges']")) is not None:
            responses["born"] = np.array([_rows(path, "born_charges", s.findall("v")) for s in array.findall("set")])
    return _images(path, io.BytesIO(data), "vasp-xml"), settings, responses


def _rows(path, name, vectors):
    try:
        rows = np.array([v.text.split() for v in vectors], dtype=float).reshape(3, 3)
    except ValueError as error:
        raise DataFileError(f"{path}: '{name}' must be 3x3 numbers ({error})") from error
    if not np.isfinite(rows).all():
        raise DataFileError(f"{path}: '{name}' is not finite")
    return rows


def _read_outcar(path, text):
    if "vasp." not in text[:200]:
        raise DataFileError(f"{path}: is not an OUTCAR (no version of VASP in its first line)")
    settings = {}
    for name in ("IBRION", "LCALCEPS", "EFIELD_PEAD"):
        if found := re.findall(rf"^\s*{name}\s*=\s*(.*)$", text, re.M):
            settings[name] = re.findall(r"[-+.\w]+", found[-1])[: 3 if name == "EFIELD_PEAD" else 1]
    responses: dict[str, np.ndarray] = {}
    heading = r"MACROSCOPIC STATIC DIELECTRIC TENSOR \(including local field effects(?! *\(excl)[^\n]*\n"
    if found := re.findall(heading + r"\s*-+\s*\n((?:\s*" + rf"(?:{_FLOAT}\s+){{3}}){{3}})", text):
        responses["epsilon"] = np.array(found[-1].split(), dtype=float).reshape(3, 3)
    # the ions of the last table, each with three numbered rows
    parts = re.split(r"BORN EFFECTIVE CHARGES \((?!excluding)[^\n]*\n\s*-+\s*\n", text)
    if len(parts) > 1:
        responses["born"] = _born_table(path, parts[-1])
    ionic = re.findall(rf"onic dipole moment: p\[ion\]=\s*{_VECTOR}\s*(\S+)", text)
    electronic = re.findall(rf"Total electronic dipole moment: p\[elc\]=\s*{_VECTOR}\s*(\S+)", text)
    if ionic and electronic:
        unit = electronic[-1][3]
        if unit not in ("electrons", "|e|"):
            raise DataFileError(f"{path}: polarization in '{unit}', expected 'electrons Angst' or '|e| Angst'")
        total = np.array(ionic[-1][:3], dtype=float) + np.array(electronic[-1][:3], dtype=float)
        responses["dipole"] = total * (1 if unit == "|e|" else -1)
    stream = io.StringIO(text)
    stream.name = str(path)  # type: ignore[attr-defined]  # ASE reads it
    return _images(path, stream, "vasp-out"), settings, responses


def _born_table(path, text):
    tensors: list[list[list[str]]] = []
    lines = text.splitlines()
    while lines and re.match(r"\s*ion\s+\d+\s*$", lines[0]):
        rows = [line.split() for line in lines[1:4]]
        if [row[:1] for row in rows] != [["1"], ["2"], ["3"]] or any(len(row) != 4 for row in rows):
            raise DataFileError(f"{path}: Born charges of ion {len(tensors) + 1} are not three rows of three numbers")
        tensors.append([row[1:] for row in rows])
        lines = lines[4:]
    return np.array(tensors, dtype=float).reshape(-1, 3, 3)
