"""Ensembles of enthalpy models: members equal single runs, shared frames, errors of the mean, resuming a killed run."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read, write
from matplotlib.figure import Figure

from helpers.grid import grid
from helpers.paths import EXAMPLES
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.plotting.training import plot_enthalpy_histories
from tnep_calc.training.common import epochs
from tnep_calc.training.common.checkpoint import fingerprint
from tnep_calc.training.common.ensemble import MemberValues
from tnep_calc.training.common.parity import load_panels
from tnep_calc.training.enthalpy import frames, trainer
from tnep_calc.training.enthalpy.config import load_enthalpy_config, parse_enthalpy_config
from tnep_calc.training.enthalpy.run import SHOWN, EnthalpyRun, mean_of
from tnep_calc.training.results.report import read_run

pytestmark = pytest.mark.slow

DATA = EXAMPLES / "bn" / "bn8.extxyz"
SINGLE = """
[data]
files = ["data.extxyz"]
test_fraction = 0.25
validation_fraction = 0.0
[model]
kind = "enthalpy"
species = ["B", "N"]
cutoff = 2.6
n_radial = 4
channels = 2
hidden = 4
seed = {seed}
[optimizer]
epochs = 4
precision = "float64"
[output]
directory = "out"
report_interval = 2
checkpoint_interval = 1
"""
ENSEMBLE = SINGLE.format(seed=3) + "[ensemble]\nn_splits = 3\ntrain_fraction = {fraction}\n"
FRACTIONS = {"all": 1.0, "parts": 0.7}


@pytest.fixture(scope="module", autouse=True)
def _figures_are_not_drawn():
    """Do not draw figures, which take three quarters of the time of these runs."""

    def savefig(figure, target, **options):
        if not hasattr(target, "write"):
            Path(target).touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with data, configurations, and finished ensembles in ``all`` and ``parts``."""
    path = tmp_path_factory.mktemp("ensemble")
    structures = read(DATA, "1:9")
    structures[0].info["electric_field"] = np.array([0.02, -0.01, 0.03])
    write(path / "data.extxyz", structures)
    for name, fraction in FRACTIONS.items():
        (path / f"{name}.toml").write_text(ENSEMBLE.format(fraction=fraction))
        assert main(["train", str(path / f"{name}.toml"), "-q", "-o", str(path / name)]) == 0
    return path


def summary_of(path):
    return json.loads((path / "ensemble.json").read_text())


def models(path):
    return [torch.load(path / f"member{k}" / "checkpoint.pt", weights_only=True)["average"] for k in (1, 2, 3)]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_member_equals_the_single_run_with_its_seed(folder, monkeypatch, tmp_path):
    single = folder / "single.toml"
    single.write_text(SINGLE.format(seed=4))
    assert main(["train", str(single), "-q", "-o", str(tmp_path / "single")]) == 0
    alone = torch.load(tmp_path / "single" / "checkpoint.pt", weights_only=True)
    first, second, third = models(folder / "all")
    assert same(second, alone["average"]) and not same(first, second) and not same(second, third)
    assert {p.name for p in (folder / "all" / "member2").iterdir()} == {p.name for p in (tmp_path / "single").iterdir()}

    # neither finished members nor finished single runs are trained again
    shutil.copytree(folder / "all", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "member2")
    shutil.move(tmp_path / "single", tmp_path / "again" / "member2")
    (tmp_path / "again" / "ensemble.json").unlink()
    monkeypatch.setattr(trainer.EnthalpyTrainer, "advance", None)
    assert main(["train", str(folder / "all.toml"), "-q", "-o", str(tmp_path / "again")]) == 0
    assert summary_of(tmp_path / "again")["errors"] == summary_of(folder / "all")["errors"]


@pytest.mark.parametrize("killed_at", grid([6, 8], [6]))
def test_a_killed_ensemble_resumes_exactly(folder, monkeypatch, tmp_path, killed_at):
    """Killed after some checkpoints of 4 per member: in the second one, and between it and the third."""
    config = load_enthalpy_config(folder / "all.toml", str(tmp_path / "killed"))
    save, written = epochs.save_checkpoint, []

    def killed(path, state):
        save(path, state)
        written.append(path)
        if len(written) == killed_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(epochs, "save_checkpoint", killed)
        EnthalpyRun(config).run()
    assert not (tmp_path / "killed" / "ensemble.json").exists()
    monkeypatch.setattr(epochs, "save_checkpoint", lambda path, state: (save(path, state), written.append(path)))
    EnthalpyRun(config).run()
    assert len(written) == 12
    assert all(same(a, b) for a, b in zip(models(tmp_path / "killed"), models(folder / "all"), strict=True))
    assert summary_of(tmp_path / "killed")["errors"] == summary_of(folder / "all")["errors"]


