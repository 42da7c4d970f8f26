"""Texts of figures neither overlap nor leave the figure, also for close peaks, long names and absurd ranges."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from helpers.figures import faults_of_texts
from tnep_calc.phonons.bands import Bands
from tnep_calc.plotting.comparison import LAYOUTS, names_with_conditions, plot_spectra
from tnep_calc.plotting.data import plot_histograms
from tnep_calc.plotting.dielectric import plot_dielectric
from tnep_calc.plotting.instruments import plot_instrument
from tnep_calc.plotting.phonons import _draw_sticks, plot_bands
from tnep_calc.plotting.spectra import direction_name, plot_ir, plot_raman
from tnep_calc.plotting.style import styled
from tnep_calc.plotting.training import plot_enthalpy_histories, plot_parity
from tnep_calc.spectra import Spectrum

pytestmark = pytest.mark.slow

matplotlib.use("Agg")

X = np.linspace(0, 1500, 501)
CENTRES = (120, 135, 150, 700, 712, 800, 1070, 1085, 1470)
PARAMETERS = {
    "temperature_K": 300.0,
    "resolution_fwhm_cm-1": 4.0,
    "blocks": 8,
    "direction": [0.6, 0.48, 0.64],
    "laser_nm": 532.0,
    "angle_of_incidence_deg": 45.0,
}
LONG = (
    "quartz_300K_a_long_run_in_a_field_along_x.h5 absorption",
    "b",
    "another_run_with_a_very_long_name_of_a_file.h5",
)


def spectrum(kind, *names, height=1.0, errors=False, **more):
    line = sum(height / (1 + ((X - centre) / 5) ** 2) for centre in CENTRES)
    values = {name: line / (k + 1) for k, name in enumerate(names)}
    bands = {name: 0.1 * values[name] for name in names} if errors else {}
    return Spectrum(kind, X, values, dict.fromkeys(names, "1"), bands, {**PARAMETERS, **more})


def oriented():
    geometries = ["z(xx)-z", "z(xy)-z", "x(zz)-x", "x(yz)-x", "y(zx)-y", "x(yy)-x"]
    return plot_raman(spectrum("raman", *geometries, geometries=geometries))


def dielectric():
    names = ("eps_real", "eps_imag", "loss", "extinction", "refractive_index", "reflectivity", "reflectivity_s")
    return plot_dielectric(spectrum("dielectric", *names))


def film():
    names = ("transmittance", "reflectance", "absorptivity")
    return plot_instrument(spectrum("instrument", *names, height=0.3, instrument="film", polarization="p"))


def parity():
    rng = np.random.default_rng(0)
    panels = []
    for name, unit, scale, origin in (
        ("energy", "eV/atom", 1e-4, -1234.5),
        ("forces", "eV/Å", 1.0, 0.0),
        ("virial", "eV", 1e5, 0.0),
        ("polarizability", "e·Å²/V/atom", 1e-6, 0.0),
    ):
        target = origin + scale * rng.normal(size=40)
        numbers = {"target": target, "prediction": target, "rmse": 1.2e-5, "mae": 1.2e-5, "r2": 0.9}
        panels.append({"name": name, "unit": unit, "splits": dict.fromkeys(("train", "validation", "test"), numbers)})
    return plot_parity(panels)


def histograms():
    values = np.random.default_rng(0).normal(size=50)
    panels = [
        {"name": name, "unit": unit, "groups": {"": origin + scale * values}}
        for name, unit, scale, origin in (("energy", "eV/atom", 1e-4, -1234.5), ("a", "eV", 1e7, 0.0), ("b", "", 1, 0))
    ]
    return plot_histograms(panels)


def enthalpy():
    names = ("energy", "forces", "polarization", "born_charges")
    rows = [{"epoch": k + 1} | {f"mae_{name}_train": 0.9**k for name in names} for k in range(9)]
    return plot_enthalpy_histories([rows], dict.fromkeys(names, ("meV/atom", 1000.0)))


def bands():
    ends = [("GAMMA", "X"), ("X", "U"), ("K", "GAMMA"), ("GAMMA", "L_1"), ("SIGMA_0", "LAMBDA_0")]
    lengths = np.array([0, 1, 1.03, 2, 2.5, 2.55])
    distances = [np.linspace(a, b, 5) for a, b in zip(lengths, lengths[1:], strict=False)]
    return plot_bands(Bands(distances, [np.full((5, 3), 100.0)] * 5, [], ends))


def sticks():
    wavenumbers = np.array([100, 105, 111, 118, 300, 304, 309, 315, 800, 806])
    labels = ["A1", "E", "B1u", "T2g", "A1g", "Eu", "E1", "E2", "A2u", "T1u"]
    sets = [(k,) for k in range(10)]
    modes = SimpleNamespace(wavenumbers=wavenumbers, sets=sets, optical_sets=range(10), labels=labels)
    with styled():
        figure, ax = pyplot.subplots(figsize=(5.2, 1.6))
        ax.set_xlim(0, 1200)
        _draw_sticks(ax, modes, 0.3 + np.abs(np.sin(np.arange(10))), "km/mol")
    return figure


FIGURES = {
    "infrared": lambda: plot_ir(spectrum("infrared", "absorption", height=3e3, errors=True)),
    "oriented": oriented,
    "dielectric": dielectric,
    "film": film,
    "parity": parity,
    "histograms": histograms,
    "enthalpy": enthalpy,
    "bands": bands,
    "sticks": sticks,
} | {
    layout: lambda layout=layout: plot_spectra(
        [spectrum("infrared", "absorption", height=3e5)] * 3, ["absorption"] * 3, LONG, layout
    )
    for layout in LAYOUTS
}


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_a_figure(name):
    drawn = FIGURES[name]()
    figure = getattr(drawn, "figure", drawn)
    assert not faults_of_texts(figure)
    assert all(ax.has_data() or not ax.axison for ax in figure.axes), "an empty panel"
    pyplot.close("all")


def test_the_check_finds_faults():
    figure, ax = pyplot.subplots()
    ax.text(0.5, 0.5, "one")
    ax.text(0.51, 0.5, "two")
    ax.text(0.9, 0.2, 30 * "long ")
    assert len(faults_of_texts(figure)) == 2
    pyplot.close(figure)


def test_spectra_of_a_series_share_a_scale_and_name_what_differs():
    """Directions and temperatures that differ are in the labels, what is common is in the title."""
    ends = ([1, 0, 0], [0, 0, 1])
    series = [spectrum("infrared", "absorption", height=h, direction=d) for h, d in zip((1.0, 0.2), ends, strict=True)]
    names = names_with_conditions(series, ["a", "b"])
    assert names == ["a, field along [1 0 0]", "b, field along [0 0 1]"]
    hot = spectrum("infrared", "absorption", direction=ends[0], temperature_K=500.0)
    assert names_with_conditions([series[0], hot], ["a", "b"]) == ["a, 300 K", "b, 500 K"]
    assert names_with_conditions(series[:1], ["a"]) == ["a"]
    for layout in LAYOUTS:
        figure = plot_spectra(series, ["absorption"] * 2, names, layout)
        assert "300 K" in figure.axes[0].get_title("left") and "[1 0 0]" not in figure.axes[0].get_title("left")
        assert len({ax.get_ylim() for ax in figure.axes}) == 1
    pyplot.close("all")


def test_a_legend_is_above_the_power_of_ten():
    figure = plot_spectra([spectrum("infrared", "eps_imag", height=3e5)] * 2, ["eps_imag"] * 2, ["a", "b"])
    assert not faults_of_texts(figure)
    power, legend = figure.axes[0].yaxis.get_offset_text(), figure.axes[0].get_legend()
    assert power.get_text() and legend.legend_handles[0].get_window_extent().y0 > power.get_window_extent().y1
    pyplot.close(figure)


def test_directions_are_named_by_whole_numbers():
    assert direction_name(np.array([1, 1, 0]) / np.sqrt(2)) == "[1 1 0]" and direction_name([0, 0, -1]) == "[0 0 -1]"


def test_parity_far_from_zero_shows_differences():
    axes = parity().axes[0]
    assert axes.get_xlabel() == "label + 1234.5 (10$^{-6}$ eV/atom)"
    assert np.abs(axes.get_xlim()).max() < 1000
