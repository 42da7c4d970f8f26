"""Structures and evaluation of the examples in fields, on simple calculators; training their models takes too long."""

import importlib.util

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list

from helpers.paths import EXAMPLES
from tnep_calc.spectra import Spectrum
from tnep_calc.training.enthalpy.config import load_enthalpy_config
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow


def load(name, script="run"):
    spec = importlib.util.spec_from_file_location(f"example_{name}_{script}", EXAMPLES / name / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Springs(Calculator):
    """Charges on springs in a field: every atom is held at its site with stiffness k, and alpha is constant."""

    implemented_properties = ("energy", "forces", "dipole")
    efield = None

    def __init__(self, sites, charges, k, alpha):
        super().__init__()
        self.sites, self.charges, self.k, self.alpha = sites, charges[:, None], k, alpha

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        field = np.zeros(3) if self.efield is None else self.efield
        u = self.atoms.positions - self.sites
        dipole = (self.charges * u).sum(0)
        self.results = {
            "energy": 0.5 * self.k * (u**2).sum() - field @ dipole - 0.5 * self.alpha * field @ field,
            "forces": self.charges * field - self.k * u,
            "dipole": dipole + self.alpha * field,
        }

    def get_property(self, name, atoms=None, allow_calculation=True):
        self.reset()  # the field may have changed
        return super().get_property(name, atoms, allow_calculation)


def test_quartz():
    example = load("sio2_field")
    atoms = example.orthorhombic(example.quartz())
    assert atoms.get_chemical_formula() == "O48Si24" and atoms.cell.orthorhombic
    assert atoms.get_volume() == pytest.approx(943.339, abs=0.001)
    origin, distances = neighbor_list("id", atoms, 1.8)
    silicon = atoms.numbers == 14
    np.testing.assert_array_equal(np.bincount(origin), np.where(silicon, 4, 2))
    assert np.ptp(distances) < 0.02 and distances.mean() == pytest.approx(1.63, abs=0.01)


def test_dielectric_constants_of_charges_on_springs():
    example = load("sio2_field")
    atoms = example.quartz()
    charges = np.where(atoms.numbers == 14, 2.0, -1.0)
    k, alpha, strength = 20.0, 0.9, 0.01
    found = example.dielectric(atoms, Springs(atoms.positions.copy(), charges, k, alpha), strength)
    stiff = (charges**2).sum() / k
    for eps, gain in found.values():
        assert eps[0] == pytest.approx(1 + alpha / (EPSILON_0 * atoms.get_volume()), abs=1e-6)
        assert eps[-1] == pytest.approx(1 + (alpha + stiff) / (EPSILON_0 * atoms.get_volume()), abs=0.01)
        assert gain == pytest.approx(-1e3 * 0.5 * stiff * strength**2, rel=0.01)


def test_broadening_conserves_the_strength():
    example = load("sio2_field")
    grid = np.arange(-500.0, 2000.0)
    assert example.broadened(grid, *example.DFPT.T).sum() == pytest.approx(example.DFPT[:, 1].sum(), rel=1e-6)


def test_barium_titanate():
    atoms = load("batio3_cycle").barium_titanate()
    assert atoms.get_chemical_formula() == "Ba27O81Ti27"
    origin, neighbor = neighbor_list("ij", atoms, 2.7)
    numbers = atoms.numbers
    titanium = numbers[origin] == 22
    np.testing.assert_array_equal(np.bincount(origin[titanium], minlength=len(atoms))[numbers == 22], 6)
    assert (numbers[neighbor[titanium]] == 8).all()


def test_coercive_fields_of_a_loop():
    example = load("batio3_cycle")
    t = np.linspace(0, 1, 2001)
    field = 30 * np.cos(2 * np.pi * t)
    falling = t < 0.5
    polarization = np.tanh((field + np.where(falling, 12.0, -9.0)) / 2)
    assert example.crossings(field, polarization) == pytest.approx([-12.0, 9.0], abs=0.01)
    assert example.crossings(field, np.ones_like(field)) == []


@pytest.mark.parametrize("path", ["sio2_field/quartz.toml", "batio3_cycle/batio3.toml"])
def test_configurations_are_read(path):
    config = load_enthalpy_config(EXAMPLES / path)
    assert config.data.test_fraction == 0.2 and config.model.cutoff == 7.0


def test_quartz_modes_of_dfpt(monkeypatch):
    """alpha-quartz has 4 A1, 4 A2 and 8 E optical modes (Scott and Porto, Phys. Rev. 161, 903 (1967))."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "sio2_field"))
    example = load("sio2_field", "modes")
    sets = example.dfpt_sets()
    assert {name: len(found) for name, found in sets.items()} == {"A1": 4, "A2": 4, "E": 8}
    assert sum(s for found in sets.values() for _, s in found) == pytest.approx(load("sio2_field").DFPT[:, 1].sum())
    modes = {"wavenumbers_cm-1": [0.0], "irreps": ["A2"], "degenerate_sets": [[0]], "acoustic": [True]}
    strengths, k = [0.0], 1
    for name, found in sets.items():
        for w, s in found:
            size = 2 if name == "E" else 1
            modes["irreps"].append(name)
            modes["degenerate_sets"].append(list(range(k, k + size)))
            modes["wavenumbers_cm-1"] += [w + 1.0] * size
            strengths += [s / size] * size
            modes["acoustic"] += [False] * size
            k += size
    rows = example.paired({"modes": modes, "infrared": {"intensity_D2/A2/amu": strengths}})
    assert len(rows) == 16
    for _, w, reference, s, strength in rows:
        assert w - reference == pytest.approx(1.0) and s == pytest.approx(strength)


def test_quartz_peaks_beside_the_modes(monkeypatch):
    """One polar mode along x and y, and one along z, with eps_inf 2: the LO frequency is that of eps(w) = 0."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "sio2_field"))
    example = load("sio2_field", "dielectric")
    w = np.arange(0.0, 1200.0, 0.5)
    columns = {}
    for name, position in (("xx", 400.0), ("yy", 400.0), ("zz", 700.0)):
        eps = 2 + position**2 / (position**2 - w**2 - 4j * w)  # static 3, so that w_LO^2 = 1.5 w_TO^2
        columns |= {f"eps_real_{name}": eps.real, f"eps_imag_{name}": eps.imag}
    spectrum = Spectrum("dielectric", w, columns, dict.fromkeys(columns, "1"))
    modes = {"wavenumbers_cm-1": [399.0, 399.0, 500.0, 700.0]}
    charges = {"mode_charges_e_per_sqrt_amu": [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]}
    splitting = [
        {"q": [1, 0, 0], "wavenumbers_cm-1": [399.0, 400 * 1.5**0.5], "longitudinal": [0.0, 1.0]},
        {"q": [0, 0, 2], "wavenumbers_cm-1": [399.0, 700 * 1.5**0.5 + 3], "longitudinal": [0.0, 1.0]},
    ]
    lines = example.table(spectrum, {"modes": modes, "infrared": charges, "lo_to": splitting})
    found = [(line[:6].strip(), line[6:12].strip(), float(line.split()[-3])) for line in lines[1:]]
    assert [row[:2] for row in found] == [("x, y", "TO"), ("x, y", "LO"), ("z", "TO"), ("z", "LO")]
    np.testing.assert_allclose([row[2] for row in found], [1.0, 0.0, 0.0, -3.0], atol=0.2)
