"""tnep series, ir and raman from the files of a simulation to tables and figures."""

import ase
import ase.io
import numpy as np
import pytest

from tnep_calc.cli import main
from tnep_calc.io.series.spectrum_text import read_spectrum
from tnep_calc.io.series.timeseries import read_timeseries
from tnep_calc.spectra import find_peaks
from tnep_calc.units import BOHR, INV_CM_TO_RAD_PER_FS

N = 12_000


def table(path, label, values, every):
    columns = " ".join(f"c_{label}[{k + 1}]" for k in range(values.shape[1]))
    steps = every * np.arange(len(values))[:, None]
    header = f"Time-averaged data for fix 2\nTimeStep {columns}"
    np.savetxt(path, np.hstack([steps, values]), fmt="%d" + " %.12g" * values.shape[1], header=header)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a folder with dipole.dat (mode at 1050 cm^-1) and pol.dat (modes at 700 and 1300 cm^-1)."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(11)
    t = np.arange(N)

    def mode(position, components, dt):
        phase = np.cumsum(rng.normal(scale=0.02, size=(N, components)), axis=0)
        return np.cos(position * INV_CM_TO_RAD_PER_FS * dt * t[:, None] + phase)

    table(folder / "dipole.dat", "dip", mode(1050.0, 3, 1.0), 2)
    alpha = mode(700.0, 1, 2.0) * np.array([1.0, 1, 1, 0, 0, 0]) + 0.5 * mode(1300.0, 6, 2.0) + 30
    table(folder / "pol.dat", "pol", alpha, 4)
    return folder


@pytest.fixture(scope="module")
def series(run):
    path = run / "run.h5"
    files = [str(run / name) for name in ("dipole.dat", "pol.dat")]
    options = ["--timestep", "0.0005ps", "--temperature", "300", "--cell", "11", "12", "13", "90", "90", "80"]
    assert main(["series", *files, "-o", str(path), *options]) == 0
    return path


def test_series(series):
    read = read_timeseries(series)
    assert read.dipole.dt == pytest.approx(1.0) and read.polarizability.dt == pytest.approx(2.0)
    assert read.volume == pytest.approx(11 * 12 * 13 * np.sin(np.radians(80)))
    assert read.temperature == 300.0 and read.dipole.values.shape == (N, 3)


@pytest.mark.slow
def test_infrared_command(series, tmp_path, capsys):
    table, figure = tmp_path / "ir.txt", tmp_path / "ir.png"
    command = ["ir", str(series), "-o", str(table), "--plot", str(figure), "--resolution", "20", "--eps-inf", "series"]
    assert main([*command, "--max", "2000"]) == 0
    printed = capsys.readouterr().out
    assert "12000 samples every 1 fs (12 ps, 1 piece), 300 K" in printed and "error" in printed
    ir = read_spectrum(table)
    assert ir.kind == "infrared" and ir.wavenumber[-1] <= 2000
    peak = find_peaks(ir.wavenumber, ir.values["absorption"])[0]
    assert peak.position == pytest.approx(1050.0, abs=3.0)
    assert f"{peak.position:9.2f} cm^-1" in printed
    assert len(ir.parameters["series_sha256"]) == 64 and ir.parameters["source"] == "dipole.dat"
    assert ir.parameters["command"].startswith("tnep ")
    assert ir.parameters["eps_inf"] > 1
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_fast_motion_is_reported(run, tmp_path, capsys):
    """The mode at 1050 cm^-1 sampled every 15 fs (Nyquist: 1112 cm^-1)."""
    rows = np.loadtxt(run / "dipole.dat")[::15]
    table(tmp_path / "d.dat", "dip", rows[:, 1:], 30)
    options = ["--temperature", "300", "--volume", "900"]
    assert main(["series", str(tmp_path / "d.dat"), "-o", str(tmp_path / "d.h5"), "--timestep", "0.5", *options]) == 0
    command = ["ir", str(tmp_path / "d.h5"), "-o", str(tmp_path / "ir.txt"), "--resolution", "30"]
    assert main(command) == 0
    assert "Nyquist wavenumber, 1112 cm^-1" in capsys.readouterr().out


@pytest.mark.slow
def test_raman_command(series, tmp_path, capsys):
    table = tmp_path / "raman.txt"
    options = ["--resolution", "30", "--porto", "z(xy)-z", "--plot", str(tmp_path / "r.pdf")]
    assert main(["raman", str(series), "-o", str(table), *options]) == 0
    raman = read_spectrum(table)
    assert [round(p.position, -1) for p in find_peaks(raman.wavenumber, raman.values["isotropic"])[:1]] == [700.0]
    assert [round(p.position, -1) for p in find_peaks(raman.wavenumber, raman.values["z(xy)-z"])[:1]] == [1300.0]
    assert raman.parameters["laser_nm"] == 532.0 and raman.parameters["geometries"] == ["z(xy)-z"]
    assert "peaks of z(xy)-z" in capsys.readouterr().out
    assert main(["raman", str(series), "-o", str(tmp_path / "d.txt"), "--lattice-directions"]) == 1
    assert "directions of --porto" in capsys.readouterr().err


