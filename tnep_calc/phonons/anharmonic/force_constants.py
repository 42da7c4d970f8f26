"""Second- and third-order force constants from DFT forces, or from the forces of any calculator.

A machine-learned potential that is fitted to a few supercells can predict the forces of hundreds of small
displacements.  phono3py generates the displacements and computes force constants from the forces.  This module computes
the forces.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataFileError, InputError
from ...io.displaced_supercells import require_phono3py
from ...io.files import atomic_output
from ...io.hdf5 import check_hdf5
from ...io.phonopy_files import load_phono3py
from ...io.supercells import bare_structure, supercell_matrix
from .evaluation import evaluate_supercells

if TYPE_CHECKING:
    from phono3py import Phono3py

log = logging.getLogger(__name__)

DISPLACEMENTS = ("systematic", "random")
SOLVERS = ("fd", "symfc")
FC2, FC3, STRUCTURE, EVALUATED = "fc2.hdf5", "fc3.hdf5", "phono3py.yaml", "phono3py_mlp_eval_dataset.yaml"
"""Names of the files, which phono3py's commands read."""


def force_constants(
    source,
    calculator=None,
    *,
    supercell=None,
    fc2_supercell=None,
    displacements: str = "systematic",
    number: int | None = None,
    amplitude: float = 0.01,
    seed: int = 0,
    solver: str | None = None,
    cutoff: float | None = None,
    executor: Executor | None = None,
    checkpoint=None,
    identity: str = "",
) -> Phono3py:
    """Return a phono3py object with second- and third-order force constants.

    Parameters
    ----------
    source : Phono3py or ase.Atoms
        Structure, with forces if there is no `calculator` (see :func:`tnep_calc.io.supercells.read_supercells`).
        ``Atoms`` is a unit cell and needs `supercell`.
    calculator : ASE calculator, or callable that makes one, optional
        Calculator of the forces of newly displaced supercells. Default: the forces of `source` are used.
    supercell, fc2_supercell : sequence of int, shape (1,), (3,) or (3, 3), optional
        Supercell matrices of `source` if it is ``Atoms``. That of fc2 may be larger.
    displacements : {"systematic", "random"}
        Displacements of single atoms and pairs that symmetry requires, or of all atoms in random directions. All
        displacements are made with both signs.
    number : int, optional
        Number of pairs (plus and minus) of random supercells.
    amplitude : float, default 0.01, in Å
        Length of the displacement of an atom.
    seed : int, default 0
        Seed of the random displacements.
    solver : {"fd", "symfc"}, optional
        Finite differences with symmetries imposed by symfc's projector, or symfc's fit.  Default: ``"fd"`` for
        systematic displacements, ``"symfc"`` for random ones.
    cutoff : float, optional, in Å
        Largest distance of a pair in fc3. Default: all pairs of the supercell.
    executor, checkpoint, identity
        As in :func:`.evaluation.evaluate_supercells`.

    Returns
    -------
    Phono3py
        With ``fc2`` (eV/Å²) and ``fc3`` (eV/Å³) in compact form, the displacements and forces in ``dataset``, and the
        parameters for the non-analytic term of `source`.

    Raises
    ------
    InputError
        If an option is unknown or does not fit, or there are too few displacements for the fit.
    MissingComponentError
        If phono3py or symfc is not installed.
    """
    require_phono3py()
    check_options(displacements, number, amplitude, solver)
    if not hasattr(source, "supercell_matrix"):
        if supercell is None or calculator is None:
            raise InputError("a bare structure needs a supercell matrix and a calculator")
        source = bare_structure(source, supercell, fc2_supercell=fc2_supercell)
    if calculator is None:
        result = _copy(source)
        result.dataset, result.phonon_dataset = copy.deepcopy(source.dataset), copy.deepcopy(source.phonon_dataset)
    else:
        result = _displaced(source, displacements, number, amplitude, seed, cutoff)
    solver = _checked_solver(result, solver, cutoff)
    if calculator is not None:
        _evaluate(result, calculator, executor, checkpoint, identity)
    _solve(result, solver, cutoff)
    return result


