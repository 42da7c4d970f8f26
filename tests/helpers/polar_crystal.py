"""A polar crystal in closed form: pair potential, bond dipoles and bond polarizabilities, with analytic derivatives."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress

from tnep_calc.units import EPSILON_0

CUTOFF = 4.2
SKIN = 0.2  # Å, by which two atoms may approach before the pairs are searched again
BOND = 1.95  # Å, nearest neighbours of unlike atoms


def zincblende(a=4.5, symbols="ZnO"):
    positions = np.array([[0, 0, 0], [0.25, 0.25, 0.25]])
    cell = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)


def wurtzite(a=3.18, c=5.2, u=0.376):
    cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    positions = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]]
    return Atoms("ZnZnOO", scaled_positions=positions, cell=cell, pbc=True)


class PolarCrystal(Calculator):
    """E = sum of springs phi(r); dipole = sum q(r) r; alpha = sum a(r) 1 + b(r) (rr - 1/3), over pairs of a smooth range."""

    implemented_properties = [
        "energy",
        "forces",
        "stress",
        "dipole",
        "polarization",
        "born_effective_charges",
        "polarizability",
        "dielectric_tensor",
        "polarizability_gradient",
    ]

    def __init__(self, without=(), charge=1.2, hyper=None):
        super().__init__()
        self.implemented_properties = [x for x in self.implemented_properties if x not in without]
        self.charge, self.calls = charge, 0
        if hyper is not None:
            self.implemented_properties.append("hyperpolarizability")
        self.hyper = hyper
        self.searched = None

    def pairs(self, atoms):
        """Return i, j, distance (Å) and vector (Å) of all ordered pairs of the range."""
        state = (atoms.numbers.tobytes(), atoms.cell.tobytes(), atoms.pbc.tobytes())
        if (
            self.searched is None
            or self.searched[0] != state
            or np.abs(atoms.positions - self.searched[1]).max() > SKIN / 4
        ):
            i, j, images = neighbor_list("ijS", atoms, CUTOFF + SKIN)
            self.searched = state, atoms.positions.copy(), i, j, images @ atoms.cell.array
        _, _, i, j, shift = self.searched
        v = atoms.positions[j] - atoms.positions[i] + shift
        r = np.sqrt((v**2).sum(axis=1))
        near = r < CUTOFF
        return i[near], j[near], r[near], v[near]

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        atoms = self.atoms
        n = len(atoms)
        i, j, r, v = self.pairs(atoms)
        unlike = atoms.numbers[i] != atoms.numbers[j]
        # smooth end of all pair functions
        s, ds = (1 - (r / CUTOFF) ** 2) ** 3, -6 * r / CUTOFF**2 * (1 - (r / CUTOFF) ** 2) ** 2
        k0, r0 = np.where(unlike, 9.0, 2.5), np.where(unlike, BOND, 3.25)
        phi = 0.5 * k0 * (r - r0) ** 2 * s
        dphi = k0 * (r - r0) * s + 0.5 * k0 * (r - r0) ** 2 * ds
        unit = v / r[:, None]
        pair = 0.5 * dphi[:, None] * unit  # half, as the list has every pair twice
        forces = np.zeros((n, 3))
        np.add.at(forces, i, pair)
        np.add.at(forces, j, -pair)
        self.results = {"energy": 0.5 * phi.sum(), "free_energy": 0.5 * phi.sum(), "forces": forces}
        if atoms.pbc.all():
            virial = -np.einsum("ka,kb->ab", v, pair)
            self.results["stress"] = full_3x3_to_voigt_6_stress(-0.5 * (virial + virial.T) / atoms.get_volume())
        # bond dipoles, from the lighter to the heavier atom of a bond
        sign = np.sign(atoms.numbers[i] - atoms.numbers[j]) * -1.0
        q = 0.5 * sign * self.charge * s
        dq = 0.5 * sign * self.charge * ds
        self.results["dipole"] = (q[:, None] * v).sum(0)
        dp = q[:, None, None] * np.eye(3) + np.einsum("k,ka,kb->kab", dq, v, unit)  # d p_a / d v_b
        born = np.zeros((n, 3, 3))
        np.add.at(born, j, dp)
        np.add.at(born, i, -dp)
        self.results["born_effective_charges"] = born
        a, da = 0.030 * s, 0.030 * ds
        b, db = 0.045 * s, 0.045 * ds
        t = np.einsum("ka,kb->kab", unit, unit) - np.eye(3) / 3
        self.results["polarizability"] = np.einsum("k,ab->ab", a, np.eye(3)) + np.einsum("k,kab->ab", b, t)
        if "polarizability_gradient" in properties:
            self.results["polarizability_gradient"] = self.gradient(n, i, j, r, unit, b, t, da, db)
        if atoms.pbc.all():
            volume = atoms.get_volume()
            self.results["polarization"] = self.results["dipole"] / volume
            self.results["dielectric_tensor"] = np.eye(3) + self.results["polarizability"] / (EPSILON_0 * volume)
        if self.hyper is not None:
            self.results["hyperpolarizability"] = np.asarray(self.hyper)

    @staticmethod
    def gradient(n, i, j, r, unit, b, t, da, db):
        """Return d alpha_ab / d u_kc with indices (k, c, a, b)."""
        across = (np.eye(3) - np.einsum("ka,kb->kab", unit, unit)) / r[:, None, None]  # d unit_a / d v_c
        dt = np.einsum("kac,kb->kcab", across, unit) + np.einsum("ka,kbc->kcab", unit, across)
        dalpha = np.einsum("kc,k,ab->kcab", unit, da, np.eye(3)) + np.einsum("kc,k,kab->kcab", unit, db, t)
        dalpha += b[:, None, None, None] * dt
        gradient = np.zeros((n, 3, 3, 3))
        np.add.at(gradient, j, dalpha)
        np.add.at(gradient, i, -dalpha)
        return gradient
