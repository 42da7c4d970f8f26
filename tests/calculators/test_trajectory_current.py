"""The current along a trajectory, the time derivative of the dipole, for each species; cells that change."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.io import write

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.calculators.trajectory import evaluate_trajectory
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.series.spectrum_store import load_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "dipole.txt"
    write_nep(path, random_nep("dipole", seed=0))
    return path


def moving(dt, n=3, strain=0.0):
    """Return frames of two atoms that move along straight lines, with velocities, optionally in a breathing cell."""
    rng = np.random.default_rng(1)
    velocity = 0.01 * rng.normal(size=(2, 3))  # Å/fs
    frames = []
    for k in range(n):
        atoms = bulk("BN", "zincblende", a=3.6)
        atoms.positions += velocity * dt * k
        atoms.set_cell(atoms.cell.array * (1 + strain * np.sin(k)), scale_atoms=True)
        atoms.set_velocities(velocity / units.fs)
        frames.append(atoms)
    return frames


def test_current_is_the_derivative_of_the_dipole(model):
    dt = 1e-2
    (series,) = evaluate_trajectory(moving(dt), TNEPCalculator(dipole=model), dt, 300.0, current=True)
    change = (series.dipole.values[2] - series.dipole.values[0]) / (2 * dt)
    np.testing.assert_allclose(series.current.values[1], change, atol=1e-6 * np.abs(change).max() + 1e-9)
    assert list(series.current_parts) == ["B", "N"]
    np.testing.assert_allclose(sum(series.current_parts.values()), series.current.values, atol=1e-14)
    frames = moving(dt)
    frames[1].arrays.pop("momenta")
    with pytest.raises(InputError, match="frame 1 has no velocities"):
        evaluate_trajectory(frames, TNEPCalculator(dipole=model), dt, current=True)


def test_constant_pressure_keeps_the_cells(model, tmp_path):
    (series,) = evaluate_trajectory(moving(1.0, 5, 0.01), TNEPCalculator(dipole=model), 1.0, 300.0)
    assert series.cell.shape == (5, 3, 3) and 0.01 < series.volume_spread < 0.05
    write_timeseries(tmp_path / "run.h5", series)
    read = read_timeseries(tmp_path / "run.h5")
    np.testing.assert_allclose(read.cell, series.cell)
    assert read.volume_spread == pytest.approx(series.volume_spread)


def test_commands_at_constant_pressure(tmp_path, capsys):
    rng = np.random.default_rng(2)
    n = 4000
    cells = 6 * np.eye(3) * (1 + 0.01 * np.sin(0.01 * np.arange(n)))[:, None, None]
    smooth = 0.02 * np.cos(0.2 * np.arange(n))[:, None] + 0.003 * np.cumsum(rng.normal(size=(n, 3)), axis=0)
    wrapped = np.einsum("ti,tij->tj", smooth - np.round(smooth), cells)
    path = tmp_path / "npt.h5"
    write_timeseries(path, TimeSeries(Sampled(wrapped, 1.0), None, 300.0, 216.0, cells, volume_spread=0.02))
    command = ["ir", str(path), "-o", str(tmp_path / "ir.txt"), "--unwrap", "--max", "2000", "--skip", "0.5"]
    assert main(command) == 0
    assert "constant pressure: the mean volume" in capsys.readouterr().out
    write_timeseries(path, TimeSeries(Sampled(wrapped, 1.0), None, 300.0, 216.0, cells, volume_spread=0.2), force=True)
    assert main([*command, "--force"]) == 1
    assert "changes by 20 %" in capsys.readouterr().err


def test_series_with_currents_and_parts(model, tmp_path, capsys):
    rng = np.random.default_rng(3)
    frames = moving(1.0, 12)
    for frame in frames:
        frame.set_velocities(frame.get_velocities() + 0.01 * rng.normal(size=(2, 3)))
    write(tmp_path / "md.extxyz", frames)
    run = tmp_path / "run.h5"
    command = ["series", str(tmp_path / "md.extxyz"), "-o", str(run), "--dipole-model", str(model), "--interval", "1fs"]
    assert main([*command, "--current", "--temperature", "300"]) == 0
    series = read_timeseries(run)
    assert set(series.current_parts) == {"B", "N"} and series.current.values.shape == (12, 3)
    long = {name: np.tile(part, (300, 1)) for name, part in series.current_parts.items()}
    write_timeseries(
        run,
        TimeSeries(None, None, 300.0, 11.66, None, "", Sampled(sum(long.values()), 1.0), long),
        force=True,
    )
    parts = tmp_path / "parts.txt"
    assert main(["dielectric", str(run), "-o", str(tmp_path / "e.txt"), "--parts", str(parts), "--max", "3000"]) == 0
    assert "shares of the absorption: B" in capsys.readouterr().out
    found = load_spectrum(parts).values
    np.testing.assert_allclose(
        found["part_B"] + found["part_N"], found["total"], rtol=1e-6, atol=1e-6 * found["total"].max()
    )
    np.testing.assert_allclose(
        found["self_B"] + found["self_N"] + found["cross_B_N"],
        found["total"],
        rtol=1e-6,
        atol=1e-6 * found["total"].max(),
    )