def check_options(displacements: str, number: int | None, amplitude: float, solver: str | None) -> None:
    """Raise InputError for options of :func:`force_constants` that are unknown or do not fit together."""
    if displacements not in DISPLACEMENTS:
        raise InputError(f"displacements must be {' or '.join(DISPLACEMENTS)}, got '{displacements}'")
    if solver is not None and solver not in SOLVERS:
        raise InputError(f"the solver must be {' or '.join(SOLVERS)}, got '{solver}'")
    if solver == "fd" and displacements == "random":
        raise InputError("finite differences need systematic displacements: use symfc for random ones")
    if not amplitude > 0:
        raise InputError(f"the amplitude of the displacements must be positive, got {amplitude:g} Å")
    if (displacements == "random") != (number is not None):
        raise InputError("give the number of supercells for random displacements, but not for systematic ones")
    if number is not None and number < 1:
        raise InputError(f"the number of random pairs must be at least 1, got {number}")


def with_fc2_supercell(source: Phono3py, matrix) -> Phono3py:
    """Return the structure and data of fc3 with another supercell for fc2; None: that of fc3."""
    same = matrix is None
    result = _copy(source, None if same else supercell_matrix(matrix))
    result.dataset = copy.deepcopy(source.dataset)
    return result


def _copy(source: Phono3py, fc2_supercell="as it is") -> Phono3py:
    """Return a phono3py object of the same structure and NAC parameters, without displacements."""
    from phono3py import Phono3py

    if isinstance(fc2_supercell, str):
        fc2_supercell = source.phonon_supercell_matrix
    result = Phono3py(
        source.unitcell,
        source.supercell_matrix,
        primitive_matrix=source.primitive_matrix,
        phonon_supercell_matrix=fc2_supercell,
        symprec=source.symmetry.tolerance,
        calculator=source.calculator,
    )
    if source.nac_params is not None:
        result.nac_params = source.nac_params
    return result


def _displaced(source, displacements, number, amplitude, seed, cutoff) -> Phono3py:
    result = _copy(source)
    result.generate_displacements(
        distance=amplitude,
        cutoff_pair_distance=cutoff,
        is_plusminus=True,
        number_of_snapshots=number,
        random_seed=seed if displacements == "random" else None,
    )
    return result


def _evaluate(result: Phono3py, calculator, executor, checkpoint, identity) -> None:
    """Set the forces and energies of all displaced supercells."""
    cells = result.supercells_with_displacements
    wanted = [k for k, cell in enumerate(cells) if cell is not None]
    log.info("computing the forces of %d supercells of %d atoms", len(wanted), len(result.supercell))
    energies, forces = evaluate_supercells([cells[k] for k in wanted], calculator, executor, checkpoint, identity)
    # pairs beyond the cutoff are not evaluated; phono3py expects zeros for each of them
    all_forces, all_energies = np.zeros((len(cells), *forces.shape[1:])), np.zeros(len(cells))
    all_forces[wanted], all_energies[wanted] = forces, energies
    result.forces = all_forces
    result.supercell_energies = [float(energy) for energy in all_energies]
    if result.phonon_supercell_matrix is not None:
        cells = result.phonon_supercells_with_displacements
        log.info("computing the forces of %d supercells of %d atoms for fc2", len(cells), len(result.phonon_supercell))
        energies, forces = evaluate_supercells(
            cells, calculator, executor, None if checkpoint is None else _for_fc2(checkpoint), identity
        )
        result.phonon_forces = forces
        result.phonon_supercell_energies = [float(energy) for energy in energies]


def _for_fc2(checkpoint) -> Path:
    path = Path(checkpoint)
    return path.with_name(f"{path.stem}-fc2{path.suffix}")


def _checked_solver(result: Phono3py, solver, cutoff) -> str:
    """Return the solver of ``SOLVERS``; InputError if it does not fit the displacements, or there are too few."""
    pairs = "first_atoms" in result.dataset
    solver = solver or ("fd" if pairs else "symfc")
    if solver == "fd" and not pairs:
        raise InputError("finite differences need systematic displacements: use symfc for these")
    if not pairs:
        with _symfc_errors():
            _check_number(result, cutoff)
    return solver


def _solve(result: Phono3py, solver: str, cutoff) -> None:
    """Compute force constants from displacements and forces, as the command ``phono3py`` does."""
    from phono3py.cui.load import compute_force_constants_from_datasets

    log.info("force constants by %s", "finite differences" if solver == "fd" else "symfc")
    with _symfc_errors():
        compute_force_constants_from_datasets(
            result,
            fc_calculator=None if solver == "fd" else "symfc",
            cutoff_pair_distance=cutoff,
            use_symfc_projector=True,
        )


@contextlib.contextmanager
def _symfc_errors() -> Iterator[None]:
    """Turn the exceptions of symfc for unsuitable displacements into an InputError."""
    try:
        yield
    except (RuntimeError, AssertionError, np.linalg.LinAlgError) as error:
        reason = str(error) or "symfc finds no basis for this supercell: try a larger one"
        raise InputError(f"force constants cannot be computed from these displacements: {reason}") from error


