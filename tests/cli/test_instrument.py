"""tnep instrument: powder, film and ATR from a dielectric function, with error bars."""

import numpy as np
import pytest

from helpers.langevin import Langevin
from tnep_calc.cli import main
from tnep_calc.io.series.spectrum_store import load_spectrum, save_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries
from tnep_calc.spectra import Spectrum
from tnep_calc.spectra.dielectric import fluctuation_factor
from tnep_calc.spectra.instruments import powder_absorbance

pytestmark = pytest.mark.slow

W = np.arange(300.0, 1100.0, 1.0)
EPS_X = 2.4 + 5.0e5 / (700.0**2 - W**2 - 15j * W)
EPS_Z = 2.6 + 3.0e5 / (740.0**2 - W**2 - 20j * W)


@pytest.fixture(scope="module")
def crystal(tmp_path_factory):
    """Write the tensor of a uniaxial crystal in closed form."""
    mean = (2 * EPS_X + EPS_Z) / 3
    columns = {"": mean, "_xx": EPS_X, "_yy": EPS_X, "_zz": EPS_Z, "_yz": 0 * mean, "_xz": 0 * mean, "_xy": 0 * mean}
    values = {f"eps_real{name}": eps.real for name, eps in columns.items()}
    values |= {f"eps_imag{name}": eps.imag for name, eps in columns.items()}
    path = tmp_path_factory.mktemp("crystal") / "eps.txt"
    save_spectrum(path, Spectrum("dielectric", W, values, dict.fromkeys(values, "1")))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write the dielectric function, with blocks, of a run of one oscillator at 600 cm^-1."""
    folder = tmp_path_factory.mktemp("run")
    position = Langevin(600.0, 30.0, 3.0 / fluctuation_factor(1000.0, 300.0)).run(
        15_000, 2.0, 3, np.random.default_rng(2)
    )[0]
    write_timeseries(folder / "run.h5", TimeSeries(Sampled(position, 2.0), None, 300.0, 1000.0))
    table = folder / "eps.h5"
    options = ["--eps-inf", "2.5", "--resolution", "30", "--max", "1500"]
    assert main(["dielectric", str(folder / "run.h5"), "-o", str(table), *options]) == 0
    return table


def test_powder_of_an_anisotropic_crystal(crystal, tmp_path, capsys):
    table, figure = tmp_path / "p.txt", tmp_path / "p.png"
    command = ["instrument", "powder", str(crystal), "-o", str(table), "--thickness", "0.5", "--fraction", "0.1"]
    assert main([*command, "--plot", str(figure), "--html", str(tmp_path / "p.html")]) == 0
    printed = capsys.readouterr().out
    assert "random orientation" in printed and "no error bars" in printed and figure.stat().st_size > 1000
    found = load_spectrum(table)
    # effective medium of PDielec 10.0.0 (maxwell, spheres of random orientation, eps_m = 2.33, 10 %)
    for w, eps in (
        (450.0, 2.4608231734439787 + 0.0023616284070571273j),
        (690.0, 2.8382085667257693 + 0.06481893366319749j),
        (720.0, 3.3050064207086027 + 0.27289701331842375j),
        (760.0, 1.2790450948903342 + 0.9612158054054653j),
        (900.0, 2.1744080085323656 + 0.010014143152453784j),
    ):
        expected = 4 * np.pi * np.sqrt(eps).imag * w * 0.05 / np.log(10)
        assert found.values["absorbance"][W == w][0] == pytest.approx(expected, rel=1e-8)
    # two bands, each between TO and LO of its axis, where Re eps = -2 eps_m without the field of the other particles
    table = tmp_path / "b.txt"
    assert main([*command[:3], "-o", str(table), *command[5:], "--model", "bruggeman"]) == 0
    expected = powder_absorbance(W, (2 * EPS_X + EPS_Z) / 3, 0.5, 0.1, model="bruggeman")
    np.testing.assert_allclose(load_spectrum(table).values["absorbance"], expected, rtol=1e-8)


def test_film_of_one_axis(crystal, tmp_path):
    table = tmp_path / "f.txt"
    options = [
        "--thickness",
        "0.01",
        "--substrate",
        "11.7",
        "--angle",
        "70",
        "--polarization",
        "p",
        "--component",
        "zz",
    ]
    assert (
        main(["instrument", "film", str(crystal), "-o", str(table), *options, "--plot", str(tmp_path / "f.png")]) == 0
    )
    found = load_spectrum(table)
    above = W > 800  # Berreman: absorption at the longitudinal frequency
    longitudinal = W[(-1 / EPS_Z).imag.argmax()]
    assert W[above][found.values["absorptivity"][above].argmax()] == pytest.approx(longitudinal, abs=3)
    total = sum(found.values[name] for name in ("reflectivity", "transmissivity", "absorptivity"))
    np.testing.assert_allclose(total, 1.0, atol=1e-8)


def test_atr_of_a_run_has_errors(run, tmp_path, capsys):
    table = tmp_path / "a.h5"
    command = ["instrument", "atr", str(run), "-o", str(table)]
    assert main([*command, "--crystal", "16", "--plot", str(tmp_path / "a.png")]) == 0
    printed = capsys.readouterr().out
    assert "peaks of absorbance (1), significant against the noise" in printed and "note" not in printed
    found, source = load_spectrum(table), load_spectrum(run)
    top = found.values["absorbance"].argmax()
    assert found.wavenumber[top] < source.wavenumber[source.values["eps_imag"].argmax()]  # below the TO frequency
    error = found.errors["absorbance"][top] / found.values["absorbance"][top]
    assert 0.005 < error < 0.3 and len(found.replicas["absorbance"]) == source.parameters["blocks"]
    assert found.parameters["series_sha256"] == source.parameters["series_sha256"]
    assert main([*command, "--force"]) == 0  # diamond
    assert "no total reflection" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, match",
    [
        (["powder", "--thickness", "1"], "needs --fraction"),
        (["film", "--fraction", "0.1", "--thickness", "1"], "is an option of powder, not of film"),
        (["atr", "--angle", "95"], "below 90"),
        (["powder", "--thickness", "1", "--fraction", "2"], "between 0 and 1"),
        (["atr", "--component", "xx"], "tnep dielectric --tensor"),
        (["film", "--thickness", "1", "--plot", "x.doc"], ".png"),
    ],
)
def test_wrong_options_are_one_line(run, tmp_path, capsys, options, match):
    kind, *more = options
    assert main(["instrument", kind, str(run), "-o", str(tmp_path / "x.txt"), *more]) == 1
    error = capsys.readouterr().err
    assert match in error and error.count("\n") == 1
    assert main(["instrument", "atr", str(run), "-o", str(run)]) == 1


def test_input_without_a_dielectric_function(tmp_path, capsys):
    path = tmp_path / "raman.txt"
    save_spectrum(path, Spectrum("raman", W, {"VV": W}, {"VV": "1"}))
    assert main(["instrument", "atr", str(path), "-o", str(tmp_path / "x.txt")]) == 1
    assert "no column 'eps_real'" in capsys.readouterr().err
