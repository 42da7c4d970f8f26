"""VASP: ``OUTCAR`` and ``vasprun.xml``, with the responses of LEPSILON and LCALCEPS, and runs in fields (EFIELD_PEAD).

ASE reads structures, energies, forces and stresses.  The following is read here from the same file:

* Born charges.  VASP prints rows of the electric field and columns of the displacement, which is the order used here,
  ``Z[a, i, j] = dF_aj / dE_i``.  This was checked against Quantum ESPRESSO for alpha-quartz, whose tensors are
  asymmetric.  With LCALCEPS it was checked by the contribution of residual forces, which is larger in the rows of
  smaller fields.
* The dielectric tensor with fixed ions and local-field effects.
* The Berry-phase dipole of LCALCPOL (OUTCAR only).  VASP prints it in "electrons Angst", with the sign of the
  electron's charge, and since 6.3 in ``|e| Angst``.

The energy is the free energy, of which the forces are derivatives.  Responses belong to the last ionic step.

A run in a constant field (EFIELD_PEAD without LCALCEPS) is read from its OUTCAR:

* EFIELD_PEAD is the force on an electron in eV/Å, so that the field is its negative.  The printed change of the
  electronic dipole, in units with the sign of the electron's charge (VASP wiki, LCALCPOL), is therefore along
  EFIELD_PEAD.  This is checked in every file, because a polarization against the field would be unstable.
* The energy is ``U - E.P``, or U with ``SKIP_EDOTP`` (VASP wiki, EFIELD_PEAD).  It is not documented whether P includes
  the ions and on which branch it is.  This is determined with the file of the same geometry at E = 0 (see
  ``finite_field``).
* Forces are not read, because the file does not say whether they include the field (LCALCEPS ends with the energy in
  the last field and the forces at zero field).  A set of fields therefore gives the polarizability, but Born charges
  need LCALCEPS.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...conventions import ASE_ORDER, from_six
from ...errors import DataFileError
from ...polarization import fold_dipole
from ...progress import tracked
from ...structures import LABELS, LabelledStructure, symmetric_part
from ...units import EPSILON_0
from ..files import read_bytes, reading, text_of
from ..series.dft_logs import VASP_ATOMS, VASP_RUN, check_one_system
from ..xml_tree import parse_xml
from .finite_field import FieldRun, combine, geometry_key
from .problems import Problems, collecting

_FLOAT = r"[-+]?\d+\.\d*(?:[Ee][-+]?\d+)?"
_VECTOR = rf"\(\s*({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})\s*\)"
_DIPOLES = {  # name: heading
    "ions": r"onic dipole moment: p\[ion\]",
    "electrons": r"Total electronic dipole moment: p\[elc\]",
    "change": r"Total change in dipole moment: dp\[elc\]",
}
UNCONVERGED = "unconverged steps"
_EPSILON = ("epsilon", "epsilon_scf", "dielectric_dft")  # LEPSILON, LCALCEPS, LEPSILON of newer versions
_log = logging.getLogger(__name__)


def read_vasp(paths: str | Path | Sequence[str | Path], problems: Problems | None = None) -> list[LabelledStructure]:
    """Read all ionic steps of ``OUTCAR`` and ``vasprun.xml`` files (plain, ``.gz``, ``.bz2`` or ``.xz``).

    Parameters
    ----------
    paths : path or sequence of paths
        A file in a constant field is combined with the file of the same geometry at E = 0, in any order.
    problems : Problems, optional
        Collects the errors of files and sets, which are then left out; by default the first one is raised.

    Returns
    -------
    list of LabelledStructure
        In the order of the files.  Of a calculation with LCALCEPS only the responses are kept, because its last energy
        is that in a field.

    Raises
    ------
    DataFileError
        If a file cannot be read or is not converged, is a phonon calculation (IBRION 5 to 8) without LEPSILON, or is a
        run in a constant field that is not an OUTCAR, has several ionic steps or has no counterpart at E = 0.
    """
    found: list[LabelledStructure | FieldRun] = []
    for path in tracked([paths] if isinstance(paths, (str, Path)) else paths, _log, "files read"):
        with collecting(problems):
            found += _read(Path(path))
    return _with_sets(found, problems)


def _with_sets(found: list[LabelledStructure | FieldRun], problems: Problems | None) -> list[LabelledStructure]:
    """Replace the runs in fields, and the structures of their geometries at E = 0, by the structures of these sets."""
    sets: dict[tuple, list[int]] = {}
    for k, item in enumerate(found):
        if isinstance(item, FieldRun):
            sets.setdefault(geometry_key(item.symbols, item.positions, item.cell), []).append(k)
    structures: dict[int, LabelledStructure] = {}
    for k, item in enumerate(found):
        if isinstance(item, LabelledStructure):
            structures[k] = item
            members = sets.get(geometry_key(item.symbols, item.positions, item.cell))
            if members and item.dipole is not None:
                members.insert(0, k)
    for members in sets.values():
        runs = sorted(map(_as_run, (found[k] for k in members)), key=lambda run: bool(run.field.any()))
        with collecting(problems):
            for k, structure in zip(members, combine(runs, "LCALCPOL = .TRUE., no EFIELD_PEAD"), strict=True):
                structures[k] = structure
    return [structures[k] for k in range(len(found)) if k in structures]


def _as_run(item: LabelledStructure | FieldRun) -> FieldRun:
    if isinstance(item, FieldRun):
        return item
    labels = {name: getattr(item, name) for name in LABELS}
    return FieldRun(item.source, item.symbols, item.positions, item.cell, np.zeros(3), labels)


def _read(path: Path) -> Sequence[LabelledStructure | FieldRun]:
    data = read_bytes(path)
    with reading(path, "output of VASP"):
        return _read_data(path, data)


def _read_data(path, data):
    is_xml = data.lstrip()[:1] == b"<"
    read = _read_xml if is_xml else _read_outcar
    images, settings, responses = read(path, data if is_xml else text_of(path, data))
    ibrion = int(settings.get("IBRION", ["-1"])[0])
    finite_differences = _is_true(settings, "LCALCEPS")
    structures = [_structure(path, k, len(images), atoms) for k, atoms in enumerate(images)]
    if 5 <= ibrion <= 8:
        if "epsilon" not in responses:
            raise DataFileError(
                f"{path}: is a phonon calculation (IBRION = {ibrion}) without LEPSILON; give one with IBRION = -1"
            )
        structures = structures[:1]  # equilibrium, to which the responses belong; the others are displaced
    unconverged = set(settings.pop(UNCONVERGED, ())) & set(range(len(structures)))
    if unconverged:
        steps = ", ".join(map(str, sorted(unconverged)))
        words = f"{path}: the electronic minimisation did not converge in step {steps} (NELM reached)"
        if len(unconverged) == len(structures) or len(structures) - 1 in unconverged and responses:
            raise DataFileError(f"{words}: its energy, forces and responses cannot be used")
        _log.warning("%s: this step is left out", words)
    last = structures[-1]
    if not finite_differences and any(float(x) != 0 for x in settings.get("EFIELD_PEAD", [])):
        if is_xml:
            raise DataFileError(f"{path}: is in a constant field (EFIELD_PEAD): give its OUTCAR, for the polarization")
        if len(structures) > 1:
            raise DataFileError(f"{path}: has {len(images)} ionic steps in a constant field; expected a single one")
        return [_in_field(last, settings, responses)]
    labels: dict[str, object] = {}
    if "epsilon" in responses:
        susceptibility = symmetric_part(responses["epsilon"], last.source, "dielectric tensor") - np.eye(3)
        labels["polarizability"] = EPSILON_0 * last.volume * susceptibility
    if "born" in responses:
        if responses["born"].shape != (len(last), 3, 3):
            raise DataFileError(f"{path}: {len(responses['born'])} Born charges for {len(last)} atoms")
        labels["born_charges"] = responses["born"]
    if {"ions", "electrons"} <= responses.keys():
        labels["dipole"] = fold_dipole(responses["ions"] + responses["electrons"], last.cell)
    if finite_differences:
        _log.warning("%s: only the responses are kept, because with LCALCEPS the energy is that in a field", path)
        labels |= {"energy": None, "forces": None, "virial": None, "dipole": None}
    structures[-1] = replace(last, **labels)  # type: ignore[arg-type]
    return [s for k, s in enumerate(structures) if k not in unconverged]


_KNOWN_PROBLEMS = (
    ("ion_types", "an OUTCAR lists the numbers of ions of at most ten elements"),
    ("POSITION", "the positions were not written (NWRITE, or a machine-learning step)"),
)


def _steps_without_convergence(text, limit):
    """Return the ionic steps whose electronic loop ended at NELM instead of EDIFF.

    VASP 6 prints a message.  VASP 5 does not, so that there a loop with NELM iterations counts as not converged.
    """
    steps = []
    for number, part in enumerate(re.split(r"-+ Iteration +\d+\( *1\) +-+", text)[1:]):
        count = 1 + len(re.findall(r"-+ Iteration +\d+\( *\d+\) +-+", part))
        says_no = re.search(r"EDIFF was not reached", part) is not None
        says_yes = text.startswith(" vasp.6") or text.startswith("vasp.6")
        if says_no or (not says_yes and limit is not None and limit > 1 and count >= limit):
            steps.append(number)
    return steps


def _is_true(settings, name) -> bool:
    return settings.get(name, ["F"])[0].strip(".").upper().startswith("T")


def _in_field(structure, settings, responses) -> FieldRun:
    missing = [name for name in _DIPOLES if name not in responses]
    if missing:
        raise DataFileError(
            f"{structure.source}: is in a constant field (EFIELD_PEAD), but its output has no dipole of the "
            f"{' and '.join(missing)} (p[ion], p[elc], dp[elc])"
        )
    field, change = -np.array(settings["EFIELD_PEAD"], dtype=float), responses["change"]
    if not field @ change > 0:
        raise DataFileError(
            f"{structure.source}: the polarization changes by {np.round(change, 6).tolist()} e*Å in the field "
            f"{field.tolist()} V/Å, but must be along it: this version has another sign of EFIELD_PEAD, or the "
            "field is too small for the printed digits"
        )
    electrons = responses["electrons"]
    dipole = responses["ions"] + electrons
    return FieldRun(
        structure.source,
        structure.symbols,
        structure.positions,
        structure.cell,
        field,
        {"energy": structure.energy, "dipole": dipole},
        () if _is_true(settings, "SKIP_EDOTP") else (dipole, electrons, change),
    )


def _structure(path, index, count, atoms) -> LabelledStructure:
    results = atoms.calc.results if atoms.calc is not None else {}
    cell, stress = np.array(atoms.cell), results.get("stress")
    volume = abs(np.linalg.det(cell))
    energy = results.get("free_energy", results.get("energy"))
    return LabelledStructure(
        f"{path}" + (f", step {index}" if count > 1 else ""),
        tuple(atoms.get_chemical_symbols()),
        np.array(atoms.positions),
        cell,
        np.array([True] * 3),
        energy=None if energy is None else float(energy),
        forces=results.get("forces"),
        virial=None if stress is None else -volume * from_six(np.asarray(stress), ASE_ORDER),
    )


def _images(path, stream, fmt):
    from ase.io import read

    try:
        images = read(stream, index=":", format=fmt)
    except Exception as error:  # ASE's parsers raise exceptions of many types
        words = (str(error).splitlines() or [""])[0]
        other = "; try the vasprun.xml of the same run" if fmt == "vasp-out" else ""
        hint = next((why for sign, why in _KNOWN_PROBLEMS if sign in words), "did the run finish?")
        raise DataFileError(f"{path}: cannot be read ({type(error).__name__}: {words}): {hint}{other}") from error
    if not images:
        raise DataFileError(f"{path}: no complete ionic step")
    return images


def _read_xml(path, data):
    root = parse_xml(path, data, "; did the run finish?")
    if root.tag != "modeling":
        raise DataFileError(f"{path}: is not a vasprun.xml (its root is <{root.tag}>)")
    settings: dict[str, Any] = {}
    for part in ("incar", "parameters"):
        for element in root.findall(f"{part}//*[@name]"):
            if element.tag in ("i", "v") and element.text:
                settings[str(element.get("name"))] = element.text.split()
    responses = {}
    limit = int(settings["NELM"][0]) if "NELM" in settings else None
    loops = [len(calculation.findall("scstep")) for calculation in root.findall("calculation")]
    settings[UNCONVERGED] = [k for k, n in enumerate(loops) if limit is not None and limit > 1 and n >= limit]
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
    check_one_system(path, VASP_RUN.split(text), {"numbers of atoms": VASP_ATOMS})
    settings: dict[str, Any] = {}
    for name in ("IBRION", "LCALCEPS", "EFIELD_PEAD", "SKIP_EDOTP"):
        if found := re.findall(rf"^\s*{name}\s*=\s*(.*)$", text, re.M):
            settings[name] = re.findall(r"[-+.\w]+", found[-1])[: 3 if name == "EFIELD_PEAD" else 1]
            if name == "EFIELD_PEAD":
                settings[name] = _more_digits(found[0], settings[name])
    responses: dict[str, np.ndarray] = {}
    heading = r"MACROSCOPIC STATIC DIELECTRIC TENSOR \(including local field effects(?! *\(excl)[^\n]*\n"
    if found := re.findall(heading + r"\s*-+\s*\n((?:\s*" + rf"(?:{_FLOAT}\s+){{3}}){{3}})", text):
        responses["epsilon"] = np.array(found[-1].split(), dtype=float).reshape(3, 3)
    # the last table has three numbered rows for each ion
    parts = re.split(r"BORN EFFECTIVE CHARGES \((?!excluding)[^\n]*\n\s*-+\s*\n", text)
    if len(parts) > 1:
        responses["born"] = _born_table(path, parts[-1])
    for name, heading in _DIPOLES.items():
        if found := re.findall(rf"{heading}=\s*{_VECTOR}\s*(\S+)", text):
            *vector, unit = found[-1]
            if unit not in ("electrons", "|e|"):
                raise DataFileError(f"{path}: polarization in '{unit}', expected 'electrons Angst' or '|e| Angst'")
            responses[name] = np.array(vector, dtype=float) * (1 if unit == "|e|" else -1)
    limit = re.search(r"^\s*NELM\s*=\s*(\d+)", text, re.M)
    settings[UNCONVERGED] = _steps_without_convergence(text, int(limit[1]) if limit else None)
    stream = io.StringIO(_without_extra_forces(text))
    stream.name = str(path)  # type: ignore[attr-defined]  # ASE reads it
    return _images(path, stream, "vasp-out"), settings, responses


def _without_extra_forces(text):
    """Return an OUTCAR without the second values that van der Waals settings print next to energies and forces."""
    if "w/o vdW" not in text:
        return text
    out, rules = [], 2  # rules: lines of dashes since the heading of the table
    for line in re.sub(r"\s+w/o vdW\s*=\s*" + _FLOAT, "  ", text).splitlines(keepends=True):
        words = line.split()
        if "without entropy" in line and len(values := re.findall(_FLOAT, line)) == 2:
            line = f"  energy  without entropy=  {values[0]}  energy(sigma->0) =  {values[1]}\n"
        if "TOTAL-FORCE" in line:
            line, rules = line.replace("FORCE-w/o vdW (eV/Angst)", ""), 0
        elif words and set(words[0]) == {"-"}:
            rules += 1
        elif rules == 1:
            line = " ".join(words[:6]) + "\n"
        out.append(line)
    return "".join(out)


def _more_digits(echo, rounded):
    """Return EFIELD_PEAD from the echo of the INCAR if it rounds to the four decimals that VASP prints later."""
    numbers = re.findall(rf"(?<!\S){_FLOAT}(?!\S)", echo)[:3]
    same = len(numbers) == 3 and all(abs(float(a) - float(b)) < 6e-5 for a, b in zip(numbers, rounded, strict=True))
    return numbers if same else rounded


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
