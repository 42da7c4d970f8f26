"""Spectra as objects, in files, and compared with a reference."""

import numpy as np
import pytest

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series.reference import read_reference
from tnep_calc.io.series.spectrum_store import load_spectrum, save_spectrum
from tnep_calc.plotting.comparison import LAYOUTS, plot_comparison, plot_spectra
from tnep_calc.plotting.interactive import save_interactive
from tnep_calc.plotting.labels import stack_labels
from tnep_calc.spectra import Spectrum, infrared_spectrum, parse_porto, raman_spectrum
from tnep_calc.spectra.comparison import compare, overlap, pair_peaks
from tnep_calc.spectra.estimate import jackknife_error

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
W = np.arange(0.0, 2000.0, 2.0)


def lines(*positions, factor=1.0):
    y = factor * sum(1 / (1 + ((W - p) / 15) ** 2) for p in positions)
    return Spectrum("infrared", W, {"absorption": y}, {"absorption": "cm^-1"}, {"absorption": 0.05 * y})


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    dipole = rng.normal(size=(20_000, 3))
    return infrared_spectrum(dipole, 1.0, 1000.0, 300.0, 60.0, max_wavenumber=3000.0)


@pytest.mark.parametrize("suffix", [".txt", ".h5", ".json"])
def test_files_keep_everything(measured, tmp_path, suffix):
    path = tmp_path / f"s{suffix}"
    save_spectrum(path, measured)
    read = load_spectrum(path)
    assert read.kind == "infrared" and list(read.values) == list(measured.values) and read.units == measured.units
    exact = {"rtol": 1e-9} if suffix == ".txt" else {"rtol": 0}
    for name in measured.values:
        np.testing.assert_allclose(read.values[name], measured.values[name], **exact)
        np.testing.assert_allclose(read.errors[name], measured.errors[name], **exact)
    assert read.parameters["temperature_K"] == 300.0 and read.parameters["blocks"] == measured.parameters["blocks"]
    if suffix != ".txt":
        np.testing.assert_allclose(
            jackknife_error(read.replicas["absorption"]), measured.errors["absorption"], rtol=1e-12
        )
    with pytest.raises(InputError, match="--force"):
        save_spectrum(path, measured)


def test_geometries_with_brackets_survive_the_text_file(tmp_path):
    rng = np.random.default_rng(1)
    geometry = parse_porto("z([1 -1 0][1,1,0])-z")
    raman = raman_spectrum(rng.normal(size=(6000, 3, 3)), 1.0, 300.0, 60.0, geometries=[geometry])
    save_spectrum(tmp_path / "r.txt", raman)
    assert "z([1,-1,0][1,1,0])-z" in load_spectrum(tmp_path / "r.txt").values


@pytest.mark.parametrize(
    "name, content", [("a.json", "{"), ("b.json", "[1]"), ("c.json", '{"format": "tnep_calc spectrum"}'), ("d.h5", "x")]
)
def test_damaged_files_are_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataFileError, match=name):
        load_spectrum(tmp_path / name)
    with pytest.raises(DataFileError, match="no such file"):
        load_spectrum(tmp_path / "missing.h5")


def test_arithmetic():
    a, b = lines(500.0), lines(900.0, factor=2.0)
    total = a + b
    np.testing.assert_allclose(total.values["absorption"], a.values["absorption"] + b.values["absorption"])
    expected = 0.05 * np.hypot(a.values["absorption"], b.values["absorption"])
    np.testing.assert_allclose(total.errors["absorption"], expected)
    np.testing.assert_allclose((total - b).values["absorption"], a.values["absorption"], atol=1e-14)
    np.testing.assert_allclose((2 * a / 4).errors["absorption"], 0.5 * a.errors["absorption"])
    coarse = a.on_grid(np.arange(100.0, 1000.0, 10.0))
    with pytest.raises(InputError, match="on_grid"):
        a + coarse
    with pytest.raises(InputError, match="beyond"):
        a.on_grid([0.0, 5000.0])
    with pytest.raises(InputError, match="no column of the same name and unit"):
        a + Spectrum("raman", W, {"VV": W}, {"VV": "1"})


def test_plot_draws_on_given_axes():
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    assert lines(500.0).plot(ax) is ax
    assert len(ax.lines) == 1 and len(ax.collections) == 1 and "cm^-1" in ax.get_ylabel()
    pyplot.close(figure)