def _check_number(result: Phono3py, cutoff) -> None:
    """Raise InputError if there are fewer equations than independent force constants.

    A supercell of N atoms has 3 N - 3 independent forces. The sum of the forces of displacements u and -u has no fc2,
    their difference no fc3.
    """
    from symfc import Symfc
    from symfc.utils.utils import SymfcAtoms

    cell = result.supercell
    atoms = SymfcAtoms(cell=cell.cell, scaled_positions=cell.scaled_positions, numbers=cell.numbers)
    sizes = Symfc(atoms, cutoff=None if cutoff is None else {3: cutoff}, log_level=0).estimate_basis_size(max_order=3)
    moves = np.round(np.asarray(result.dataset["displacements"]).reshape(len(result.dataset["displacements"]), -1), 6)
    different = len({min(row.tobytes(), (0.0 - row).tobytes()) for row in moves + 0.0})
    equations, unknown = 3 * len(cell) - 3, sizes[2] + sizes[3]
    if len(moves) * equations < unknown or different * equations < sizes[3]:
        raise InputError(
            f"{len(moves)} displaced supercells of {len(cell)} atoms are too few for about {unknown} independent force "
            f"constants: give at least {-(-unknown // equations)} with different displacements, or a cutoff"
        )


def write_force_constants(result: Phono3py, folder, evaluated: bool = True) -> list[Path]:
    """Write the files that phono3py's commands read, and return their paths.

    Parameters
    ----------
    result : Phono3py
        With fc2 and fc3.
    folder : path
        Folder for ``fc2.hdf5``, ``fc3.hdf5`` and ``phono3py.yaml`` (structure and parameters of the non-analytic term).
        Existing files are replaced.
    evaluated : bool, default True
        Whether to write displacements and forces too, as ``phono3py_mlp_eval_dataset.yaml``.
    """
    from phono3py.file_IO import write_fc2_to_hdf5, write_fc3_to_hdf5

    folder = Path(folder)
    with atomic_output(folder / FC3, force=True) as temporary:
        write_fc3_to_hdf5(
            result.fc3,
            fc3_nonzero_indices=result.fc3_nonzero_indices,
            filename=str(temporary),
            p2s_map=result.primitive.p2s_map,
            fc3_cutoff=result.fc3_cutoff,
        )
    with atomic_output(folder / FC2, force=True) as temporary:
        write_fc2_to_hdf5(
            result.fc2,
            filename=str(temporary),
            p2s_map=result.phonon_primitive.p2s_map,
            physical_unit="eV/angstrom^2",
            cutoff=result.fc2_cutoff,
        )
    with atomic_output(folder / STRUCTURE, force=True) as temporary:
        result.save(temporary, settings={"force_sets": False, "displacements": False})
    written = [folder / FC2, folder / FC3, folder / STRUCTURE]
    if evaluated:
        with atomic_output(folder / EVALUATED, force=True) as temporary:
            result.save(temporary)
        written.append(folder / EVALUATED)
    return written


def read_force_constants(folder) -> Phono3py:
    """Return a phono3py object from ``phono3py.yaml``, ``fc2.hdf5`` and ``fc3.hdf5`` in a folder.

    Raises
    ------
    DataFileError
        If a file is missing or damaged, or does not fit the others, or a force constant is not finite.
    MissingComponentError
        If phono3py is not installed.
    """
    require_phono3py()
    folder = Path(folder).resolve()
    for name in (STRUCTURE, FC2, FC3):
        if not (folder / name).is_file():
            raise DataFileError(f"{folder / name}: no such file; write it with 'tnep fc' or phono3py")
        if name != STRUCTURE:
            check_hdf5(folder / name)
    found = load_phono3py(folder / STRUCTURE, fc2_filename=folder / FC2, fc3_filename=folder / FC3, produce_fc=False)
    for name, values in ((FC2, found.fc2), (FC3, found.fc3)):
        if values is None or not np.isfinite(values).all():
            raise DataFileError(f"{folder / name}: its force constants are missing or not all finite")
    return found


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the root mean square of the difference, relative to that of the reference.

    Examples
    --------
    >>> round(float(relative_difference(np.array([1.1, 2.0]), np.array([1.0, 2.0]))), 3)
    0.045
    """
    return np.sqrt(np.mean((values - reference) ** 2) / np.mean(reference**2))
