"""Files for phonopy, Euphonic and PDielec, with a description that says whether they include the non-analytic term."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..io.born import write_born
from ..io.files import atomic_output
from ..units import COULOMB

CONTENTS = {
    "phonopy_params.yaml": "cells, displacements, forces, force constants, Born charges, eps_inf: phonopy and Euphonic "
    "(ForceConstants.from_phonopy); the non-analytic term is NOT in the force constants, they add it from the charges",
    "FORCE_CONSTANTS": "force constants of the supercell as phonopy's text, without the non-analytic term",
    "BORN": "Born charges of the symmetry-independent atoms and eps_inf, for phonopy --nac",
    "qpoints.yaml": "frequencies, eigenvectors and dynamical matrix at Gamma WITHOUT the non-analytic term (TO)",
    "pdielec": "qpoints.yaml, phonopy.yaml and BORN (of all atoms) for PDielec, which works with TO modes and charges: "
    "without the non-analytic term",
}
"""Files, with descriptions of their content."""


def write_exports(phonon, folder, force: bool = True) -> dict[str, str]:
    """Write all files for which the phonopy object has data.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    folder : path
    force : bool, default True
        Overwrite files.

    Returns
    -------
    dict of str to str
        Names of the files, with descriptions of their content.

    Raises
    ------
    InputError
        If there are no force constants, a file exists and `force` is not set, or phonopy reads other values back.
    """
    from phonopy.file_IO import get_FORCE_CONSTANTS_lines

    if phonon.force_constants is None:
        raise InputError("the phonopy object has no force constants to write")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_output(folder / "phonopy_params.yaml", force) as temporary:
        phonon.save(temporary, settings={"force_constants": True, "force_sets": True, "displacements": True})
    with atomic_output(folder / "FORCE_CONSTANTS", force) as temporary:
        lines = get_FORCE_CONSTANTS_lines(phonon.force_constants, p2s_map=phonon.primitive.p2s_map)
        temporary.write_text("\n".join(lines) + "\n")
    with atomic_output(folder / "qpoints.yaml", force) as temporary:
        found = phonon.run_qpoints([[0.0, 0.0, 0.0]], with_eigenvectors=True, with_dynamical_matrices=True)
        found.write_yaml(temporary)
    names = ["phonopy_params.yaml", "FORCE_CONSTANTS", "qpoints.yaml"]
    if phonon.nac_params is not None:
        write_born(folder / "BORN", phonon, force)
        names.append("BORN")
        _write_pdielec(phonon, folder / "pdielec", force)
        names.append("pdielec")
    _check(phonon, folder)
    return {name: CONTENTS[name] for name in names}


def _write_pdielec(phonon, folder, force):
    """Write the three files that PDielec reads for phonopy; its BORN has all atoms, unlike that of phonopy."""
    folder.mkdir(exist_ok=True)
    with atomic_output(folder / "qpoints.yaml", force) as temporary:
        phonon.run_qpoints([[0.0, 0.0, 0.0]], with_dynamical_matrices=True).write_yaml(temporary)
    with atomic_output(folder / "phonopy.yaml", force) as temporary:
        phonon.save(temporary, settings={"force_constants": False, "force_sets": False, "displacements": False})
    dynamical = phonon.dynamical_matrix
    lines = [f"{phonon.nac_params.get('factor', COULOMB):.10f}"]
    lines += [" ".join(f"{x:16.10f}" for x in t.ravel()) for t in (dynamical.dielectric_constant, *dynamical.born)]
    with atomic_output(folder / "BORN", force) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def _check(phonon, folder):
    """Read ``phonopy_params.yaml`` back and compare the modes at q -> 0."""
    import phonopy

    again = phonopy.load(folder / "phonopy_params.yaml", symmetrize_fc=False, produce_fc=False, log_level=0)
    direction = None if phonon.nac_params is None else phonon.primitive.cell @ np.ones(3)
    frequencies = []
    for one in (phonon, again):
        found = one.run_qpoints([[0.0, 0.0, 0.0]], nac_q_direction=direction)
        frequencies.append(np.array(found.frequencies[0]))
    if np.abs(frequencies[0] - frequencies[1]).max() > 1e-3:
        raise InputError(
            f"{folder / 'phonopy_params.yaml'} does not give the same frequencies when read back: please report this"
        )
