"""Displaced supercells in files of phono3py and phonopy (``*.yaml``, compressed or not), and as data for a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataFileError, MissingComponentError
from ..structures import LabelledStructure
from .phonopy_files import check_units, is_phonopy, load_phono3py, load_phonopy

if TYPE_CHECKING:
    from phono3py import Phono3py


def require_phono3py() -> None:
    """Raise MissingComponentError, with the command to install it, if phono3py or symfc is not installed."""
    try:
        import phono3py  # noqa: F401
        import symfc  # noqa: F401
    except ImportError as error:
        raise MissingComponentError(f"{error.name} is not installed: pip install 'phono3py>=4.4' symfc") from error


def of_file(path: Path, symprec: float = 1e-5) -> Phono3py:
    """Return the content of a file of phono3py or phonopy as a phono3py object, possibly without forces.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    """
    if is_phonopy(path):
        return _from_phonopy(path, symprec)
    found = load_phono3py(path, produce_fc=False, symprec=symprec)
    check_units(found, path)
    return found


def require_displacements(phono3py: Phono3py, path) -> None:
    """Raise DataFileError if there are no displacements."""
    if phono3py.dataset is None:
        raise DataFileError(f"{path}: has no displacements; give a phono3py_disp.yaml or phono3py_params.yaml")


def _from_phonopy(path: Path, symprec) -> Phono3py:
    """Return a phono3py object with the displacements and forces of a phonopy file."""
    from phono3py import Phono3py

    phonon = load_phonopy(path, produce_fc=False, symprec=symprec)
    found = Phono3py(
        phonon.unitcell, phonon.supercell_matrix, primitive_matrix=phonon.primitive_matrix, symprec=symprec
    )
    found.nac_params = phonon.nac_params
    if phonon.dataset is not None:
        from phonopy.structure.dataset import get_displacements_and_forces

        displacements, forces = get_displacements_and_forces(phonon.dataset)
        found.dataset = {"displacements": displacements}
        if forces is not None:
            found.dataset["forces"] = forces
        if (energies := _values(phonon.dataset).get("energies")) is not None:
            found.dataset["supercell_energies"] = np.array(energies, dtype=float)
    return found


def check_forces(phono3py: Phono3py, path) -> None:
    """Raise DataFileError if displacements, forces or energies are incomplete or not finite.

    All energies may be missing, because only the training of a potential needs them.
    """
    from phono3py.phonon3.dataset import forces_in_dataset

    for label, dataset, cell in (
        ("supercell", phono3py.dataset, phono3py.supercell),
        ("fc2 supercell", phono3py.phonon_dataset, phono3py.phonon_supercell),
    ):
        if dataset is None:
            continue
        if not forces_in_dataset(dataset):
            raise DataFileError(f"{path}: has displacements but no forces: give the outputs of the calculations too")
        columns = _values(dataset)
        for name, values in columns.items():
            if len(values) != len(columns["forces"]):
                raise DataFileError(f"{path}: the numbers of forces and of {name} differ ({label}s)")
            for number, value in enumerate(values, 1):
                if value is None:
                    raise DataFileError(f"{path}, {label} {number}: has no {name}, but others have")
                if name != "energies" and np.shape(value) != (len(cell), 3):
                    raise DataFileError(
                        f"{path}, {label} {number}: {name} have shape {np.shape(value)}, expected ({len(cell)}, 3)"
                    )
                if not np.isfinite(value).all():
                    raise DataFileError(f"{path}, {label} {number}: {name} are not all finite")


def _values(dataset) -> dict[str, list]:
    """Return displacements, forces and energies of a dataset as one list each, without those that have no values."""
    if "displacements" in dataset:
        names = {"displacements": "displacements", "forces": "forces", "energies": "supercell_energies"}
        return {name: list(dataset[key]) for name, key in names.items() if dataset.get(key) is not None}
    pairs = dataset["first_atoms"]
    rows = [*pairs, *(second for first in pairs for second in first.get("second_atoms", ()))]
    values = {
        name: [row.get(key) for row in rows] for name, key in (("forces", "forces"), ("energies", "supercell_energy"))
    }
    return {name: column for name, column in values.items() if any(value is not None for value in column)}


@dataclass(frozen=True, eq=False)
class SupercellData:
    """Displaced supercells of one crystal with forces and energies, for the training of a potential.

    Attributes
    ----------
    supercell : PhonopyAtoms
        The supercell without displacements.
    displacements, forces : ndarray, shape (n, n_atoms, 3), in Å and eV/Å
    energies : ndarray, shape (n,), in eV
    """

    supercell: Any
    displacements: np.ndarray
    forces: np.ndarray
    energies: np.ndarray

    def __len__(self):
        return len(self.energies)

    def structure(self, k: int, source: str = "supercell") -> LabelledStructure:
        """Return a supercell with its displacements and labels.

        Parameters
        ----------
        k : int
            Index of the supercell, counted from 0.
        source : str, default "supercell"
            File, or another name of the whole, for messages.
        """
        return LabelledStructure(
            source=f"{source} {k + 1}",
            symbols=tuple(self.supercell.symbols),
            positions=self.supercell.positions + self.displacements[k],
            cell=np.array(self.supercell.cell),
            pbc=np.ones(3, dtype=bool),
            energy=float(self.energies[k]),
            forces=np.array(self.forces[k]),
        )


def training_data(phono3py: Phono3py, path) -> SupercellData:
    """Return the displaced supercells of a phono3py object for the training of a potential.

    Raises
    ------
    DataFileError
        If the energies are missing.
    """
    from phono3py.phonon3.dataset import get_displacements_and_forces_fc3

    displacements, forces = get_displacements_and_forces_fc3(phono3py.dataset)
    energies = _values(phono3py.dataset).get("energies")
    if energies is None:
        raise DataFileError(
            f"{path}: has no energies, which are needed to train a potential; write them with phono3py's option --sp, "
            "or use the forces without a potential ('none')"
        )
    return SupercellData(phono3py.supercell, displacements, forces, np.array(energies, dtype=float))
