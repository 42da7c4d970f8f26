"""Structures and evaluation of the examples in fields, on simple calculators; training their models takes too long."""

import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import Calculator
from ase.neighborlist import neighbor_list

from helpers.paths import EXAMPLES
from tnep_calc.io.series.mode_series import ModeSeries
from tnep_calc.io.series.timeseries import Sampled, TimeSeries
from tnep_calc.spectra.dielectric import fluctuation_factor
from tnep_calc.training.enthalpy.config import load_enthalpy_config
from tnep_calc.units import BOLTZMANN, EPSILON_0, INV_CM_TO_RAD_PER_FS, SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS

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


TIME_STEP = 1.0  # fs, of the runs of quartz
TO, LO = np.array([400.0, 400.0, 700.0]), {"x, y": 400.0 * 1.5**0.5, "z": 700.0 * 1.5**0.5}
"""Two polar modes along x and y, one along z, with eps_inf 2 and static 3: the LO frequency is that of eps(w) = 0."""


def modes_of_dfpt(sets):
    """Return a `phonons.json` of alpha-quartz with all wavenumbers 1 cm^-1 above those of DFPT."""
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
    return {"modes": modes, "infrared": {"intensity_D2/A2/amu": strengths}}


def of_verlet(wavenumber):
    """Return the wavenumber of the Verlet algorithm, to third order in the time step."""
    return wavenumber * (1 + (wavenumber * INV_CM_TO_RAD_PER_FS * TIME_STEP) ** 2 / 24)


def polar_modes():
    """Return a `phonons.json` of the polar modes of `TO`, and one without strength."""
    return {
        "modes": {"wavenumbers_cm-1": [*TO[:2], 500.0, TO[2]]},
        "infrared": {"mode_charges_e_per_sqrt_amu": [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]},
        "lo_to": [
            {"q": [1, 0, 0], "wavenumbers_cm-1": [TO[0], LO["x, y"]], "longitudinal": [0.0, 1.0]},
            {"q": [0, 0, 2], "wavenumbers_cm-1": [TO[0], LO["z"]], "longitudinal": [0.0, 1.0]},
        ],
    }


def harmonic_run(wavenumbers, sets, labels, charges, energies, temperature, volume, samples=12_000):
    """Return a series of undamped modes at the wavenumbers of the Verlet algorithm, with energies in k_B T."""
    dt = 2 * TIME_STEP
    omega = of_verlet(np.asarray(wavenumbers)) * INV_CM_TO_RAD_PER_FS
    angle = np.outer(dt * np.arange(samples), omega) + np.arange(len(omega)) ** 2
    amplitude = np.sqrt(2 * BOLTZMANN * temperature * np.asarray(energies)) * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS
    coordinates, velocities = amplitude / omega * np.cos(angle), -amplitude * np.sin(angle)
    modes = ModeSeries(
        coordinates, np.asarray(wavenumbers), sets, labels, dt, velocities=velocities, charges=np.asarray(charges)
    )
    return TimeSeries(Sampled(coordinates @ modes.charges, dt), None, temperature, volume, modes=modes)


def test_quartz_modes_of_dfpt(monkeypatch):
    """alpha-quartz has 4 A1, 4 A2 and 8 E optical modes (Scott and Porto, Phys. Rev. 161, 903 (1967))."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "sio2_field"))
    example = load("sio2_field", "modes")
    sets = example.dfpt_sets()
    assert {name: len(found) for name, found in sets.items()} == {"A1": 4, "A2": 4, "E": 8}
    assert sum(s for found in sets.values() for _, s in found) == pytest.approx(load("sio2_field").DFPT[:, 1].sum())
    rows = example.paired(modes_of_dfpt(sets))
    assert len(rows) == 16
    for _, w, reference, s, strength in rows:
        assert w - reference == pytest.approx(1.0) and s == pytest.approx(strength)


def test_quartz_peaks_beside_the_modes(monkeypatch):
    """A run in which no mode has k_B T gives the right peaks only with equal energies."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "sio2_field"))
    example = load("sio2_field", "dielectric")
    volume, temperature = 100.0, 300.0
    strength = BOLTZMANN * temperature * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2 * fluctuation_factor(volume, temperature)
    charges = np.diag(of_verlet(TO) * INV_CM_TO_RAD_PER_FS / np.sqrt(strength))
    sets, energies = ((0, 1), (2,)), [0.9, 0.7, 1.2]
    series = harmonic_run(TO, sets, ("E", "A2"), charges, energies, temperature, volume)
    expected = example.expected_peaks(polar_modes())
    assert [key[:2] for key in expected] == [("x, y", "TO"), ("x, y", "LO"), ("z", "TO"), ("z", "LO")]
    exact = np.array([*expected.values(), 3.0])
    found = {equal: example.with_errors(series, equal, 2 * np.eye(3), 8.0, expected) for equal in (False, True)}
    np.testing.assert_allclose(found[True][0][:-1], exact[:-1], atol=0.5)
    assert found[True][0][-1] == pytest.approx(3.0, abs=0.01)
    assert np.all(found[True][1][[0, 2, 4]] < [0.5, 0.5, 0.01])  # LO peaks without damping are narrower than the grid
    changed = found[False][0] - exact
    assert changed[1] < -10 and changed[3] > 20 and np.all(np.abs(changed[[0, 2]]) < 0.5)
    lines = example.table(expected, {"plain": found[False], "equal": found[True]})
    assert len(lines) == 5 and lines[4].split()[:3] == ["z", "LO", f"{LO['z']:.1f}"]


def test_quartz_thermal_shifts(monkeypatch):
    """Shifts are proportional to the temperature, so that the prediction from the colder run is exact."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "sio2_field"))
    example, modes = load("sio2_field", "thermal"), load("sio2_field", "modes")
    monkeypatch.setattr(sys.modules["dielectric"], "BLOCKS", 2)
    data = modes_of_dfpt(modes.dfpt_sets())
    stored = data["modes"]
    optical = np.array(stored["wavenumbers_cm-1"])[1:]
    sets = tuple(tuple(m - 1 for m in group) for group in stored["degenerate_sets"][1:])
    labels = tuple(f"{irrep}_{k}" for k, irrep in enumerate(stored["irreps"][1:]))
    slope = -0.03 * np.sin(optical / 100.0)  # cm^-1/K
    runs = []
    for temperature in (100.0, 250.0):
        moved = optical + slope * temperature
        own = harmonic_run(moved, sets, labels, np.zeros((24, 3)), np.ones(24), temperature, 100.0)
        runs.append(replace(own, modes=replace(own.modes, wavenumbers=optical)))
    rows = example.rows_of(data, runs)
    assert len(rows) == 16 and sum(row.active for row in rows) == 11
    for row in rows:
        assert row.harmonic - row.dfpt == pytest.approx(1.0)
        for temperature, (shift, _) in zip((100.0, 250.0), row.shifts, strict=True):
            assert shift == pytest.approx(-0.03 * np.sin(row.harmonic / 100.0) * temperature, abs=0.2)
    lines = example.table(rows, [100.0, 250.0])
    # the prediction is from DFPT, so that the error of the model remains
    assert len(lines) == 17 and all(float(line.split()[-3]) == pytest.approx(1.0, abs=0.7) for line in lines[1:])
