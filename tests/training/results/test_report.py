"""The report of a training run: single runs, ensembles, and folders of GPUMD."""

import base64
import json
import re

import numpy as np
import pytest
from ase.io import read, write

from helpers.ensemble_runs import TOML, smooth_structures
from helpers.paths import EXAMPLES, shared_data
from tnep_calc.artifact import read_metadata
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.training.common.parity import load_panels, numbers_of
from tnep_calc.training.results.report import component_groups, read_run, write_report

pytestmark = pytest.mark.slow

DATA = EXAMPLES / "bn" / "bn8.extxyz"


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    write(path / "data.extxyz", smooth_structures(12))
    (path / "config.toml").write_text(TOML.replace("n_splits = 3", "n_splits = 2"))
    assert main(["train", str(path / "config.toml"), "-q"]) == 0
    return path / "out"


def images(page):
    return re.findall(r'src="data:image/png;base64,([^"]+)"', page)


def test_groups_of_components():
    rng = np.random.default_rng(0)
    target, prediction = rng.normal(size=(2, 7, 6))
    panel = {"name": "polarizability", "unit": "x", "splits": {"test": {"target": target, "prediction": prediction}}}
    diagonal, rest = component_groups(panel)
    assert (diagonal["name"], rest["name"]) == ("polarizability, i = j", "polarizability, i ≠ j")
    numbers = diagonal["splits"]["test"]
    difference = (prediction - target)[:, :3]
    assert numbers["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert numbers["mae"] == pytest.approx(abs(difference).mean())
    assert numbers["r2"] == pytest.approx(1 - (difference**2).sum() / (7 * target[:, :3].var(axis=0).sum()))
    np.testing.assert_array_equal(rest["splits"]["test"]["target"], target[:, 3:])
    born = {**panel, "splits": {"test": dict.fromkeys(("target", "prediction"), rng.normal(size=(5, 3, 3)))}}
    assert [g["splits"]["test"]["target"].shape for g in component_groups(born)] == [(5, 3), (5, 6)]
    assert (
        len(component_groups({**panel, "splits": {"a": dict.fromkeys(("target", "prediction"), target[:, :3])}})) == 1
    )
    assert np.isnan(numbers_of(np.ones(3), np.zeros(3))["r2"])


def test_single_run_and_ensemble(ensemble, capsys):
    results = json.loads((ensemble / "member1" / "results.json").read_text())
    stored = {panel["name"]: panel for panel in load_panels(ensemble / "member1")}
    for split, numbers in results["errors"].items():
        arrays = stored["polarizability"]["splits"][split]
        assert numbers_of(arrays["target"], arrays["prediction"])["rmse"] == pytest.approx(
            numbers["polarizability"]["rmse"], rel=1e-6
        )
    trained = len(results["splits"]["train"])
    assert read_metadata(ensemble / "member1" / "model.pt").training_range["structures"] == trained
    assert main(["report", str(ensemble / "member1")]) == 0
    assert capsys.readouterr().out.strip() == str(ensemble / "member1" / "report.html")
    assert main(["report", str(ensemble / "member1")]) == 1 and "--force" in capsys.readouterr().err
    page = (ensemble / "member1" / "report.html").read_text()
    assert len(images(page)) == 3 and "polarizability, i ≠ j" in page and "optimizer.lr" in page
    assert "spread of models" not in page
    assert main(["report", str(ensemble), "-o", str(ensemble / "all.html")]) == 0
    page = (ensemble / "all.html").read_text()
    assert "spread of models" in page and "the mean of 2 in colour" in page and "n_splits" in page
    assert all(base64.b64decode(data).startswith(b"\x89PNG") for data in images(page))
    assert len(read_run(ensemble).curves) == 2


def test_folders_of_gpumd(tmp_path):
    """For the published QM7B models, the errors on the page are those of their loss.out."""
    import gzip

    source = shared_data("tnep/qm7b/polarizability")
    for k in (1, 2):
        folder = tmp_path / f"split{k}"
        folder.mkdir()
        (folder / "nep.in").write_bytes((source / "nep.in").read_bytes())
        for name in ("loss.out", "polarizability_test.out"):
            (folder / name).write_bytes(gzip.decompress((source / f"{name}.gz").read_bytes()))
    run = read_run(tmp_path / "split1")
    (panel,) = run.panels
    numbers = numbers_of(*(panel["splits"]["test"][key] for key in ("target", "prediction")))
    assert numbers["rmse"] == pytest.approx(run.curves[0]["test"][1][-1], abs=1e-5)
    page = write_report([tmp_path / "split1", tmp_path / "split2"])
    assert page == tmp_path / "report.html"
    text = page.read_text()
    assert (
        "Settings of all runs" in text
        and f'<td class="number">{2 * 3 * len(panel["splits"]["test"]["target"])}' in text
    )


def test_bad_folders(tmp_path, ensemble):
    with pytest.raises(InputError, match="none of ensemble.json"):
        write_report([tmp_path])
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(DataFileError, match="KeyError: .kind."):
        write_report([tmp_path])


def test_enthalpy_model(tmp_path):
    """The report of an enthalpy training has mean absolute errors of every label instead of a loss."""
    frames = read(DATA, ":6")
    write(tmp_path / "data.extxyz", frames, format="extxyz")
    (tmp_path / "config.toml").write_text(
        '[data]\nfiles = ["data.extxyz"]\nvalidation_fraction = 0.2\ntest_fraction = 0.0\n[model]\nkind = "enthalpy"\n'
        'species = ["B", "N"]\ncutoff = 3.0\nchannels = 2\n[optimizer]\nepochs = 2\n[output]\ndirectory = "out"\n'
    )
    assert main(["train", str(tmp_path / "config.toml"), "-q"]) == 0
    run = read_run(tmp_path / "out")
    assert {"energy", "forces", "born_charges", "polarizability"} <= set(run.curves[0])
    assert {"forces", "born_charges"} <= {panel["name"] for panel in run.panels}
    text = write_report([tmp_path / "out"]).read_text()
    assert "born_charges, i ≠ j" in text and "model.channels" in text
    assert read_metadata(tmp_path / "out" / "model.pt").training_range["structures"] == 5
