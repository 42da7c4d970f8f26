"""Dipoles along ab initio molecular dynamics: the output of CP2K (MOMENTS) and the OUTCAR of VASP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import DataFileError
from ..files import open_stream, read_text
from .lammps import Rows, check_finite

NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
CP2K_VECTOR = re.compile(rf"X=\s*({NUMBER})\s+Y=\s*({NUMBER})\s+Z=\s*({NUMBER})\s+Total=")
CP2K_STEP = re.compile(r"(?:MD\|\s*Step number|STEP NUMBER\s*=)\s+(\d+)")
CP2K_TIMESTEP = re.compile(rf"MD\|\s*Time [Ss]tep \[fs\]\s+({NUMBER})")
CP2K_RUN = re.compile(r"^(?=\s*CP2K\| version string)", re.M)
CP2K_ATOMS = re.compile(r"^\s*-\s*Atoms:\s+(\d+)", re.M)
CP2K_VOLUME = re.compile(rf"^\s*CELL_TOP\|\s+Volume \[angstrom\^3\]:?\s+({NUMBER})", re.M)
VASP_VECTOR = rf"\(\s*({NUMBER})\s+({NUMBER})\s+({NUMBER})\s*\)\s*(\S+)"
VASP_IONS = re.compile(rf"onic dipole moment: p\[ion\]=\s*{VASP_VECTOR}")
VASP_ELECTRONS = re.compile(rf"Total electronic dipole moment: p\[elc\]=\s*{VASP_VECTOR}")
VASP_TOTAL = re.compile(rf"^\s*dipolmoment\s+({NUMBER})\s+({NUMBER})\s+({NUMBER})\s+electrons x", re.M)
VASP_STEP_END = re.compile(r"^\s*POSITION\s+TOTAL-FORCE", re.M)
VASP_RUN = re.compile(r"^(?= ?vasp\.\d)", re.M)
VASP_ATOMS = re.compile(r"NIONS\s*=\s*(\d+)")
VASP_POTIM = re.compile(rf"^\s*POTIM\s*=\s*({NUMBER})", re.M)
VASP_CELL = re.compile(r"direct lattice vectors.*\n" + rf"((?:\s*(?:{NUMBER}\s+){{6}}\n?){{3}})")


def kind_of_log(path) -> str | None:
    """Return ``"cp2k"`` or ``"vasp"`` by the first lines of a file, or None if it is neither."""
    with open_stream(path) as stream:
        head = stream.read(20_000).decode(errors="replace")
    if "vasp." in head[:200]:
        return "vasp"
    if "CP2K|" in head or "Dipole moment [Debye]" in head or ("[Debye]" in head and CP2K_VECTOR.search(head)):
        return "cp2k"
    return None


def read_cp2k(path, allow_gaps: bool = False) -> Rows:
    """Read the dipoles that CP2K prints in its output or in a file of ``&MOMENTS``, in debye.

    The Berry-phase dipole of a periodic system jumps by quanta, which ``--unwrap`` undoes.  The samples are taken to be
    equally spaced.

    Returns
    -------
    Rows
        ``header`` has ``timestep``, the time between samples in fs, if the output says it.

    Raises
    ------
    DataFileError
        If there are fewer than two dipoles, or their number does not fit the number of steps.
    """
    text = read_text(path)
    check_one_system(
        path,
        CP2K_RUN.split(text),
        {"numbers of atoms": CP2K_ATOMS, "volumes": CP2K_VOLUME, "time steps": CP2K_TIMESTEP},
    )
    values = np.array([vector.groups() for vector in CP2K_VECTOR.finditer(text)], dtype=float).reshape(-1, 3)
    header: dict = {"quantities": {"dipole": (slice(0, 3), "debye")}}
    if step := CP2K_TIMESTEP.search(text):
        steps = len(set(CP2K_STEP.findall(text)))
        every = max(1, round(steps / max(len(values), 1)))
        if steps and abs(steps - every * len(values)) > every:
            raise DataFileError(
                f"{path}: {len(values)} dipoles in {steps} steps of molecular dynamics are not equally spaced; keep "
                "only the part of the file with dipoles, or write the dipoles to a file of columns"
            )
        header["timestep"] = float(step[1]) * every
    return _successive(path, values, header)


def read_vasp(path, allow_gaps: bool = False) -> Rows:
    """Read the dipoles of an OUTCAR along molecular dynamics.

    With LCALCPOL the dipole is the sum of the ionic and the electronic part.  With LDIPOL it is the total dipole of a
    molecule or a slab, the sign of which does not matter for spectra.  The last one of each ionic step is used.
    Dipoles in ``electrons Angst`` have the sign of the electron's charge, those in ``|e| Angst`` the usual sign.

    Returns
    -------
    Rows
        ``header`` has ``timestep`` (POTIM, fs) and ``cell``.

    Raises
    ------
    DataFileError
        If an ionic step has no dipole, there are fewer than two, or the cell changes.
    """
    path = Path(path)
    text = read_text(path)
    check_one_system(path, VASP_RUN.split(text), {"numbers of atoms": VASP_ATOMS, "time steps": VASP_POTIM})
    values = []
    parts = VASP_STEP_END.split(text)
    for number, part in enumerate(parts[:-1], start=1):
        ions, electrons = VASP_IONS.findall(part), VASP_ELECTRONS.findall(part)
        total = VASP_TOTAL.findall(part)
        if ions and electrons:
            values.append(_signed(path, ions[-1]) + _signed(path, electrons[-1]))
        elif total:
            values.append(-np.array(total[-1], dtype=float))
        else:
            raise DataFileError(f"{path}: ionic step {number} has no dipole (LCALCPOL or LDIPOL with IDIPOL)")
    header: dict = {"quantities": {"dipole": (slice(0, 3), "e*A")}}
    if potim := VASP_POTIM.search(text):
        header["timestep"] = float(potim[1])
    if lattice := VASP_CELL.findall(text):
        cells = np.array([block.split() for block in lattice], dtype=float).reshape(-1, 3, 6)[:, :, :3]
        if np.ptp(cells, axis=0).max() > 1e-6:
            raise DataFileError(f"{path}: the cell changes (ISIF = 3), which is not supported for dipoles")
        header["cell"] = cells[0]
    return _successive(path, np.array(values).reshape(-1, 3), header)


def check_one_system(path, runs: Sequence[str], properties: Mapping[str, re.Pattern]) -> None:
    """Raise ``DataFileError`` if the joined outputs of several runs belong to different systems.

    Parameters
    ----------
    path : path
        File, for the message.
    runs : sequence of str
        Text of each run.
    properties : mapping
        What must be equal in all runs, with the pattern of its first number in the text of a run.
    """
    for what, pattern in properties.items():
        found = [float(match[1]) for run in runs if (match := pattern.search(run))]
        if found and max(found) - min(found) > 1e-4 * abs(found[0]):
            values = ", ".join(f"{value:g}" for value in dict.fromkeys(found))
            raise DataFileError(
                f"{path}: has runs with different {what} ({values}) joined in one file: split it, and read the runs "
                "separately"
            )


def _signed(path, vector):
    *numbers, unit = vector
    if unit not in ("electrons", "|e|"):
        raise DataFileError(f"{path}: dipole in '{unit}', expected 'electrons Angst' or '|e| Angst'")
    return np.array(numbers, dtype=float) * (1 if unit == "|e|" else -1)


def _successive(path, values, header):
    if len(values) < 2:
        raise DataFileError(f"{path}: has {len(values)} dipoles; a time series needs at least 2")
    steps = np.arange(len(values))
    check_finite(path, steps, values)
    return Rows(steps, values, ["x", "y", "z"], [0], [], header)
