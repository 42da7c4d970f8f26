"""Projection of a run on the modes of tnep phonons: mode coordinates, and spectrum, shift and lifetime of every mode."""

import json

import numpy as np
import pytest
from ase import units
from ase.io import write

from helpers.langevin import Langevin
from helpers.polar_crystal import PolarCrystal, wurtzite
from helpers.random_nep import random_nep
from tnep_calc import write_nep
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series.mode_series import ModeSeries
from tnep_calc.io.series.spectrum_store import load_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries

pytest.importorskip("phonopy")
from tnep_calc.phonons.analysis import Conditions, analyse
from tnep_calc.phonons.projection import mode_projection
from tnep_calc.phonons.results import numbers, write_numbers
from tnep_calc.phonons.workflow import Settings, run_phonons
from tnep_calc.units import BOLTZMANN, EPSILON_0, INV_CM_TO_RAD_PER_FS, SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS

pytestmark = pytest.mark.slow

TEMPERATURE, STEP, SHIFT, WIDTH = 300.0, 2.0, 6.0, 15.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the phonons of wurtzite."""
    path = tmp_path_factory.mktemp("phonons")
    result = run_phonons(wurtzite(), PolarCrystal(), path, Settings(length=6), log=lambda line: None)
    conditions = Conditions(bands=False)
    write_numbers(path / "phonons.json", numbers(result, analyse(result, conditions), conditions, {}))
    return path


def primitive(folder):
    from tnep_calc.phonons.stored import read_modes

    return read_modes(folder).primitive


@pytest.fixture(scope="module")
def run(folder):
    """Return a supercell, its projection, and coordinates and velocities of damped, shifted oscillators at 300 K."""
    atoms = primitive(folder).repeat((2, 2, 1))
    projection = mode_projection(folder, atoms)
    rng = np.random.default_rng(5)
    kt = BOLTZMANN * TEMPERATURE * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2  # amu (Å/fs)^2
    coordinates, velocities = np.zeros((2, 40_000, len(projection.wavenumbers)))
    for group in projection.sets:
        for mode in group:
            oscillator = Langevin(projection.wavenumbers[mode] + SHIFT, WIDTH)
            scale = np.sqrt(kt) / oscillator.w0
            motion, rate = oscillator.run(40_000, STEP, 1, rng)
            coordinates[:, mode], velocities[:, mode] = scale * motion[:, 0], scale * rate[:, 0]
    return atoms, projection, coordinates, velocities


def test_coordinates_of_frames(run, folder):
    """The frames are wrapped, strained, moved as a whole and in another order of atoms."""
    atoms, projection, coordinates, velocities = run
    masses = np.sqrt(projection.masses)[:, None]
    for k in (0, 7, 11):
        frame = atoms.copy()
        frame.positions += np.einsum("m,mja->ja", coordinates[k], projection.eigenvectors) / masses
        moving = np.einsum("m,mja->ja", velocities[k], projection.eigenvectors) / masses
        frame.positions += [0.01, -0.02, 0.005]
        frame.wrap()
        np.testing.assert_allclose(projection.coordinates(frame.positions, frame.cell.array), coordinates[k], atol=1e-9)
        np.testing.assert_allclose(projection.rates(moving + [0.01, 0, 0.02]), velocities[k], atol=1e-9)
        order = np.random.default_rng(k).permutation(len(frame))
        other = mode_projection(folder, frame[order])
        found = other.coordinates(frame.positions[order], frame.cell.array)
        np.testing.assert_allclose(found, coordinates[k], atol=1e-9)
    # the dipole of the model to first order, with sqrt(cells) times the mode charges of the primitive cell
    small = 1e-4 * coordinates[3]
    frame, calculator = atoms.copy(), PolarCrystal()
    rest = calculator.get_property("dipole", frame).copy(), calculator.get_property("polarizability", frame).copy()
    frame.positions += np.einsum("m,mja->ja", small, projection.eigenvectors) / masses
    change = calculator.get_property("dipole", frame) - rest[0]
    np.testing.assert_allclose(change, small @ projection.charges, atol=3e-3 * np.abs(change).max())
    change = calculator.get_property("polarizability", frame) - rest[1]
    expected = np.einsum("m,mij->ij", small, projection.raman)
    np.testing.assert_allclose(change, expected, atol=3e-3 * np.abs(change).max())


@pytest.fixture(scope="module")
def series(run, tmp_path_factory):
    """Write a series in two pieces, whose dipole and polarizability are linear in the coordinates, and a quadratic term."""
    atoms, projection, coordinates, velocities = run
    path = tmp_path_factory.mktemp("series") / "run.h5"
    starts = (0, 15_000)
    quadratic = 0.05 * (coordinates[:, :3] ** 2 - np.mean(coordinates[:, :3] ** 2, axis=0))
    dipole = coordinates @ projection.charges + quadratic
    alpha = np.einsum("tm,mij->tij", coordinates, projection.raman) + 0.2 * np.eye(3) * quadratic[:, :1, None]
    modes = ModeSeries(
        coordinates,
        projection.wavenumbers,
        projection.sets,
        projection.labels,
        STEP,
        starts,
        velocities,
        projection.charges,
        projection.raman,
        projection.source,
    )
    found = TimeSeries(
        Sampled(dipole, STEP, starts),
        Sampled(alpha, STEP, starts),
        TEMPERATURE,
        atoms.get_volume(),
        atoms.cell.array,
        current=Sampled(velocities @ projection.charges, STEP, starts),
        modes=modes,
    )
    write_timeseries(path, found)
    return path


def check_modes(found, projection):
    for label, group in zip(projection.labels, projection.sets, strict=True):
        mode = found.parameters["modes"][label]
        assert mode["harmonic"] == pytest.approx(projection.wavenumbers[group[0]], abs=0.02)
        error = max(mode["frequency_error"], 0.8)  # sqrt(width / duration) is 1 cm^-1
        assert abs(mode["shift"] - SHIFT) < 4 * error
        assert abs(mode["width"] - WIDTH) < 4 * max(mode["width_error"], 1.6)
        assert mode["lifetime"] == pytest.approx(5308.837 / mode["width"] / 1000, rel=1e-4)


@pytest.mark.parametrize("route", ["dipole", "current"])
def test_infrared_modes(series, run, tmp_path, capsys, route):
    projection = run[1]
    table = tmp_path / "modes.h5"
    command = ["ir", str(series), "-o", str(tmp_path / "ir.txt"), "--route", route, "--max", "2000"]
    assert main([*command, "--modes", str(table)]) == 0
    printed = capsys.readouterr().out
    assert "modes in the run" in printed and f"wrote {table}" in printed
    found, whole = load_spectrum(table), load_spectrum(tmp_path / "ir.txt")
    check_modes(found, projection)
    total = found.values["total"]
    np.testing.assert_allclose(total, whole.values["absorption"], rtol=1e-6, atol=1e-6 * total.max())
    parts = [f"part_{label}" for label in (*projection.labels, "rest")]
    np.testing.assert_allclose(sum(found.values[name] for name in parts), total, atol=1e-9 * total.max())
    shares = {label: mode["share"] for label, mode in found.parameters["modes"].items()}
    rest = 1 - sum(shares.values())
    assert (abs(rest) < 1e-9) if route == "current" else (0.0 < rest < 0.2)
    # only A1 and E1 of C6v have a dipole
    active = [k for k, group in enumerate(projection.sets) if np.abs(projection.charges[list(group)]).max() > 1e-6]
    silent = [projection.labels[k] for k in range(len(projection.sets)) if k not in active]
    assert len(active) == 2 and len(silent) > 2
    assert all(abs(shares[label]) < 0.02 for label in silent)


def test_raman_modes(series, run, tmp_path):
    projection, table = run[1], tmp_path / "modes.json"
    command = ["raman", str(series), "-o", str(tmp_path / "r.txt"), "--max", "2000", "--skip", "1"]
    assert main([*command, "--modes", str(table)]) == 0
    found, whole = load_spectrum(table), load_spectrum(tmp_path / "r.txt")
    check_modes(found, projection)
    total = found.values["total"]
    expected = whole.values["isotropic"] + 7 / 30 * whole.values["anisotropic"]
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6 * total.max())
    parts = [f"part_{label}" for label in (*projection.labels, "rest")]
    np.testing.assert_allclose(sum(found.values[name] for name in parts), total, atol=1e-9 * total.max())


def test_without_velocities(series, run, tmp_path):
    """The power spectra of the velocities follow from the coordinates."""
    read = read_timeseries(series)
    kept = {
        name: getattr(read.modes, name) for name in ("coordinates", "wavenumbers", "sets", "labels", "dt", "starts")
    }
    path = tmp_path / "run.h5"
    modes = ModeSeries(**kept, charges=read.modes.charges)
    write_timeseries(path, TimeSeries(read.dipole, None, TEMPERATURE, read.volume, current=read.current, modes=modes))
    command = ["ir", str(path), "-o", str(tmp_path / "ir.txt"), "--max", "2000", "--modes", str(tmp_path / "m.h5")]
    assert main(command) == 0
    check_modes(load_spectrum(tmp_path / "m.h5"), run[1])
    assert main([*command, "--force", "--route", "current"]) == 1
    assert main(["dielectric", str(path), "-o", str(tmp_path / "e.txt"), "--equal-energies"]) == 1


@pytest.mark.parametrize("route", ["dipole", "current"])
def test_equal_energies(series, run, tmp_path, capsys, route):
    """The static constant is that of modes with k_B T each, and of the quadratic term of the dipole, which stays."""
    atoms, projection, coordinates, _ = run
    table = tmp_path / "eps.h5"
    command = ["dielectric", str(series), "-o", str(table), "--route", route, "--blocks", "0", "--equal-energies"]
    assert main([*command, "--max", "2000"]) == 0
    assert "energies of the polar modes in the run" in capsys.readouterr().out
    found = load_spectrum(table)
    assert set(found.parameters["scaled_energies_kT"]) == set(projection.labels)
    w = (projection.wavenumbers + SHIFT) * INV_CM_TO_RAD_PER_FS
    strengths = (projection.charges**2).sum(axis=1) / w**2 * SQRT_EV_PER_A2_AMU_TO_RAD_PER_FS**2
    if route == "dipole":
        quadratic = 0.05 * coordinates[:, :3] ** 2
        strengths = np.append(strengths, quadratic.var(axis=0) / (BOLTZMANN * TEMPERATURE))
    expected = strengths.sum() / (3 * EPSILON_0 * atoms.get_volume())
    assert found.values["eps_real"][0] - 1 == pytest.approx(expected, rel=0.02)


def test_the_commands_from_a_trajectory(folder, tmp_path, capsys):
    atoms = primitive(folder).repeat((2, 1, 1))
    model = tmp_path / "dipole.txt"
    write_nep(model, random_nep("dipole", species=("Zn", "O"), seed=0))
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(40):
        frame = atoms.copy()
        frame.positions += 0.05 * rng.normal(size=(len(atoms), 3))
        frame.set_velocities(0.01 * rng.normal(size=(len(atoms), 3)) / units.fs)
        frames.append(frame)
    write(tmp_path / "md.extxyz", frames)
    output = tmp_path / "run.h5"
    command = ["series", str(tmp_path / "md.extxyz"), "-o", str(output), "--dipole-model", str(model)]
    command += ["--interval", "1fs", "--temperature", "300", "--phonons", str(folder)]
    assert main(command) == 0
    assert "normal coordinates of 9 modes" in capsys.readouterr().out
    found = read_timeseries(output).modes
    projection = mode_projection(folder, frames[0])
    masses = projection.masses[:, None]
    u = frames[9].positions - atoms.positions
    expected = np.einsum("mja,ja->m", projection.eigenvectors, np.sqrt(masses) * u)
    np.testing.assert_allclose(found.coordinates[9], expected, atol=1e-6)
    expected = np.einsum("mja,ja->m", projection.eigenvectors, frames[9].get_momenta() / np.sqrt(masses) * units.fs)
    np.testing.assert_allclose(found.velocities[9], expected, atol=1e-6)
    assert main(["series", str(model), "-o", str(output), "--phonons", str(folder)]) == 1


def test_mistakes(series, folder, run, tmp_path, capsys):
    read = read_timeseries(series)
    bare = tmp_path / "bare.h5"
    write_timeseries(bare, TimeSeries(read.dipole, None, TEMPERATURE, read.volume))
    assert main(["ir", str(bare), "-o", str(tmp_path / "i.txt"), "--modes", str(tmp_path / "m.txt")]) == 1
    assert "tnep series --phonons DIR" in capsys.readouterr().err
    assert main(["dielectric", str(bare), "-o", str(tmp_path / "e.txt"), "--equal-energies"]) == 1
    assert "tnep series --phonons DIR" in capsys.readouterr().err
    heavy = run[0].copy()
    heavy.set_masses(heavy.get_masses() * 1.1)
    with pytest.raises(InputError, match="with the masses of the run"):
        mode_projection(folder, heavy)
    with pytest.raises(DataFileError):
        mode_projection(folder, wurtzite(a=4.4))
    data = json.loads((folder / "phonons.json").read_text())
    del data["infrared"]
    (tmp_path / "phonons.json").write_text(json.dumps(data))
    assert mode_projection(tmp_path, run[0]).charges is None
    with pytest.raises(InputError, match="must have shape"):
        ModeSeries(np.zeros((4, 2)), np.zeros(3), ((0, 1, 2),), ("a",), 1.0)
    with pytest.raises(InputError, match="one degenerate set"):
        ModeSeries(np.zeros((4, 3)), np.zeros(3), ((0, 1),), ("a",), 1.0)