@pytest.mark.parametrize("align, shift, scale", [("none", 0, 1), ("shift", 14, 1), ("scale", 0, 1.02)])
def test_alignment_recovers_shift_and_scale(align, shift, scale):
    model = lines(500.0, 1400.0)
    if align == "scale":
        reference = lines(510.0, 1428.0, factor=7.0)
    else:
        reference = lines(500.0 + shift, 1400.0 + shift, factor=7.0)
    found = compare(model, "absorption", reference, align=align)
    assert found.shift == pytest.approx(shift, abs=0.3) and found.scale == pytest.approx(scale, abs=5e-4)
    assert found.factor == pytest.approx(1 / 7, rel=0.02) and found.overlap > 0.995
    assert len(found.pairs) == 2 and found.position_error < 2.5


def test_scores_distinguish_good_from_bad():
    near = compare(lines(500.0), "absorption", lines(505.0))
    far = compare(lines(500.0), "absorption", lines(900.0))
    assert near.overlap > 0.9 > 0.1 > far.overlap and near.rms < far.rms
    assert overlap([0.0, 0.0], [1.0, 1.0]) == 0.0 and pair_peaks([], [1.0]) == []
    with pytest.raises(InputError, match="do not overlap"):
        shifted = Spectrum("reference", W + 1e5, {"reference": W}, {"reference": "1"})
        compare(lines(500.0), "absorption", shifted)


@pytest.mark.parametrize(
    "text",
    [
        "# measured\n100 1\n200 2\n300 1\n",
        "wavenumber,absorbance\r\n300,1\r\n200,2\r\n100,1\r\n",
        "\ufeff% x\n100;1\n200;2\n300;1\n200;2",
        "cm-1\tA\n100\t1.0e0\n\n200\t2\n300\t1\n",
    ],
)
def test_references_of_two_columns(tmp_path, text):
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    reference = read_reference(tmp_path / "r.csv")
    assert reference.wavenumber.tolist() == [100, 200, 300] and reference.values["reference"].tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    "text, match",
    [("a b\n", "at least 3"), ("1 2\n2 x\n", "line 2"), ("1 2 3\n", "two columns"), ("1 nan\n2 1\n3 1\n", "finite")],
)
def test_damaged_references(tmp_path, text, match):
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(DataFileError, match=match):
        read_reference(tmp_path / "r.txt")


def test_labels_never_overlap():
    rng = np.random.default_rng(2)
    for _ in range(20):
        x, y = rng.uniform(0, 300, 25), rng.uniform(0, 200, 25)
        shift = stack_labels(x, y, ["1234"] * 25)
        bottom = y + shift
        for i in range(25):
            for j in range(i):
                assert abs(x[i] - x[j]) >= 0.62 * 7 * 4 or abs(bottom[i] - bottom[j]) >= 7
        assert shift.min() >= 2.99


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_spectra_on_one_scale(layout, tmp_path):
    from matplotlib import pyplot

    spectra = [lines(500.0 + 10 * k, factor=1 + k) for k in range(3)]
    figure = plot_spectra(spectra, ["absorption"] * 3, ["100 K", "200 K", "300 K"], layout)
    figure.savefig(tmp_path / "f.png")
    limits = {ax.get_ylim() for ax in figure.axes}
    assert len(limits) == 1 and len(figure.axes) == (3 if layout == "panels" else 1)
    pyplot.close(figure)
    with pytest.raises(InputError, match="the same unit"):
        other = Spectrum("raman", W, {"VV": W}, {"VV": "1"})
        plot_spectra([spectra[0], other], ["absorption", "VV"], ["a", "b"])


def test_comparison_figure_and_offline_html(tmp_path):
    from matplotlib import pyplot

    found = compare(lines(500.0), "absorption", lines(520.0), align="shift")
    figure = plot_comparison(lines(500.0), "absorption", found, "experiment")
    assert "overlap 1.000" in figure.axes[0].get_title(loc="left")
    pyplot.close(figure)
    pytest.importorskip("plotly", reason="plotly is not installed")
    path = tmp_path / "f.html"
    save_interactive(path, [lines(500.0), lines(510.0)], [["absorption"]] * 2, ["a", "b"], found, "experiment")
    text = path.read_text()
    loaded = '<script src="http' in text  # not in the assertion, whose report would compare with the whole page
    assert "plotly" in text and not loaded and "experiment" in text
    with pytest.raises(InputError, match="ends in .html"):
        save_interactive(tmp_path / "f.txt", [], [], [])
