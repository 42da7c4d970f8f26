"""Vibrations of a molecule with their infrared and Raman activities."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .infrared import mode_charges
from .modes import GammaModes, molecular_modes
from .raman import raman_tensors
from .raman_source import finite_differences, polarizability_gradient


@dataclass(frozen=True, eq=False)
class Vibrations:
    """Vibrations of a molecule.

    Attributes
    ----------
    atoms : ase.Atoms
        The relaxed molecule.
    modes : GammaModes
    charges : ndarray, shape (n_modes, 3), in e/sqrt(amu), or None
        Derivatives of the dipole with respect to the normal coordinates.
    tensors : ndarray, shape (n_modes, 3, 3), in Å²/sqrt(amu), or None
        Derivatives of the volume polarizability with respect to the normal coordinates.
    notes : list of str
        Remarks on the methods and on missing parts.
    """

    atoms: Any
    modes: GammaModes
    charges: np.ndarray | None
    tensors: np.ndarray | None
    notes: list[str] = field(default_factory=list)


def vibrations(
    atoms, calculator, relax: bool = True, fmax: float = 1e-4, displacement: float = 0.01, steps: int = 500
) -> Vibrations:
    """Return the vibrations of a molecule, and their dipole and polarizability derivatives if the calculator has them.

    The Hessian comes from central differences of the forces (ASE).  Derivatives of dipole and polarizability are
    analytic if the calculator has ``born_effective_charges`` and ``polarizability_gradient``, else central differences
    of ``dipole`` and ``polarizability``.

    Parameters
    ----------
    atoms : ase.Atoms
        Molecule, which must not be periodic.
    calculator : ase.calculators.calculator.Calculator
    relax : bool
        Whether to relax the positions first.
    fmax : float, in eV/Å
        Largest force after the relaxation.
    displacement : float, in Å
        Displacement of the central differences.
    steps : int
        Largest number of steps of the relaxation.

    Returns
    -------
    Vibrations

    Raises
    ------
    InputError
        If the structure is periodic, or the relaxation does not converge.
    """
    from ase.optimize import BFGS
    from ase.vibrations import Vibrations as AseVibrations

    if atoms.pbc.any():
        raise InputError("a molecule must not be periodic: set pbc=False")
    molecule = atoms.copy()
    molecule.set_constraint()
    molecule.calc = calculator
    if relax and not BFGS(molecule, logfile=None).run(fmax=fmax, steps=steps):
        raise InputError(f"the molecule has not relaxed to {fmax:g} eV/A in {steps} steps: give a better structure")
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        run = AseVibrations(molecule, name=str(Path(folder) / "vib"), delta=displacement)
        run.run()
        hessian = run.get_vibrations().get_hessian_2d()
    modes = molecular_modes(molecule, hessian)
    if modes.imaginary():
        notes.append(f"The molecule is not at a minimum: {', '.join(modes.imaginary())}.")
    known = set(getattr(calculator, "implemented_properties", ()))
    born = None
    if "born_effective_charges" in known:
        born = np.array(calculator.get_property("born_effective_charges", molecule))
    elif "dipole" in known:
        born = finite_differences(molecule, calculator, "dipole", displacement).transpose(0, 2, 1)
        notes.append("Infrared intensities: central differences of 'dipole'.")
    else:
        notes.append("There are no infrared intensities: add a dipole model.")
    tensors = None
    if known & {"polarizability_gradient", "polarizability"}:
        gradient, how = polarizability_gradient(molecule, calculator)
        tensors = raman_tensors(gradient, modes)
        notes.append(f"Raman tensors: {how}.")
    return Vibrations(molecule, modes, None if born is None else mode_charges(born, modes), tensors, notes)
