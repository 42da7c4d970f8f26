"""Files of phonopy and phono3py: which files are read, and in which units."""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataFileError
from ..units import COULOMB
from .files import COMPRESSED, check_readable, read_text, reading
from .hdf5 import check_hdf5

if TYPE_CHECKING:
    from phono3py import Phono3py
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

log = logging.getLogger(__name__)

FORCES_BESIDE = {
    "FORCE_CONSTANTS": "force_constants_filename",
    "force_constants.hdf5": "force_constants_filename",
    "FORCE_SETS": "force_sets_filename",
}
"""Files that phonopy writes beside its YAML file, in the order of their use, and phonopy's options for them."""

BORN = "BORN"
"""Name of phonopy's file of Born charges."""

LONGEST = 1e4
"""Largest component of a lattice vector, in the unit of the file."""

MOST_CELLS = 10_000
"""Largest number of unit cells in a supercell."""

_MATRIX = re.compile(r"^ *(lattice|\w*supercell_matrix):[^\n]*((?:\n *- *\[[^\]\n]*\][^\n]*){3})", re.MULTILINE)


def is_phonopy_yaml(path) -> bool:
    """Return whether a file has a name of phono3py's or phonopy's files (``.yaml``, possibly compressed)."""
    path = Path(path)
    suffix = Path(path.stem).suffix if path.suffix.lower() in COMPRESSED else path.suffix
    return suffix.lower() in (".yaml", ".yml")


def is_phonopy(path) -> bool:
    """Return whether a YAML file was written by phonopy, and not by phono3py."""
    head = read_text(path)[:2000]
    return head.lstrip().startswith("phonopy:") or "\nphonopy:" in head


@contextlib.contextmanager
def empty_folder() -> Iterator[None]:
    """Work in an empty temporary folder, because phonopy also reads files of certain names from the current one."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        yield


@contextlib.contextmanager
def loading(path: Path, what: str) -> Iterator[Path]:
    """Provide the absolute path of a YAML file for a library that loads it, and turn its exceptions into one line.

    The libraries look for other files in the current folder, so the block runs in an empty one.  They also make any
    Python object that a tag of the file asks for, so a file with tags is refused.

    Raises
    ------
    DataFileError
        If the file cannot be read, has tags, or has lattice vectors or supercells of absurd size.
    """
    import yaml

    absolute = check_readable(path).resolve()
    text = read_text(path)
    with reading(path, what, caught=(Exception,)):
        if "!" in text and any(getattr(event, "tag", None) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise DataFileError(f"{path}: has a YAML tag ('!'), which could run code: remove it, if you trust the file")
        _check_sizes(path, text)
        with warnings.catch_warnings(), empty_folder():
            warnings.simplefilter("ignore")
            yield absolute


def _check_sizes(path, text: str) -> None:
    """Raise DataFileError for sizes with which the search for symmetry would take all time or memory."""
    for name, rows in _MATRIX.findall(text):
        numbers = [float(word) for row in re.findall(r"\[([^\]\n]*)\]", rows) for word in row.split(",")]
        if name == "lattice" and not np.abs(numbers).max() <= LONGEST:
            raise DataFileError(f"{path}: has a lattice vector with components {numbers}, more than {LONGEST:g}")
        if name != "lattice" and len(numbers) == 9:
            cells = abs(np.linalg.det(np.reshape(numbers, (3, 3))))
            if not cells <= MOST_CELLS:
                raise DataFileError(f"{path}: has a supercell of {cells:.4g} unit cells, more than {MOST_CELLS}")


def load_phonopy(path, produce_fc: bool = True, symprec: float = 1e-5) -> Phonopy:
    """Load a file of phonopy, in Å, eV/Å and e.

    What the file lacks is taken from phonopy's other files in the same folder (``FORCE_CONSTANTS``,
    ``force_constants.hdf5``, ``FORCE_SETS``, ``BORN``), and a message says so. Those in the current folder are not
    used.

    Parameters
    ----------
    path : path
        ``phonopy_params.yaml`` or ``phonopy_disp.yaml``, possibly compressed, in the units of any interface of phonopy.
    produce_fc : bool, default True
        Compute force constants from the forces.
    symprec : float, default 1e-5, in Å
        Tolerance of the symmetry search.

    Returns
    -------
    Phonopy

    Raises
    ------
    DataFileError
        If a file cannot be read, or forces of some displacements are missing.
    """
    import phonopy

    path = Path(path)
    options: dict[str, Any] = {"produce_fc": produce_fc, "symprec": symprec, "log_level": 0}
    what = "a file of phonopy"
    with loading(path, what) as absolute:
        found = phonopy.load(absolute, **options)
    if more := _files_beside(path, found):
        names = " and ".join(file.name for file in more.values())
        log.info("%s: using %s from the same folder", path, names)
        files: dict[str, Any] = {option: file.resolve() for option, file in more.items()}
        with loading(path, f"{what} that fits {names} of the same folder") as absolute:
            found = phonopy.load(absolute, **options, **files)
    dataset: Any = found.dataset or {}
    rows = dataset.get("first_atoms", ())
    if missing := [number for number, row in enumerate(rows, 1) if "forces" not in row]:
        if len(missing) < len(rows):
            raise DataFileError(f"{path}: has no forces for displacement {missing[0]}, but for others")
    return _in_standard_units(found, symprec)


def load_phono3py(path, **options) -> Phono3py:
    """Load a file of phono3py, in the units of its interface; options as in ``phono3py.load``.

    Raises
    ------
    DataFileError
        If a file cannot be read.
    """
    import phono3py

    with loading(Path(path), "a file of phono3py") as absolute:
        return phono3py.load(absolute, log_level=0, **options)


def _files_beside(path: Path, phonon: Phonopy) -> dict[str, Path]:
    """Return phonopy's options for what a file lacks and other files in its folder have."""
    found = {}
    if phonon.force_constants is None and not _has_forces(phonon.dataset):
        names = [name for name in FORCES_BESIDE if (path.parent / name).is_file()]
        if names:
            found[FORCES_BESIDE[names[0]]] = check_readable(path.parent / names[0])
            if names[0].endswith(".hdf5"):
                check_hdf5(path.parent / names[0])
    if phonon.nac_params is None and (path.parent / BORN).is_file():
        found["born_filename"] = check_readable(path.parent / BORN)
    return found


