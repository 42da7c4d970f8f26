"""Read displaced supercells of phono3py and phonopy as labelled structures."""

from __future__ import annotations

from pathlib import Path

from ...structures import LabelledStructure
from ..displaced_supercells import check_forces, of_file, require_displacements, require_phono3py, training_data


def read_displaced(path: Path) -> list[LabelledStructure]:
    """Return the displaced supercells of a file with forces and energies, such as ``phono3py_params.yaml``.

    Raises
    ------
    DataFileError
        If the file cannot be read, or has no forces or no energies; the message names file and supercell (counted
        from 1, as in phono3py).
    MissingComponentError
        If phono3py is not installed.
    """
    require_phono3py()
    found = of_file(path)
    require_displacements(found, path)
    check_forces(found, path)
    data = training_data(found, path)
    return [data.structure(k, f"{path.name}, supercell") for k in range(len(data))]
