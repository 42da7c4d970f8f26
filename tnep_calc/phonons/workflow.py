"""Compute phonons, Born charges, dielectric tensor and polarizability gradient from a structure and a calculator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingComponentError
from ..io.born import check_response
from ..io.files import atomic_output
from ..io.state import check_state
from ..parallel import Communicator, in_agreement
from .cells import conventional_cell, cutoff_of, supercell_of, to_ase, to_phonopy
from .forces import RESULTS, displaced_forces, fingerprint
from .modes import GammaModes, gamma_modes
from .nac import METHODS, Charges, set_nac
from .raman_source import has_gradient, polarizability_gradient

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Settings of a calculation.

    Attributes
    ----------
    relax : bool
        Whether to relax cell and positions first, with the symmetry of the structure.
    fixed_cell : bool
        Whether to relax the positions only, in the cell of the structure.
    fmax : float, in eV/Å
        Largest force (and stress times volume per atom) after relaxation.
    steps : int
        Largest number of steps of the relaxation.
    symprec : float, in Å
        Tolerance of the symmetry search.
    length : float, in Å, optional
        Smallest height of the supercell. Default: twice the cutoff of the calculator, at least 10 Å.
    dim : tuple of three int, optional
        Repeats of the conventional cell, instead of `length`.
    displacement : float, in Å
        Length of the displacements.
    random : int, optional
        Number of supercells with random displacements of all atoms. Default: systematic displacements.
    seed : int
        Seed of the random displacements.
    nac : {"gonze", "wang"} or None
        Method of the non-analytic term; None: Born charges and dielectric tensor are not used.
    raman : bool
        Whether to compute the derivative of the polarizability.

    Raises
    ------
    InputError
        If a value is not valid.
    """

    relax: bool = True
    fixed_cell: bool = False
    fmax: float = 1e-4
    steps: int = 500
    symprec: float = 1e-4
    length: float | None = None
    dim: tuple[int, int, int] | None = None
    displacement: float = 0.01
    random: int | None = None
    seed: int = 1
    nac: str | None = "gonze"
    raman: bool = True

    def __post_init__(self):
        if self.fixed_cell and not self.relax:
            raise InputError("a relaxation at fixed cell needs relax = True")
        for name in ("fmax", "symprec", "displacement", "length"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a positive number, got {value}")
        if self.nac is not None and self.nac not in METHODS:
            raise InputError(f"nac must be {', '.join(METHODS)} or None, got '{self.nac}'")
        if self.dim is not None and (len(self.dim) != 3 or min(self.dim) < 1):
            raise InputError(f"dim must be three positive integers, got {self.dim}")
        if self.random is not None and self.random < 1:
            raise InputError(f"random must be a positive number of supercells, got {self.random}")


@dataclass(frozen=True, eq=False)
class Phonons:
    """Phonons of a crystal and its response to electric fields.

    Attributes
    ----------
    phonon : phonopy.Phonopy
        With force constants, and with ``nac_params`` if there are charges.
    modes : GammaModes
        Modes at Gamma, without the macroscopic field.
    charges : Charges or None
        Born charges and dielectric tensor.
    gradient : ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V, or None
        Derivative of the polarizability of the primitive cell, [atom, displacement component, i, j].
    hyperpolarizability : ndarray, shape (3, 3, 3), in e·Å³/V², or None
        Hyperpolarizability of the primitive cell.
    notes : list of str
        Remarks on imaginary modes, missing parts and methods.
    provenance : dict
        Settings, versions of programs, and files.
    """

    phonon: Any
    modes: GammaModes
    charges: Charges | None = None
    gradient: np.ndarray | None = None
    hyperpolarizability: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    provenance: dict = field(default_factory=dict)


def relax(atoms, calculator, settings: Settings, log: Callable[[str], None] = print):
    """Return the structure with relaxed positions, and cell unless fixed, under the symmetry of the initial structure.

    Raises
    ------
    InputError
        If the forces are not below ``settings.fmax`` after ``settings.steps`` steps.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGSLineSearch
    from ase.spacegroup.symmetrize import refine_symmetry

    relaxed = atoms.copy()
    relaxed.set_constraint()
    refine_symmetry(relaxed, settings.symprec)
    relaxed.set_constraint(FixSymmetry(relaxed, symprec=settings.symprec))
    relaxed.calc = calculator
    moving = FrechetCellFilter(relaxed) if relaxed.pbc.all() and not settings.fixed_cell else relaxed
    optimizer: Any = BFGSLineSearch(moving, logfile=None)  # type: ignore[arg-type]
    if not optimizer.run(fmax=settings.fmax, steps=settings.steps):
        raise InputError(
            f"the relaxation has not reached {settings.fmax:g} eV/A in {settings.steps} steps: give a better structure "
            "or more steps, or --no-relax"
        )
    log(
        f"relaxed in {optimizer.nsteps} steps: {relaxed.get_potential_energy() / len(relaxed):.6f} eV/atom, "
        f"cell {' '.join(f'{x:.5f}' for x in relaxed.cell.cellpar()[:3])} A"
    )
    relaxed.set_constraint()
    relaxed.calc = None
    return relaxed


def run_phonons(
    atoms,
    calculator,
    folder,
    settings: Settings | None = None,
    *,
    born: tuple | None = None,
    gradient=None,
    check: Callable[[Any], object] | None = None,
    comm=None,
    restart: bool = False,
    provenance: dict | None = None,
    log: Callable[[str], None] = print,
) -> Phonons:
    """Relax a crystal and compute its phonons and their response; a killed calculation resumes from its folder.

    Parameters
    ----------
    atoms : ase.Atoms
        Any cell of the crystal.
    calculator : ase.calculators.calculator.Calculator
        Gives forces, and stress to relax the cell. If it has ``born_effective_charges`` and ``dielectric_tensor``, or
        ``polarizability_gradient`` or ``polarizability``, it also gives the response.
    folder : path
        Folder of the relaxed structure and the forces.
    settings : Settings, optional
    born : tuple of two arrays, or callable, optional
        Born charges (n_atoms, 3, 3), in e, and dielectric tensor (3, 3) of the primitive cell, instead of those of the
        calculator, or a function of the phonopy object that returns both.
    gradient : ndarray, shape (n_atoms, 3, 3, 3), in e·Å/V, or callable, optional
        Derivative of the polarizability of the primitive cell, instead of that of the calculator, or a function of the
        phonopy object that returns it.
    check : callable, optional
        Called on rank 0 with the phonopy object of the structure as it is given, before existing results are deleted
        and before the first force, so that it can raise an error of files that do not fit.
    comm : mpi4py communicator, optional
        The displacements are distributed over its ranks.
    restart : bool
        Delete existing results in the folder.
    provenance : dict, optional
        Added to that of the result. It also identifies the calculation when it resumes, so that it should contain
        checksums of the models.
    log : callable
        Function that is called with lines of progress, on rank 0.

    Returns
    -------
    Phonons
        On every rank.

    Raises
    ------
    InputError
        If the structure, the settings or results of the calculator cannot be used.
    MissingComponentError
        If a package is missing.
    """
    try:
        import phonopy
        import symfc
    except ImportError as error:
        raise MissingComponentError(
            f"phonons need the package {error.name}: pip install 'tnep_calc[phonons]'"
        ) from error
    settings = Settings() if settings is None else settings
    comm = Communicator() if comm is None else comm
    folder = Path(folder)
    say = log if comm.rank == 0 else _log.debug
    notes: list[str] = []
    key = fingerprint(atoms, asdict(replace(settings, nac=None, raman=True)), provenance or {})

    def prepare():
        if comm.rank:
            return None
        given = _crystal(conventional_cell(atoms, settings.symprec)[0], (1, 1, 1), settings.symprec)
        if settings.nac is not None and born is not None and not callable(born):
            check_response(born[0], born[1], len(given.primitive))
        if check is not None:
            check(given)
        check_state(folder, key, RESULTS, restart)
        return _relaxed(atoms, calculator, folder, settings, say)

    structure = comm.bcast(in_agreement(comm, prepare))
    unit, group = conventional_cell(structure, settings.symprec)
    if group.startswith("P1 "):
        notes.append(
            f"No symmetry was found with a tolerance of {settings.symprec:g} A. If the crystal has symmetry, relax "
            "it better or raise --symprec."
        )
    dim = supercell_of(unit, settings.length, settings.dim, cutoff_of(calculator))
    phonon = _crystal(unit, dim, settings.symprec)
    _displace(phonon, settings)
    supercells = [to_ase(cell) for cell in phonon.supercells_with_displacements or ()]
    say(
        f"space group {group}, {len(phonon.primitive)} atoms in the primitive cell, supercell {dim[0]} x {dim[1]} x "
        f"{dim[2]} of the conventional cell"
    )
    rest = in_agreement(comm, lambda: calculator.get_property("forces", to_ase(phonon.supercell)))
    forces = displaced_forces(supercells, calculator, folder, comm, say) - rest
    phonon.forces = forces
    phonon.produce_force_constants(fc_calculator="symfc", show_drift=False)
    modes = gamma_modes(phonon)
    result = _respond(phonon, modes, calculator, settings, born, gradient, notes, comm, say)
    _describe(modes, notes)
    largest = float(np.abs(rest).max())
    if largest > 10 * settings.fmax:
        notes.append(
            f"The structure has forces of up to {largest:.2g} eV/A: its frequencies are not those of a minimum."
        )
    versions = {"phonopy": phonopy.__version__, "symfc": symfc.__version__}
    record = {
        "settings": asdict(settings),
        "space_group": group,
        "supercell": list(dim),
        "supercells": len(supercells),
        "atoms_per_supercell": len(phonon.supercell),
        "largest_residual_force_eV_per_A": largest,
        "versions": versions,
        **(provenance or {}),
    }
    return replace(result, notes=notes, provenance=record)


def phonons_of(
    phonon,
    settings: Settings | None = None,
    *,
    born: tuple | Callable | None = None,
    gradient=None,
    provenance: dict | None = None,
    log: Callable[[str], None] = print,
) -> Phonons:
    """Return the phonons of an existing calculation, with charges and polarizability derivatives from files or arrays.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    settings : Settings, optional
        Only `nac` and `raman` are used.
    born : tuple of two arrays, or callable, optional
        As in :func:`run_phonons`. Default: ``nac_params`` of the phonopy object, if it has them.
    gradient, provenance, log
        As in :func:`run_phonons`.

    Returns
    -------
    Phonons
    """
    settings = Settings() if settings is None else settings
    notes: list[str] = []
    modes = gamma_modes(phonon)
    if born is None and phonon.nac_params is not None:
        born = phonon.nac_params["born"], phonon.nac_params["dielectric"]
    if settings.nac is None:
        phonon.nac_params = None
    result = _respond(phonon, modes, None, settings, born, gradient, notes, Communicator(), log)
    _describe(modes, notes)
    dataset = phonon.symmetry.dataset
    record = {
        "space_group": "?" if dataset is None else f"{dataset.international} ({dataset.number})",
        "supercell": np.array(phonon.supercell_matrix).tolist(),
        "atoms_per_supercell": len(phonon.supercell),
        "versions": {"phonopy": phonon.version},
        **(provenance or {}),
    }
    return replace(result, notes=notes, provenance=record)


def _describe(modes: GammaModes, notes: list[str]) -> None:
    """Add a note at the beginning if optical modes are imaginary."""
    if modes.imaginary():
        notes.insert(
            0,
            f"The structure is unstable: {', '.join(modes.imaginary())}. Displace it along the mode and relax "
            "without symmetry, or check whether the model covers this phase.",
        )


def _relaxed(atoms, calculator, folder, settings, log):
    """Return the structure for the phonons; its relaxation is stored in the folder and reused."""
    from ase.io import write

    from ..io.structures.single import read_structure

    if not settings.relax:
        return atoms.copy()
    path = folder / "relaxed.json"
    if path.exists():
        log(f"using the relaxed structure of the previous run: {path}")
        return read_structure(path)
    relaxed = relax(atoms, calculator, settings, log)
    with atomic_output(path) as temporary:
        write(temporary, relaxed, format="json")
    return read_structure(path)


def _crystal(unit, dim, symprec):
    """Return the phonopy object of a conventional cell and its repeats."""
    import phonopy
    from phonopy.structure.cells import guess_primitive_matrix

    cell = to_phonopy(unit)
    to_primitive = guess_primitive_matrix(cell, symprec=symprec)
    return phonopy.Phonopy(cell, np.diag(dim), primitive_matrix=to_primitive, symprec=symprec)


def _displace(phonon, settings):
    if settings.random is None:
        phonon.generate_displacements(distance=settings.displacement, is_plusminus=True)
    else:
        phonon.generate_displacements(
            distance=settings.displacement, number_of_snapshots=settings.random, random_seed=settings.seed
        )


def _respond(phonon, modes, calculator, settings, born, gradient, notes, comm, log) -> Phonons:
    """Return phonons with charges, dielectric tensor, polarizability gradient and hyperpolarizability."""
    primitive = to_ase(phonon.primitive)
    known = set(getattr(calculator, "implemented_properties", ()))
    charges = None
    if settings.nac is not None and born is None and {"born_effective_charges", "dielectric_tensor"} <= known:
        born = tuple(calculator.get_property(x, primitive) for x in ("born_effective_charges", "dielectric_tensor"))
    if settings.nac is not None and born is not None:
        values, dielectric = born(phonon) if callable(born) else born
        charges = set_nac(phonon, values, dielectric, method=settings.nac)
        before, after = (np.abs(total).max() for total in (charges.sum_before, charges.sum_after))
        log(f"Born charges and eps_inf: sum of charges {before:.1e} e before, {after:.1e} e after correction")
    elif settings.nac is not None:
        notes.append(
            "There are no Born charges, hence no LO-TO splitting and no infrared intensities. A metal has none; for an "
            "insulator add dipole and susceptibility models, an enthalpy model, or a BORN file."
        )
    beta = None
    if settings.raman and gradient is not None:
        gradient = np.array(gradient(phonon) if callable(gradient) else gradient, dtype=float)
        notes.append("Raman tensors: from the given derivatives of the polarizability.")
    if settings.raman and gradient is None and has_gradient(calculator):
        gradient, how = in_agreement(comm, lambda: polarizability_gradient(primitive, calculator))
        notes.append(f"Raman tensors: {how}.")
        if "hyperpolarizability" in known:
            beta = np.array(calculator.get_property("hyperpolarizability", primitive))
    return Phonons(phonon, modes, charges, gradient, beta)
