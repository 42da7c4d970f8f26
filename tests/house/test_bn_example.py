"""The boron nitride example: its files are consistent, and its scripts import (`make demo` itself takes minutes)."""

import argparse
import importlib.util
import sys

import numpy as np
import pytest

from helpers.paths import EXAMPLES
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.spectra.record import Spectrum
from tnep_calc.training.common.parity import numbers_of
from tnep_calc.training.common.splits import split_indices
from tnep_calc.training.enthalpy.config import load_enthalpy_config
from tnep_calc.training.nep.config import load_config

pytestmark = pytest.mark.slow

EXAMPLE = EXAMPLES / "bn"
KINDS = {"energy": "potential", "dipole": "dipole", "polarizability": "polarizability"}
SHELLS = np.array([1.554, 2.538, 2.976, 3.589, 3.911])  # Å, neighbours in the ideal crystal


def script(name, monkeypatch):
    """Import one of the example's scripts from its file."""
    specification = importlib.util.spec_from_file_location(f"bn_{name}", EXAMPLE / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, specification.name, module)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def structures():
    return read_dataset(
        EXAMPLE / "bn8.extxyz", require=["energy", "forces", "virial", "dipole", "born_charges", "polarizability"]
    )


@pytest.mark.parametrize("name", KINDS)
def test_configuration_suits_the_data(name, structures):
    config = load_config(EXAMPLE / f"{name}.toml")
    assert config.model.kind == KINDS[name]
    assert [path.resolve() for path in config.data_files] == [EXAMPLE / "bn8.extxyz"]
    assert {symbol for s in structures for symbol in s.symbols} == set(config.model.species)
    for cutoff in np.ravel([config.model.radial_cutoff, config.model.angular_cutoff]):
        assert abs(SHELLS - cutoff).min() > 0.25, "pairs of a neighbour shell would cross the cutoff at 300 K"


def test_models_share_one_test_split(structures):
    splits = [split_indices(structures, load_config(EXAMPLE / f"{name}.toml"))["test"] for name in KINDS]
    assert len(splits[0]) >= 10
    assert all(np.array_equal(split, splits[0]) for split in splits), "the summary draws one split for all models"


def test_enthalpy_has_the_same_split_and_all_labels(structures):
    config = load_enthalpy_config(EXAMPLE / "enthalpy.toml")
    same = split_indices(structures, load_config(EXAMPLE / "energy.toml"))
    assert all(np.array_equal(part, same[name]) for name, part in split_indices(structures, config).items())
    assert all(getattr(s, name) is not None for s in structures for name in config.loss.weights())


def test_scripts_import_and_list_their_stages(monkeypatch):
    run = script("run", monkeypatch)
    assert set(KINDS) | {"enthalpy"} == set(run.KINDS)
    options = argparse.Namespace(size=6, pieces=10)
    names = [route.stage(piece) for route in run.routes(options) for piece in range(route.pieces + 1)]
    assert len(set(names)) == len(names)
    seconds = [run.EXPECTED[name.split(":")[0]] for name in [*names, "train: dipole", "spectra", "phonons", "summary"]]
    assert sum(seconds) < 8 * 60, "the demo is to stay under eight minutes"
    assert callable(script("summary", monkeypatch).parities)


def test_figure_of_the_summary(monkeypatch):
    """Both routes share one axis without scaling, with error bands, TO and LO; the parities are about the means."""
    summary = script("summary", monkeypatch)
    x = np.linspace(0, 2000, 1001)
    line = 1 / (1 + ((x - 1053) / 10) ** 2)
    units = {"absorption": "cm^-1", "eps_imag": "1", "eps_real": "1", "VV": "1"}
    spectra = {}
    for route, scale in (("TNEP", 1.0), ("enthalpy", 0.5)):
        columns = {"absorption": scale * line, "eps_imag": line, "eps_real": line}
        errors = {name: 0.1 * value for name, value in columns.items()}
        infrared = Spectrum("infrared", x, columns, {name: units[name] for name in columns}, errors=errors)
        spectra[route] = {"ir": infrared, "raman": Spectrum("raman", x, {"VV": line}, {"VV": "1"})}
    numbers = {route: {"TO, infrared, MD at 300 K, cm⁻¹": 1053.0} for route in spectra}
    rng = np.random.default_rng(0)
    panels = [
        {"name": name, "unit": "e", "splits": {"test": numbers_of(*rng.normal(size=(2, 20, 3)))}}
        for name in ("forces", "dipole", "born_charges", "polarizability")
    ]
    figure = summary.draw(spectra, numbers, panels)
    axes = figure.axes
    np.testing.assert_allclose([ax.lines[0].get_ydata().max() for ax in axes[:3]], 1.0, atol=0.02)
    assert axes[0].lines[1].get_ydata().max() == pytest.approx(0.5, abs=0.02) and len(axes[0].collections) == 2
    for ax in axes[:3]:
        words = " ".join(text.get_text() for text in ax.get_legend().get_texts())
        assert all(word in words for word in ("TNEP", "enthalpy", "TO, DFPT", "LO, DFPT"))
    assert len(axes) == 7