def test_bagging_draws_the_documented_splits(folder):
    """Splits are those of calorine, drawn from the structures that are not in the common test set."""
    summary = summary_of(folder / "parts")
    order = np.random.default_rng(0).permutation(8)
    test, rest = np.sort(order[:2]), np.sort(order[2:])
    draws = np.random.RandomState(42)
    assert summary["test"] == test.tolist() and summary["ensemble"]["train_fraction"] == 0.7
    for member in summary["members"]:
        assert member["train"] == rest[np.sort(draws.choice(6, size=4, replace=False))].tolist()
        assert sorted(member["train"] + member["validation"]) == rest.tolist()
        results = json.loads((folder / "parts" / member["directory"] / "results.json").read_text())
        assert results["splits"] == {name: member.get(name, test.tolist()) for name in ("test", "validation", "train")}
        assert results["errors"] == member["errors"]
    assert all(
        member["train"] == rest.tolist() and not member["validation"]
        for member in summary_of(folder / "all")["members"]
    )


def by_hand(calculator, s):
    """Return the errors of one model: energy in eV per atom, the dipole folded to the branch of the label."""
    atoms = Atoms(s.symbols, s.positions, cell=s.cell, pbc=s.pbc)
    calculator.efield = s.electric_field
    found = {
        name: calculator.get_property(name, atoms)
        for name in ("energy", "forces", "stress", "dipole", "polarizability")
    }
    dipole = found["dipole"] - s.dipole
    quanta = np.rint(dipole @ np.linalg.inv(s.cell)) @ s.cell
    field = np.zeros(3) if s.electric_field is None else s.electric_field
    return {
        "energy": (found["energy"] - s.energy + field @ quanta) / len(s),
        "forces": 1e3 * (found["forces"] - s.forces),
        "dipole": 1e3 * (dipole - quanta),
        "polarizability": 1e3 * (found["polarizability"] - s.polarizability),
        "born_charges": 1e3
        * (calculator.get_property("born_effective_charges", atoms) - s.born_charges + s.born_charges.mean(0)),
    }, bool(quanta.any())


@pytest.mark.parametrize(
    ("name", "split"), [("all", "test"), ("all", "train"), ("parts", "validation"), ("parts", "train")]
)
def test_errors_of_the_mean(folder, name, split):
    summary = summary_of(folder / name)
    structures = read_dataset(folder / "data.extxyz")
    calculators = [TNEPCalculator(enthalpy=folder / name / f"member{k}" / "model.pt") for k in (1, 2, 3)]
    means, deviations, of_member, folded = {}, {}, {}, False
    for k, s in enumerate(structures):
        members = [
            j
            for j, member in enumerate(summary["members"])
            if k in (member.get(split) or summary["test"] * (split == "test"))
        ]
        if not members:
            continue
        errors = []
        for j in members:
            error, jumped = by_hand(calculators[j], s)
            errors.append(error)
            folded |= jumped
        for label in errors[0]:
            values = np.array([error[label] for error in errors])
            means.setdefault(label, []).append(values.mean(0).ravel())
            if len(members) > 1:
                deviations.setdefault(label, []).append(values.std(0, ddof=1).ravel())
            for j, value in zip(members, values, strict=True):
                of_member.setdefault(label, {}).setdefault(j, []).append(value.ravel())
    assert folded and len(means) == 5
    stored = {panel["name"]: panel["splits"][split] for panel in load_panels(folder / name)}
    for label, errors in means.items():
        numbers, mean = summary["errors"][split][label], np.concatenate(errors)
        assert numbers["rmse"] == pytest.approx(np.sqrt(np.mean(mean**2)), rel=1e-6)
        assert numbers["mae"] == pytest.approx(np.abs(mean).mean(), rel=1e-6)
        assert numbers["deviation"] == pytest.approx(np.sqrt(np.mean(np.concatenate(deviations[label]) ** 2)), rel=1e-6)
        single = [np.mean(np.concatenate(value) ** 2) for value in of_member[label].values()]
        assert numbers["rmse_of_members"] == pytest.approx(np.sqrt(np.mean(single)), rel=1e-6)
        np.testing.assert_allclose(
            (stored[label]["prediction"] - stored[label]["target"]).ravel(), mean, rtol=1e-5, atol=1e-8
        )


