"""Figures: labels with units, error bands, and unchanged settings of the user."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from tnep_calc.errors import InputError
from tnep_calc.plotting.spectra import plot_ir, plot_raman
from tnep_calc.plotting.style import FORMATS, save_figure
from tnep_calc.spectra import Spectrum

matplotlib.use("Agg")


def spectrum(kind, *names, errors=True):
    w = np.linspace(0, 2000, 401)
    values = {name: 1e4 / (k + 1) / (1 + ((w - 803.0) / 30) ** 2) for k, name in enumerate(names)}
    parameters = {"temperature_K": 300.0, "resolution_fwhm_cm-1": 10.0, "blocks": 8 * errors, "laser_nm": 532.0}
    errors = {name: 0.1 * value for name, value in values.items()} if errors else {}
    return Spectrum(kind, w, values, dict.fromkeys(names, "1"), errors, parameters)


def test_infrared_figure():
    before = dict(matplotlib.rcParams)
    ax = plot_ir(spectrum("infrared", "absorption", "eps_imag"))
    assert "cm$^{-1}$" in ax.get_xlabel() and "cm$^{-1}$" in ax.get_ylabel()
    assert len(ax.lines) == 1 and len(ax.collections) == 1
    assert [text.get_text() for text in ax.texts] == ["803"]
    assert "300 K" in ax.get_title(loc="left") and "8 blocks" in ax.get_title(loc="left")
    assert ax.get_xlim()[0] == 0 and ax.get_ylim()[0] == 0
    # the label stands above the error band
    assert ax.texts[0].xy[1] >= 1.1e4 * 0.99
    assert dict(matplotlib.rcParams) == before
    other = plot_ir(spectrum("infrared", "absorption", "eps_imag", errors=False), ax, "eps_imag", peaks=False)
    assert other is ax and len(ax.lines) == 2 and len(ax.collections) == 1
    assert "epsilon" in ax.get_ylabel()


@pytest.mark.slow
def test_raman_figure(tmp_path):
    ax = plot_raman(spectrum("raman", "VV", "VH"))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["VV", "VH"]
    assert max(ax.lines[0].get_ydata()) == pytest.approx(1.0) and max(ax.lines[1].get_ydata()) == pytest.approx(0.5)
    oriented = spectrum("raman", "VV", "VH", "z(xx)-z")
    oriented.parameters["geometries"] = ["z(xx)-z"]
    assert len(plot_raman(oriented).lines) == 1
    for suffix in FORMATS:
        save_figure(ax.figure, tmp_path / f"r{suffix}")
        assert (tmp_path / f"r{suffix}").stat().st_size > 1000
    with pytest.raises(InputError, match="--force"):
        save_figure(ax.figure, tmp_path / "r.png")
    with pytest.raises(InputError, match=r"\.svg"):
        save_figure(ax.figure, tmp_path / "r.doc")


def test_figure_errors():
    with pytest.raises(InputError, match="kind 'raman'"):
        plot_raman(spectrum("infrared", "absorption"))
    with pytest.raises(InputError, match="only absorption"):
        plot_ir(spectrum("infrared", "absorption"), quantity="colour")
    flat = spectrum("raman", "VV", "VH")
    for column in flat.values.values():
        column[:] = 0.0
    with pytest.raises(InputError, match="zero everywhere"):
        plot_raman(flat)


@pytest.mark.slow
def test_importing_does_not_choose_a_backend_or_import_torch():
    code = (
        "import sys, tnep_calc.plotting.spectra, tnep_calc.spectra, tnep_calc.io.series.collect\n"
        "print('torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
