"""Numbers of the study: errors on the test structures, the ideal crystal, LO modes, Raman spectra and times."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from study import FAMILIES, Material

from tnep_calc import TNEPCalculator
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.polarization import quanta_in
from tnep_calc.structures import LabelledStructure
from tnep_calc.units import BOHR, COULOMB, EPSILON_0, SQRT_EV_PER_A2_AMU_TO_INV_CM

QUANTITIES = {"P": ("10⁻⁵ e/a₀²", 1e5), "Z*": ("me", 1e3), "eps_inf": ("10⁻³", 1e3)}
"""Unit in which the errors of a quantity are shown, and the factor to it."""
PROPERTIES = ("dipole", "born_effective_charges", "dielectric_tensor", "polarizability_gradient")
"""P, Z*, eps_inf and d eps/du in the names of the calculator."""
LASER, TEMPERATURE, LIGHT = 18796.9987, 300.0, 137.036  # cm^-1 (532 nm), K, atomic units
ELECTRON_MASS = 5.48579909065e-4  # amu


def calculator_of(folder: Path, family: str) -> TNEPCalculator:
    """Return the calculator of a family's models in a folder of the study."""
    if family == "TNEP":
        return TNEPCalculator(
            dipole=folder / "dipole" / "model.pt", susceptibility=folder / "polarizability" / "model.pt"
        )
    return TNEPCalculator(**{family: folder / family / "model.pt"})


def trained(folder: Path, family: str) -> bool:
    """Return whether all models of a family exist."""
    return all((folder / kind / "results.json").exists() for kind in FAMILIES[family])


def as_atoms(structure: LabelledStructure) -> Atoms:
    """Return a labelled structure as ASE atoms."""
    return Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=structure.pbc)


def compare(calculator, structures, material: Material) -> dict[str, np.ndarray]:
    """Return all components of all structures by quantity, shape (3, n): of DFPT, the models and the ideal crystal.

    P is in e/a0^2, on the branch of DFPT that is nearest to the model; Z* is in e and fulfils the sum rule.  The ideal
    crystal is that of DFPT.
    """
    dft, upper = reference(material), np.triu_indices(3)
    pairs: dict[str, list] = {name: [] for name in QUANTITIES}
    for s in structures:
        atoms = as_atoms(s)
        dipole = np.asarray(calculator.get_property("dipole", atoms))
        branch = s.dipole + quanta_in(dipole - s.dipole, s.cell)
        pairs["P"].append(np.array([branch, dipole, np.zeros(3)]) / s.volume * BOHR**2)
        born = s.born_charges - s.born_charges.mean(axis=0)
        found = calculator.get_property("born_effective_charges", atoms)
        signs = np.array([1 if symbol == material.species[0] else -1 for symbol in s.symbols])
        perfect = signs[:, None, None] * dft["Z*"] * np.eye(3)
        pairs["Z*"].append([born.ravel(), np.ravel(found), perfect.ravel()])
        eps = np.eye(3) + s.polarizability / (EPSILON_0 * s.volume)
        found = calculator.get_property("dielectric_tensor", atoms)
        pairs["eps_inf"].append([eps[upper], found[upper], (dft["eps_inf"] * np.eye(3))[upper]])
    return {name: np.concatenate(values, axis=1) for name, values in pairs.items()}


def mean_errors(pair: np.ndarray) -> tuple[float, float]:
    """Return mean absolute and root mean square difference of the first two rows."""
    e = pair[1] - pair[0]
    return float(np.abs(e).mean()), float(np.sqrt((e**2).mean()))


def ideal(material: Material) -> Atoms:
    """Return the ideal two-atom cell."""
    return bulk(material.formula, "zincblende", a=material.lattice)


def raman_tensor(element: float) -> np.ndarray:
    """Return d eps / d u of the two atoms of zinc blende, [atom, displacement, i, j], from d eps_yz / d u_x."""
    tensor = np.zeros((3, 3, 3))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        tensor[i, j, k] = tensor[i, k, j] = element
    return np.array([tensor, -tensor])


def equilibrium(calculator, material: Material) -> dict[str, float]:
    """Return the numbers of the ideal two-atom cell.

    Returns
    -------
    dict
        ``Z*`` (e), ``eps_inf``, ``raman`` (d eps_yz / d u_x in 1/Å), ``LO`` (cm^-1, with the TO mode of DFT), and
        ``raman MAE``, ``raman RMSE``: errors of all components of d eps / d u.
    """
    atoms = ideal(material)
    born = calculator.get_property("born_effective_charges", atoms)[0]
    eps = calculator.get_property("dielectric_tensor", atoms)
    raman = calculator.get_property("polarizability_gradient", atoms) / (EPSILON_0 * atoms.get_volume())
    mae, rmse = mean_errors(np.array([raman_tensor(material.raman).ravel(), raman.ravel()]))
    found = {
        "Z*": float(np.trace(born) / 3),
        "eps_inf": float(np.trace(eps) / 3),
        "raman": float(np.mean([raman[0, 0, 1, 2], raman[0, 1, 0, 2], raman[0, 2, 0, 1]])),
        "raman MAE": mae,
        "raman RMSE": rmse,
    }
    return found | {"LO": longitudinal(material, found["Z*"], found["eps_inf"])}