def test_members_on_other_branches_of_the_polarization():
    """The mean is taken on the branch of the first member; its errors are folded."""
    structures = read_dataset(DATA)[:2]
    pool = [SimpleNamespace(labels=("dipole",)), SimpleNamespace(labels=())]  # the second structure has no label
    gathered, run = MemberValues(structures), EnthalpyRun(None)
    for branch, error in ((0.0, 0.1), (3.6, 0.3), (-7.2, -0.1)):
        target = np.array([[1.0, 2.0, 3.0]]) + branch
        member = SimpleNamespace(indices={"test": np.array([0, 1])}, pool=pool)
        run.add_member(gathered, member, {"test": {"dipole": (target, target + error, np.zeros(1, dtype=int))}})
    found, deviations = mean_of(gathered)
    target, prediction, _ = found["test"]["dipole"]
    np.testing.assert_allclose(target, [[1, 2, 3]])
    np.testing.assert_allclose(prediction, [[1.1, 2.1, 3.1]])
    np.testing.assert_allclose(deviations["test"]["dipole"], 0.2)


def test_frames_are_computed_once_and_within_the_limit(folder, monkeypatch, tmp_path):
    made, make = [], frames.make_frame
    monkeypatch.setattr(frames, "make_frame", lambda *args, **kw: made.append(args[0].source) or make(*args, **kw))
    shutil.copytree(folder / "parts", tmp_path / "parts")
    EnthalpyRun(load_enthalpy_config(folder / "parts.toml", str(tmp_path / "parts"))).run()
    assert len(made) == len(set(made)) == 8
    small = (folder / "parts.toml").read_text().replace("epochs", "memory_gb = 1e-6\nepochs")
    (folder / "small.toml").write_text(small)
    with pytest.raises(InputError, match="the derivatives of 8 structures need .*memory_gb"):
        EnthalpyRun(load_enthalpy_config(folder / "small.toml", str(tmp_path / "small"))).run()


def test_another_split_is_refused_unless_restarted(folder, tmp_path, capsys):
    for name, other in (("all", "parts"), ("parts", "all")):
        shutil.copytree(folder / name, tmp_path / name)
        command = ["train", str(folder / f"{other}.toml"), "-q", "-o", str(tmp_path / name)]
        assert main(command) == 1
        assert "another split" in capsys.readouterr().err
    assert main([*command, "--restart"]) == 0
    assert all(same(a, b) for a, b in zip(models(tmp_path / name), models(folder / other), strict=True))


def test_files_report_and_prediction(folder, tmp_path, capsys):
    out = folder / "parts"
    assert {p.name for p in out.iterdir()} == {
        "member1",
        "member2",
        "member3",
        "ensemble.json",
        "history.png",
        "model.pt",
        "parity.png",
        "parity.npz",
    }
    run = read_run(out)
    assert len(run.curves) == 3 and dict(run.settings)["n_splits"] == "3" and run.axes[0] == "epoch"
    paths = [str(out / f"member{k}" / "model.pt") for k in (1, 2, 3)]
    assert main(["report", str(out), "-o", str(tmp_path / "page.html")]) == 0
    assert "the mean of 3 in colour" in (tmp_path / "page.html").read_text()
    atoms = read(folder / "data.extxyz", 3)
    mean, *each = [TNEPCalculator(enthalpy=path).get_forces(atoms) for path in (out / "model.pt", *paths)]
    np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=1e-12)
    capsys.readouterr()
    assert main(["predict", str(folder / "data.extxyz"), "--enthalpy", *paths]) == 0
    assert "models +-" in capsys.readouterr().out


def test_figure_of_histories():
    rows = [
        [{"epoch": e, "mae_energy_train": 1 / e + k, "mae_energy_validation": 2 / e} for e in (2, 4)] for k in range(3)
    ]
    for histories, lines in ((rows, 8), (rows[:1], 2)):
        figure = plot_enthalpy_histories(histories, SHOWN)
        assert len(figure.axes[0].lines) == lines and figure.axes[0].get_yscale() == "log"
    np.testing.assert_allclose(
        plot_enthalpy_histories(rows, {"energy": ("meV", 10.0)}).axes[0].lines[3].get_ydata(), [15, 12.5]
    )


def test_an_ensemble_does_not_change_the_identity_of_a_member(folder):
    config = load_enthalpy_config(folder / "all.toml")
    (folder / "plain.toml").write_text(SINGLE.format(seed=3))
    assert fingerprint(config, []) == fingerprint(load_enthalpy_config(folder / "plain.toml"), [])


@pytest.mark.parametrize("key", ["n_splits", "method", "train_fraction", "seed"])
def test_bad_tables(key):
    bad = {"n_splits": 1, "method": "jackknife", "train_fraction": 1.1, "seed": -1}
    tables = {
        "data": {"files": ["x"]},
        "model": {"kind": "enthalpy", "species": ["B"]},
        "output": {"directory": "out"},
        "ensemble": {key: bad[key]},
    }
    with pytest.raises(InputError, match=f"ensemble.{key}"):
        parse_enthalpy_config(tables)
