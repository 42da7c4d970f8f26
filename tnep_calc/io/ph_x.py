"""Born charges, dielectric tensor, Raman tensors and force constants at Gamma from ``ph.x`` of Quantum ESPRESSO.

Both the text output of ``ph.x`` and its dynamical-matrix file of Gamma (``fildyn``, text or XML) are read.  The
dynamical matrix in such a file is that of the force constants in Ry/bohr², without masses and without the non-analytic
term.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import DataFileError
from ..units import ATOMIC_MASS, BOHR, HARTREE
from .bravais import bravais_lattice
from .files import read_text, reading
from .ph_x_run import PhononRun, polarizability_gradient
from .ph_x_xml import is_matrix_xml, read_matrix_xml
from .structures.espresso import chemical_symbol

_ELECTRON_MASS = 9.1093837015e-31  # kg
_RYDBERG_MASS = ATOMIC_MASS / (2 * _ELECTRON_MASS)  # Rydberg units of mass per amu
_HEAD = "Dynamical matrix file"
_OUTPUT = "Program PHONON"
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[EeDd][-+]?\d+)?")


def is_ph_x(path) -> bool:
    """Return whether a file is an output or a dynamical-matrix file of ``ph.x``."""
    try:
        head = read_text(path)[:4000]
    except DataFileError:
        return False
    return head.lstrip().startswith(_HEAD) or _OUTPUT in head or is_matrix_xml(head)


def is_matrix_file(path) -> bool:
    """Return whether a file is a dynamical-matrix file (text or XML) of ``ph.x``."""
    try:
        head = read_text(path)[:4000]
    except DataFileError:
        return False
    return head.lstrip().startswith(_HEAD) or is_matrix_xml(head)


def is_q2r(path) -> bool:
    """Return whether a file has the first line of ``q2r.x``: three integers and six numbers."""
    try:
        words = read_text(path)[:400].split("\n", 1)[0].split()
    except DataFileError:
        return False
    return len(words) == 9 and all(word.lstrip("-").isdecimal() for word in words[:3]) and _is_header(" ".join(words))


def read_ph_x(path) -> PhononRun:
    """Read a text output or a dynamical-matrix file (of Gamma; text or XML) of ``ph.x``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    PhononRun
        Of an output, cell and positions have the few digits that ``ph.x`` prints.

    Raises
    ------
    DataFileError
        If the file is damaged, not of ``ph.x``, or not of Gamma.
    """
    path = Path(path)
    text = read_text(path)
    with reading(path, "output or dynamical-matrix file of ph.x"):
        if text.lstrip().startswith(_HEAD):
            return _read_matrix_file(path, text.splitlines())
        if is_matrix_xml(text[:4000]):
            return read_matrix_xml(path, text)
        if _OUTPUT in text[:4000]:
            return _read_output(path, text.splitlines())
    raise DataFileError(f"{path}: neither an output nor a dynamical-matrix file of ph.x")


def read_header(path, lines: list[str]) -> tuple[PhononRun, int]:
    """Return the structure at the start of a file of ``ph.x`` or ``q2r.x``, and the number of lines that it takes.

    The first line has the numbers of species and atoms, ``ibrav`` and six ``celldm``.
    """
    n_species, n_atoms, ibrav = (int(word) for word in lines[0].split()[:3])
    celldm = [float(word) for word in lines[0].split()[3:9]]
    at = 1
    if ibrav == 0:
        if "Basis" in lines[at]:
            at += 1
        cell = celldm[0] * BOHR * np.array([_floats(line, 3) for line in lines[at : at + 3]])
        at += 3
    else:
        cell = bravais_lattice(ibrav, celldm)
    species = []
    for line in lines[at : at + n_species]:
        _, name, mass = line.split("'")
        species.append((chemical_symbol(path, name.strip()), float(mass) / _RYDBERG_MASS))
    at += n_species
    rows = [line.split() for line in lines[at : at + n_atoms]]
    kinds = [species[int(row[1]) - 1] for row in rows]
    positions = celldm[0] * BOHR * np.array([[float(x) for x in row[2:5]] for row in rows])
    run = PhononRun(tuple(name for name, _ in kinds), positions, cell, np.array([mass for _, mass in kinds]))
    return run, at + n_atoms


def _read_matrix_file(path, lines) -> PhononRun:
    start = next(k for k, line in enumerate(lines) if k > 0 and _is_header(line))
    run, used = read_header(path, lines[start:])
    rest, n = lines[start + used :], len(run.symbols)
    at = next((k for k, line in enumerate(rest) if "q = (" in line), None)
    if at is None or np.abs(_floats(rest[at], 3)).max() > 1e-8:
        raise DataFileError(
            f"{path}: is not the dynamical matrix of Gamma: give that file (usually the one ending in 1)"
        )
    blocks = [line for line in rest[at + 1 :] if line.strip()][: 4 * n * n]
    constants = np.full((n, n, 3, 3), np.nan)
    for k in range(n * n):
        i, j = (int(word) - 1 for word in blocks[4 * k].split())
        constants[i, j] = [_floats(line, 6)[::2] for line in blocks[4 * k + 1 : 4 * k + 4]]
    if not np.isfinite(constants).all():
        raise DataFileError(f"{path}: the dynamical matrix is not complete")
    constants *= HARTREE / 2 / BOHR**2
    eps = _matrices(rest, "Dielectric Tensor:", 1)
    charges = _matrices(rest, "Effective Charges E-U", n)
    return PhononRun(
        run.symbols,
        run.positions,
        run.cell,
        run.masses,
        charges,
        None if eps is None else eps[0],
        _raman(rest, n),
        constants,
    )


def _read_output(path, lines) -> PhononRun:
    alat = float(_required(path, lines, "celldm(1)=").split("celldm(1)=")[1].split()[0]) * BOHR
    axes = _find(lines, "crystal axes:")
    sites = _find(lines, "site n.")
    if axes is None or sites is None:
        raise DataFileError(f"{path}: has no crystal axes or positions: it is not a complete output of ph.x")
    cell = alat * np.array([_floats(line.split("=")[1], 3) for line in lines[axes + 1 : axes + 4]])
    symbols, masses, positions = [], [], []
    for line in lines[sites + 1 :]:
        if "tau(" not in line:
            break
        words = line.split()
        symbols.append(chemical_symbol(path, words[1]))
        masses.append(float(words[2]))
        positions.append(_floats(line.split("=")[1], 3))
    n = len(symbols)
    eps = _matrices(lines, "Dielectric constant in cartesian axis", 1)
    without = [
        k for k, line in enumerate(lines) if "Effective charges (d Force / dE)" in line and "with asr" not in line
    ]
    other = [k for k, line in enumerate(lines) if "Effective charges (d P / du)" in line and "with asr" not in line]
    found = (without or other)[-1:]
    return PhononRun(
        tuple(symbols),
        alat * np.array(positions),
        cell,
        np.array(masses),
        _three_rows(lines[found[0] + 1 :], n) if found else None,
        None if eps is None else eps[0],
        _raman(lines, n),
    )


def _is_header(line: str) -> bool:
    words = line.split()
    return len(words) == 9 and all(_NUMBER.fullmatch(word) for word in words)


def _floats(line: str, count: int) -> list[float]:
    """Return the first `count` numbers of a line, behind the last bracket; ValueError if it has fewer."""
    words = _NUMBER.findall(line.split("(")[-1])
    if len(words) < count:
        raise ValueError(f"expected {count} numbers in '{line.strip()[:60]}'")
    return [float(re.sub("[Dd]", "e", word)) for word in words[:count]]


def _find(lines, text: str) -> int | None:
    """Return the index of the last line that contains a text, or None."""
    return next((k for k in range(len(lines) - 1, -1, -1) if text in lines[k]), None)


def _required(path, lines, text: str) -> str:
    at = _find(lines, text)
    if at is None:
        raise DataFileError(f"{path}: has no '{text}': it is not a complete output of ph.x")
    return lines[at]


def _three_rows(lines, count: int) -> np.ndarray:
    """Return matrices from the next `3 count` lines of at least three numbers, without lines that name an atom."""
    rows: list[list[float]] = []
    for line in lines:
        if len(rows) == 3 * count:
            break
        if line.strip() and "atom" not in line:
            rows.append(_floats(line, 3))
    return np.array(rows).reshape(count, 3, 3)


def _matrices(lines, title: str, count: int) -> np.ndarray | None:
    """Return the matrices below the last line with a title, shape (count, 3, 3), or None."""
    at = _find(lines, title)
    return None if at is None else _three_rows(lines[at + 1 :], count)


def _raman(lines, n: int) -> np.ndarray | None:
    """Return the derivative of the polarizability in e·Å/V, or None."""
    found = _matrices(lines, "Raman tensor (A^2)", 3 * n)
    return None if found is None else polarizability_gradient(found)