def gradients(calculator, structures, material: Material) -> np.ndarray:
    """Return all components of d eps_inf/du in 1/Å, shape (2, n): of DFT and the models.

    DFT has them for few structures of the data.  Those that are not among the given ones are left out.
    """
    pairs = []
    for s in read_dataset(material.derivatives) if material.derivatives and material.derivatives.exists() else []:
        if any(s.positions.shape == t.positions.shape and np.allclose(s.positions, t.positions) for t in structures):
            factor = EPSILON_0 * s.volume
            found = calculator.get_property("polarizability_gradient", as_atoms(s))
            pairs.append(np.array([s.polarizability_gradient.ravel(), found.ravel()]) / factor)
    return np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0))


def reference(material: Material) -> dict[str, float]:
    """Return Z*, eps_inf, d eps_yz / d u_x and LO from DFPT of the ideal crystal with the settings of the data."""
    first = read_dataset(material.file)[0]
    born = first.born_charges - first.born_charges.mean(axis=0)
    charge = float(np.trace(born[0]) / 3)
    eps = 1 + float(np.trace(first.polarizability)) / (3 * EPSILON_0 * first.volume)
    return {"Z*": charge, "eps_inf": eps, "raman": material.raman, "LO": longitudinal(material, charge, eps)}


def inverse_mass(material: Material) -> float:
    """Return ``1/m_1 + 1/m_2`` in 1/amu."""
    return sum(1 / atomic_masses[atomic_numbers[s]] for s in material.species)


def longitudinal(material: Material, charge: float, eps: float, to: float | None = None) -> float:
    """Return the LO wavenumber from Born charge, eps_inf and the TO mode (by default that of DFT).

    Eq. 7 of the paper, exact for two atoms in the cell: ``w_LO^2 = w_TO^2 + 4 pi k Z^2 (1/m_1 + 1/m_2) / (V eps)``.
    """
    volume = material.lattice**3 / 4
    added = 4 * np.pi * COULOMB * charge**2 * inverse_mass(material) / (volume * eps) * SQRT_EV_PER_A2_AMU_TO_INV_CM**2
    return float(np.sqrt((material.to if to is None else to) ** 2 + added))


def transverse(calculator, material: Material, step: float = 0.01) -> float:
    """Return the TO wavenumber of a model with forces at the lattice constant of DFT."""
    atoms = ideal(material)
    forces = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        forces.append(calculator.get_forces(moved)[0, 0])
    constant = -(forces[0] - forces[1]) / (2 * step)
    return float(np.sqrt(constant * inverse_mass(material)) * SQRT_EV_PER_A2_AMU_TO_INV_CM)


def raman_spectrum(material: Material, values: dict[str, float], width: float, w: np.ndarray) -> np.ndarray:
    """Return the unpolarised Raman spectrum of eqs 8 to 10 of the paper: two TO modes and one LO mode.

    The tensor of a mode has one element, ``alpha_yz = sqrt(V) d chi_yz/dQ`` in atomic units; without an electro-optic
    term it is the same for the LO mode.

    Parameters
    ----------
    material : Material
    values : dict
        ``raman`` and ``LO`` of :func:`equilibrium` or :func:`reference`.
    width : float, in cm^-1
        Half width of the lines.
    w : ndarray, in cm^-1
    """
    volume = material.lattice**3 / 4 / BOHR**3
    slope = np.sqrt(volume) * values["raman"] * BOHR / (4 * np.pi)
    element = slope * np.sqrt(inverse_mass(material) * ELECTRON_MASS)
    g2 = 0.5 * (2 * element) ** 2
    spectrum = np.zeros_like(w)
    for position, count in ((material.to, 2), (values["LO"], 1)):
        bose = 1 / np.expm1(position / (0.6950348 * TEMPERATURE))
        factor = (position - LASER) ** 4 / (2 * position * LIGHT**4) * (bose + 1)
        spectrum += count * 2 * np.pi * factor * width / ((w - position) ** 2 + width**2) * (4 * g2 + 3 * g2)
    return spectrum


def seconds_of(calculator, atoms: Atoms, names=PROPERTIES, repeats: int = 10) -> float:
    """Return the CPU seconds of one evaluation of new positions, the smallest of several."""
    best = np.inf
    for _ in range(repeats):
        atoms = atoms.copy()
        atoms.positions += 1e-6
        start = time.process_time()
        for name in names:
            calculator.get_property(name, atoms)
        best = min(best, time.process_time() - start)
    return best