def _has_forces(dataset) -> bool:
    return dataset is not None and (
        "forces" in dataset or any("forces" in row for row in dataset.get("first_atoms", ()))
    )


def _in_standard_units(phonon: Phonopy, symprec: float) -> Phonopy:
    """Return a phonopy object in Å, eV/Å and eV/Å², whatever interface of phonopy it was made with."""
    from phonopy import Phonopy
    from phonopy.interface.calculator import get_calculator_physical_units

    units = get_calculator_physical_units(phonon.calculator)
    length, force = units.distance_to_A, units.force_to_eVperA
    if length == 1 and force == 1:
        return phonon
    found = Phonopy(
        _scaled(phonon.unitcell, length),
        phonon.supercell_matrix,
        primitive_matrix=phonon.primitive_matrix,
        symprec=symprec,
    )
    if phonon.dataset is not None:
        dataset: Any = _scaled_dataset(phonon.dataset, length, force, units.energy_to_eV)
        found.dataset = dataset
    if phonon.force_constants is not None:
        found.force_constants = phonon.force_constants * (force / length)
    if phonon.nac_params is not None:
        found.nac_params = {**phonon.nac_params, "factor": COULOMB}
    return found


def _scaled(cell: PhonopyAtoms, length: float) -> PhonopyAtoms:
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=cell.symbols, cell=cell.cell * length, scaled_positions=cell.scaled_positions, masses=cell.masses
    )


def _scaled_dataset(dataset, length: float, force: float, energy: float) -> dict[str, Any]:
    """Return displacements, forces and energies of supercells in other units."""
    factors = {
        "displacement": length,
        "displacements": length,
        "forces": force,
        "supercell_energy": energy,
        "supercell_energies": energy,
    }

    def scaled(values):
        return {
            key: np.multiply(value, factors[key]) if key in factors and value is not None else value
            for key, value in values.items()
        }

    found = scaled(dataset)
    if "first_atoms" in found:
        found["first_atoms"] = [scaled(row) for row in found["first_atoms"]]
    return found


def check_units(phono3py: Phono3py, path) -> None:
    """Raise DataFileError if a phono3py object is not in Å and eV/Å."""
    from phonopy.interface.calculator import get_calculator_physical_units

    units = get_calculator_physical_units(phono3py.calculator)
    if units.distance_to_A != 1 or units.force_to_eVperA != 1:
        raise DataFileError(
            f"{path}: has lengths in {units.length_unit} and forces in {units.force_unit} (of "
            f"{phono3py.calculator}), expected angstrom and eV/angstrom: give the outputs of the calculations with "
            "--reference and --supercell"
        )
