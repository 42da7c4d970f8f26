"""A whole radnet training by command: files, ensemble, resuming, report, and the commands that use the model."""

import json

import numpy as np
import pytest

from helpers.random_radnet import SPECIES
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main
from tnep_calc.io.structures.extxyz import write_dataset

pytestmark = pytest.mark.slow

CONFIG = """
[data]
files = ["data.extxyz"]
validation_fraction = 0.2
test_fraction = 0.2
[model]
kind = "radnet"
species = ["B", "N"]
cutoff = 3.4
points = 5
width = 3.6
filters = 4
hidden = 8
[optimizer]
epochs = 8
[output]
directory = "out"
report_interval = 4
checkpoint_interval = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, structures):
    folder = tmp_path_factory.mktemp("radnet")
    write_dataset(folder / "data.extxyz", structures)
    (folder / "single.toml").write_text(CONFIG)
    (folder / "many.toml").write_text(CONFIG.replace('"out"', '"many"') + "[ensemble]\nn_splits = 2\n")
    assert main(["train", "-q", str(folder / "single.toml")]) == 0
    return folder


def test_files_of_a_run(folder):
    out = folder / "out"
    results = json.loads((out / "results.json").read_text())
    assert results["kind"] == "radnet" and results["epochs"] == 8
    assert set(results["errors"]["test"]) == {"dipole", "born_charges", "polarizability", "epsilon_inf"}
    assert {"loss.png", "parity.png", "parity.npz", "log.csv", "checkpoint.pt", "model.pt"} <= {
        p.name for p in out.iterdir()
    }
    metadata = TNEPCalculator(radnet=out / "model.pt").models["radnet"][0].metadata
    assert metadata.species == SPECIES and set(metadata.training_range["low"]) == set(SPECIES)


def test_finished_run_is_not_repeated(folder):
    before = (folder / "out" / "results.json").read_text()
    assert main(["train", "-q", str(folder / "single.toml")]) == 0
    assert (folder / "out" / "results.json").read_text() == before


def test_ensemble_report_and_prediction(folder, capsys):
    assert main(["train", "-q", str(folder / "many.toml")]) == 0
    summary = json.loads((folder / "many" / "ensemble.json").read_text())
    assert summary["kind"] == "radnet" and len(summary["members"]) == 2
    assert summary["errors"]["test"]["born_charges"]["deviation"] > 0
    for name in ("out", "many"):
        assert main(["report", str(folder / name)]) == 0
        assert "radnet" in (folder / name / "report.html").read_text()
    models = [str(folder / "many" / f"member{k}" / "model.pt") for k in (1, 2)]
    assert main(["predict", str(folder / "data.extxyz"), "--radnet", *models, "-o", str(folder / "p.extxyz")]) == 0
    text = capsys.readouterr().out
    assert "born_charges" in text and "epsilon_inf" in text and "models +-" in text


def test_series_of_a_trajectory(folder):
    from tnep_calc.io.series.timeseries import read_timeseries

    model = str(folder / "out" / "model.pt")
    assert (
        main(
            [
                "series",
                str(folder / "data.extxyz"),
                "-o",
                str(folder / "s.h5"),
                "--radnet-model",
                model,
                "--interval",
                "1fs",
                "--temperature",
                "300",
            ]
        )
        == 0
    )
    series = read_timeseries(folder / "s.h5")
    assert series.dipole.values.shape == (10, 3) and np.isfinite(series.polarizability.values).all()
    assert (
        main(
            [
                "series",
                str(folder / "data.extxyz"),
                "-o",
                str(folder / "t.h5"),
                "--radnet-model",
                model,
                "--dipole-model",
                model,
                "--interval",
                "1fs",
            ]
        )
        != 0
    )
