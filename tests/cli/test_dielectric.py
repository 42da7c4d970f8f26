"""tnep dielectric and tnep compare, from a series to tables and figures."""

import numpy as np
import pytest

from helpers.langevin import Langevin
from tnep_calc.cli import main
from tnep_calc.io.series.spectrum_store import load_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries
from tnep_calc.spectra.dielectric import fluctuation_factor
from tnep_calc.units import EPSILON_0

pytestmark = pytest.mark.slow

VOLUME = 1000.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write a series of one oscillator at 600 cm^-1 with a static ionic part of 3, eps_inf 2.5, 30 ps."""
    rng = np.random.default_rng(2)
    position, velocity = Langevin(600.0, 30.0, 3.0 / fluctuation_factor(VOLUME, 300.0)).run(15_000, 2.0, 3, rng)
    alpha = np.eye(3) * 1.5 * EPSILON_0 * VOLUME + 0.01 * rng.normal(size=(15_000, 3, 3))
    series = TimeSeries(
        Sampled(position, 2.0), Sampled(alpha, 2.0), 300.0, VOLUME, np.eye(3) * 10, current=Sampled(velocity, 2.0)
    )
    path = tmp_path_factory.mktemp("run") / "run.h5"
    write_timeseries(path, series)
    return path


@pytest.mark.parametrize("route", ["dipole", "current"])
def test_dielectric_command(run, tmp_path, capsys, route):
    table, figure = tmp_path / "eps.h5", tmp_path / "eps.png"
    options = [
        "--eps-inf",
        "series",
        "--route",
        route,
        "--angle",
        "60",
        "--fit",
        "oscillator",
        "--max",
        "2000",
        "--resolution",
        "30",
    ]
    assert main(["dielectric", str(run), "-o", str(table), "--plot", str(figure), *options]) == 0
    printed = capsys.readouterr().out
    assert "xx 2.50" in printed and "longitudinal peaks" in printed and "fitted with oscillator lines" in printed
    found = load_spectrum(table)
    assert found.values["eps_real"][0] == pytest.approx(5.5, abs=0.6)
    (peak,) = found.parameters["fit_eps_imag"]["peaks"]
    assert peak["position"] == pytest.approx(600, abs=5) and peak["position_error"] < 4
    # Lyddane, Sachs and Teller: 600 sqrt(5.5 / 2.5) = 890
    (longitudinal,) = found.parameters["fit_loss"]["peaks"]
    assert longitudinal["position"] == pytest.approx(890, abs=25)
    assert set(found.errors) == set(found.values) and "reflectivity_p" in found.values and figure.stat().st_size > 1000


def test_infrared_by_both_routes(run, tmp_path, capsys):
    found = {}
    for route in ("dipole", "current"):
        table = tmp_path / f"{route}.txt"
        assert main(["ir", str(run), "-o", str(table), "--route", route, "--resolution", "30", "--max", "1500"]) == 0
        found[route] = load_spectrum(table)
    assert "+- 0." in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ionic part"))
    dipole, current = (found[route].values["absorption"] for route in found)
    assert np.abs(dipole - current).max() < 0.02 * dipole.max()


def test_a_fit_without_blocks_has_no_errors(run, tmp_path, capsys):
    command = ["ir", str(run), "-o", str(tmp_path / "i.txt"), "--resolution", "30", "--blocks", "0", "--max", "2000"]
    assert main([*command, "--fit", "lorentzian"]) == 0
    printed = capsys.readouterr().out
    (line,) = printed.split("no error bars):\n")[1].splitlines()[:-1]
    assert "+-" not in line and float(line.split()[0]) == pytest.approx(600, abs=6)


def test_static_constant_and_its_figure(run, tmp_path, capsys):
    command = ["dielectric", str(run), "-o", str(tmp_path / "e.txt"), "--eps-inf", "2.5", "--tensor"]
    assert main([*command, "--static", str(tmp_path / "s.png"), "--plot", str(tmp_path / "e.pdf")]) == 0
    assert (tmp_path / "s.png").exists()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("static dielectric constant"))
    value, error = float(line.split()[3]), float(line.split()[5])
    assert abs(value - 5.5) < 4 * error and error < 0.5
    assert "eps_imag_xy" in load_spectrum(tmp_path / "e.txt").values


@pytest.mark.parametrize(
    "options, match",
    [
        (["--eps-inf", "a"], "must be numbers"),
        (["--eps-inf", "2", "3"], "three (xx yy zz)"),
        (["--angle", "95"], "below 90"),
        (["--route", "current", "--static", "s.png"], "needs the dipole"),
        (["--static", "s.gif"], "ends in .png"),
        (["--parts", "e.txt"], "both --output and --parts"),
        (["--max", "0"], "fewer than 3 points"),
        (["run.h5", "--parts", "p.txt"], "needs one series"),
        (["--html", "x.txt"], "ends in .html"),
        (["--reference", "missing.csv"], "no such file"),
    ],
)
def test_wrong_options_are_one_line(run, tmp_path, capsys, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    assert main(["dielectric", str(run), *options, "-o", "e.txt", "--resolution", "60"]) == 1
    error = capsys.readouterr().err
    assert match in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_compare_command(run, tmp_path, capsys):
    tables = []
    for k, resolution in enumerate(("30", "40")):
        tables.append(str(tmp_path / f"{k}.txt"))
        assert main(["ir", str(run), "-o", tables[-1], "--resolution", resolution, "--max", "1500"]) == 0
    w = np.arange(100.0, 1400.0, 5.0)
    reference = tmp_path / "measured.csv"
    np.savetxt(reference, np.c_[w, 1 / (1 + ((w - 615) / 30) ** 2)], delimiter=",", header="wavenumber,A")
    capsys.readouterr()
    command = ["compare", *tables, "--reference", str(reference), "--align", "shift", "--layout", "panels"]
    assert main([*command, "--plot", str(tmp_path / "c.png"), "--labels", "a", "b"]) == 0
    printed = capsys.readouterr().out
    assert "a: overlap with the reference 0.9" in printed and "shifted by +1" in printed
    assert main(["compare", tables[0]]) == 1 and "nothing to do" in capsys.readouterr().err
    assert main(["compare", *tables, "--labels", "a", "--plot", "x.png"]) == 1
    assert main(["compare", tables[0], "--column", "x", "--plot", "x.png"]) == 1
    assert "only absorption" in capsys.readouterr().err


def test_a_run_of_noise_has_no_peaks(tmp_path, capsys):
    noise = np.random.default_rng(0).normal(size=(20_000, 3))
    path = tmp_path / "noise.h5"
    write_timeseries(path, TimeSeries(Sampled(noise, 1.0), None, 300.0, VOLUME))
    assert main(["ir", str(path), "-o", str(tmp_path / "n.txt"), "--max", "4000"]) == 0
    assert "no peaks of absorption are significant" in capsys.readouterr().out