def test_outputs_are_overwritten_only_with_force(series, tmp_path, capsys):
    command = ["ir", str(series), "-o", str(tmp_path / "ir.txt"), "--resolution", "40"]
    assert main(command) == 0
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0


def test_unwrap_needs_and_uses_the_cell(run, series, tmp_path):
    rng = np.random.default_rng(0)
    read = read_timeseries(series)
    jumps = rng.integers(-1, 2, size=(N, 3))
    table(tmp_path / "wrapped.dat", "dip", read.dipole.values + jumps @ read.cell, 2)
    cell = [f"{x:.15g}" for x in read.cell.ravel()]
    wrapped = str(tmp_path / "w.h5")
    options = ["--timestep", "0.5", "--temperature", "300"]
    assert main(["series", str(tmp_path / "wrapped.dat"), "-o", wrapped, *options, "--cell", *cell]) == 0
    assert main(["ir", wrapped, "-o", str(tmp_path / "w.txt"), "--unwrap", "--resolution", "20"]) == 0
    assert main(["ir", str(series), "-o", str(tmp_path / "s.txt"), "--resolution", "20"]) == 0
    got, expected = (read_spectrum(tmp_path / name).values["absorption"] for name in ("w.txt", "s.txt"))
    np.testing.assert_allclose(got, expected, atol=1e-6 * expected.max())


def test_gpumd_units(run, tmp_path):
    rows = np.loadtxt(run / "dipole.dat")
    np.savetxt(tmp_path / "dipole.out", rows, fmt="%d %.10e %.10e %.10e")
    command = ["series", str(tmp_path / "dipole.out"), "-o", str(tmp_path / "g.h5"), "--timestep", "0.5"]
    assert main(command) == 1
    assert main([*command, "--dipole-unit", "e*bohr"]) == 0
    values = read_timeseries(tmp_path / "g.h5").dipole.values
    np.testing.assert_allclose(values, rows[:, 1:] * BOHR, rtol=1e-9, atol=1e-9)


def test_structure_gives_the_cell(run, tmp_path):
    ase.io.write(tmp_path / "model.xyz", ase.Atoms("He", cell=[5, 6, 7], pbc=True))
    command = ["series", str(run / "dipole.dat"), "-o", str(tmp_path / "s.h5"), "--timestep", "0.5"]
    assert main([*command, "--structure", str(tmp_path / "model.xyz")]) == 0
    assert read_timeseries(tmp_path / "s.h5").volume == pytest.approx(210.0)
    larger = ase.Atoms("He", cell=[5, 6, 8], pbc=True)
    # in the same way as 'tnep lammps --structure'
    ase.io.write(tmp_path / "structure.data", larger, format="lammps-data")
    assert main([*command, "--force", "--structure", str(tmp_path / "structure.data")]) == 0
    assert read_timeseries(tmp_path / "s.h5").volume == pytest.approx(240.0)
    ase.io.write(tmp_path / "molecule.xyz", ase.Atoms("He"))
    assert main([*command, "--force", "--structure", str(tmp_path / "molecule.xyz")]) == 1
    assert main([*command, "--force", "--structure", str(run / "dipole.dat")]) == 1


@pytest.mark.parametrize(
    "command, options, message",
    [
        ("ir", ["--skip", "20"], "nothing is left"),
        ("ir", ["--skip", "-1"], "--skip"),
        ("ir", ["--resolution", "0.5"], "coarser resolution"),
        ("ir", ["--eps-inf", "two"], "--eps-inf"),
        ("ir", ["--plot", "figure.xyz"], ".png"),
        ("raman", ["--laser", "0"], "laser"),
        ("raman", ["--blocks", "100"], "fewer blocks"),
    ],
)
def test_mistakes_are_one_line(series, tmp_path, capsys, monkeypatch, command, options, message):
    monkeypatch.chdir(tmp_path)
    assert main([command, str(series), "-o", "out.txt", *options]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.slow
def test_missing_quantities(run, tmp_path, capsys):
    path = str(tmp_path / "d.h5")
    assert main(["series", str(run / "dipole.dat"), "-o", path, "--timestep", "0.5"]) == 0
    for command, message in (
        (["raman", path], "has no polarizability"),
        (["ir", path], "--temperature"),
        (["ir", path, "--temperature", "300"], "--volume"),
        (["ir", path, "--temperature", "300", "--volume", "900", "--unwrap"], "--cell"),
        (["ir", path, "--temperature", "300", "--volume", "900", "--eps-inf", "series"], "polarizability"),
        (["ir", str(run / "dipole.dat")], "tnep series"),
    ):
        assert main([*command, "-o", str(tmp_path / "out.txt")]) == 1
        assert message in capsys.readouterr().err
    assert main(["ir", path, "-o", str(tmp_path / "out.txt"), "--temperature", "300", "--volume", "900"]) == 0


@pytest.mark.parametrize("command", ["series", "ir", "raman"])
def test_help_has_units_and_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"tnep {command} " in text and "A^3" in text or "cm^-1" in text


def test_wrong_time_is_wrong_usage(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["series", str(run / "dipole.dat"), "-o", str(tmp_path / "x.h5"), "--timestep", "1ns"])
    assert stop.value.code == 2 and "0.0005ps" in capsys.readouterr().err
