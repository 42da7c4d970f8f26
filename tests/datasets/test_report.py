"""The page about a data set."""

import re
from dataclasses import replace

import numpy as np
import pytest

from helpers.harmonic_crystal import changed, frames
from tnep_calc.cli import main
from tnep_calc.datasets.report import histograms, write_data_report
from tnep_calc.errors import InputError
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.plotting.data import plot_consistency, plot_histograms
from tnep_calc.units import EPSILON_0, EV_PER_A3_TO_GPA

pytestmark = pytest.mark.slow


def test_page(tmp_path):
    structures = changed(frames(), 7, forces=lambda s: s.forces * 5000)
    structures[8] = replace(
        structures[8], electric_field=np.array([0, 0, 0.01]), virial=None, source="<odd>, structure 8"
    )
    page = tmp_path / "page.html"
    write_data_report(page, structures, "A & B")
    text = page.read_text()
    assert "<h1>A &amp; B</h1>" in text and len(re.findall("<img", text)) == 2
    table = re.sub(r"<[^>]*>", "|", text)
    assert re.search(r"\|atoms\|+160 \(4 to 4 per structure\)\|", table)
    assert re.search(r"\|species\|+Mg 80, O 80\|", table) and re.search(r"\|Mg2O2\|+40\|", table)
    assert re.search(r"\|in an electric field\|+1\|", table) and re.search(r"\|virial\|+39\|+eV\|", table)
    assert re.search(r"\|warning\|+units\|+forces\|+up to \S+ eV/Å\|+f.extxyz, structure 7\|", table)
    assert "&lt;odd&gt;" in text
    with pytest.raises(InputError, match="exists"):
        write_data_report(page, structures)


def test_histograms_have_every_value_once():
    structures = frames()
    panels = {panel["name"]: panel for panel in histograms(structures)}
    assert list(panels) == [
        "energy per atom, elements removed",
        "|F|",
        "stress",
        "dipole",
        "$Z^*_{ii}$",
        "$Z^*_{ij}$, i ≠ j",
        r"$\chi_{ii}$",
        r"$\chi_{ij}$, i ≠ j",
    ]
    s = structures[3]
    assert panels["|F|"]["groups"]["Mg"].shape == (80,)
    assert np.linalg.norm(s.forces[3]) == pytest.approx(panels["|F|"]["groups"]["O"][7])
    chi = panels[r"$\chi_{ii}$"]["groups"][""]
    assert chi.shape == (120,) and chi[9] == pytest.approx(s.polarizability[0, 0] / (EPSILON_0 * s.volume))
    stress = panels["stress"]["groups"]
    assert stress["i = j"][9] == pytest.approx(-s.virial[0, 0] / s.volume * EV_PER_A3_TO_GPA)
    assert stress["i ≠ j"].shape == (240,)
    born = panels["$Z^*_{ij}$, i ≠ j"]["groups"]["O"]
    assert born.shape == (480,) and set(np.round(np.abs(born), 9)) == {0.0, 0.1, 0.2, 0.3}
    molecules = [replace(s, cell=np.zeros((3, 3)), pbc=np.array([False] * 3)) for s in structures]
    assert r"$\alpha$ per atom" in [panel["name"] for panel in histograms(molecules)]
    assert histograms([]) == [] and "stress" not in [panel["name"] for panel in histograms(molecules)]


def test_figures_show_all_values():
    figure = plot_histograms(
        [
            {"name": "a", "unit": "eV", "groups": {"x": np.arange(10.0), "y": np.ones(3)}},
            {"name": "b", "unit": "", "groups": {"": np.array([0.0, 1.0, 10.0])}, "log": True},
            {"name": "c", "unit": "", "groups": {"": np.zeros(5)}},
        ]
        * 2,
        bins=5,
    )
    assert [ax.get_xlabel() for ax in figure.axes[:3]] == ["a (eV)", "b", "c"] and len(figure.axes) == 6
    counts = [p.get_xy()[:, 1] for p in figure.axes[0].patches]  # outlines: every bin twice, from and back to zero
    assert [round(c[1:-1:2].sum()) for c in counts] == [10, 3]
    assert figure.axes[1].get_xscale() == "log"
    figure = plot_consistency(
        [{"name": "n", "unit": "eV", "change": np.ones(3), "expected": np.zeros(3), "x": "x", "y": "y"}]
    )
    assert figure.axes[0].lines[1].get_ydata().tolist() == [1, 1, 1]


def test_command(tmp_path, capsys):
    data, page = tmp_path / "f.extxyz", tmp_path / "page.html"
    write_dataset(data, frames(5))
    assert main(["data", "--report", str(page), str(data)]) == 0
    assert f"5 structures described in {page}" in capsys.readouterr().out and page.stat().st_size > 10000
    assert main(["data", "--report", str(page), str(data)]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["data", "--report", str(page), "--check", "--force", str(data)]) == 0
    assert "data: 5 structures, nothing wrong found" in capsys.readouterr().out
