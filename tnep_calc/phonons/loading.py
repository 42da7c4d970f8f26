"""phonopy objects from files of phonopy and Quantum ESPRESSO, so that a calculation needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError, MissingComponentError
from ..io.files import read_text, reading
from ..io.ph_x import is_matrix_file, is_q2r, read_header, read_ph_x
from ..io.phonopy_files import FORCES_BESIDE, load_phonopy
from ..units import BOHR, HARTREE


def is_phonon_file(path) -> bool:
    """Return whether a file has force constants that :func:`load_phonon` reads."""
    path = Path(path)
    if not path.is_file():
        return False
    if path.name.endswith((".yaml.xz", ".yaml.gz", ".yaml.bz2")):
        return True
    if path.suffix in (".yaml", ".yml"):
        return b"phonopy" in path.read_bytes()[:2000]
    return is_matrix_file(path) or is_q2r(path)


def load_phonon(path):
    """Return the phonopy object of a file with force constants.

    Parameters
    ----------
    path : str or path
        ``phonopy_params.yaml`` of phonopy (:func:`tnep_calc.io.phonopy_files.load_phonopy`), a dynamical-matrix file of
        Gamma of ``ph.x``, which has only the modes at Gamma, or a file of ``q2r.x`` that was made without Born charges.

    Returns
    -------
    phonopy.Phonopy
        With force constants, and with ``nac_params`` if the file has Born charges.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    InputError
        If a file of ``q2r.x`` has Born charges: its force constants are without the dipole-dipole part.
    MissingComponentError
        If phonopy is missing.
    """
    try:
        import phonopy  # noqa: F401
    except ImportError as error:
        raise MissingComponentError("this needs phonopy: pip install 'tnep_calc[phonons]'") from error
    path = Path(path)
    if is_matrix_file(path):
        return _of_matrix_file(path)
    if is_q2r(path):
        return _of_q2r(path)
    phonon = load_phonopy(path)
    if phonon.force_constants is None:
        raise DataFileError(
            f"{path}: has neither force constants nor forces of displaced supercells, and its folder has no "
            f"{' or '.join(FORCES_BESIDE)}"
        )
    return phonon


def only_gamma(phonon) -> bool:
    """Return whether the force constants are those of one primitive cell, which give the modes at Gamma only."""
    return len(phonon.supercell) == len(phonon.primitive)


def _cell(run):
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(symbols=list(run.symbols), cell=run.cell, positions=run.positions, masses=run.masses)


def _phonopy(path, run, repeats, force_constants):
    """Return the phonopy object of a structure and its force constants in eV/Å²."""
    import phonopy

    with reading(path, "force constants of a crystal", caught=(Exception,)):
        phonon = phonopy.Phonopy(_cell(run), np.diag(np.array(repeats)), "P")
        phonon.force_constants = force_constants
        phonon.symmetrize_force_constants()
    return phonon


def _of_matrix_file(path):
    from .nac import set_nac

    run = read_ph_x(path)
    phonon = _phonopy(path, run, (1, 1, 1), run.force_constants)
    if run.born_charges is not None and run.dielectric is not None:
        set_nac(phonon, run.born_charges, run.dielectric)
    return phonon


def _of_q2r(path):
    from phonopy.interface.qe import PH_Q2R

    with reading(path, "file of q2r.x"):
        run, _ = read_header(path, read_text(path).splitlines())
        reader = PH_Q2R(path)
        reader.run(_cell(run))
    if reader.borns is not None:
        raise InputError(
            f"{path}: its force constants are without the dipole-dipole part, which phonopy needs: remove eps_inf and "
            "charges from the matrix file of Gamma, run q2r.x again, and give the charges by --born"
        )
    if reader.fc is None or reader.dimension is None:
        raise DataFileError(f"{path}: has no force constants of q2r.x")
    return _phonopy(path, run, reader.dimension, reader.fc * (HARTREE / 2 / BOHR**2))
