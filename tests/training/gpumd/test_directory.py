"""Training folders of GPUMD: both engines, prediction, interruption, and reading the results with other programs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.gpumd_folders import HISTORY, SYMBOLS, interrupted, options, rows, write_xyz
from helpers.paths import shared_data
from helpers.structures import random_structure
from tnep_calc.cli import main
from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.nep_parameters import ZBL
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directory
from tnep_calc.training.results.report import read_run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("engine", ["snes", "gradient"])
@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_other_programs_read_the_results(make, kind, engine):
    calorine = pytest.importorskip("calorine.nep")
    folder = make(kind)
    run_directory(folder, RunOptions(engine=engine, steps=4 if engine == "gradient" else None))
    assert read_nep(folder / "nep.txt").kind == kind
    loss = calorine.read_loss(str(folder / "loss.out"))
    assert list(loss.index) == [2, 4, 6, 8]
    errors = [name for name in loss.columns if name.startswith("RMSE")]
    assert len(errors) == (6 if kind == "potential" else 2)
    np.testing.assert_allclose(loss.total_loss.iloc[-1], rows(folder)[-1][1])
    train, test = calorine.read_structures(str(folder))
    assert (len(train), len(test)) == (5, 2)
    names = {"potential": ("energy", "force", "virial"), "dipole": ("dipole",), "polarizability": ("polarizability",)}
    half = len(errors) // 2
    for split, structures, columns in (("train", train, errors[:half]), ("test", test, errors[half:])):
        for name, column in zip(names[kind], columns, strict=True):
            data = calorine.get_parity_data(structures, name, flatten=True)
            rmse = float(np.sqrt(((data.predicted - data.target) ** 2).mean()))
            if (
                split == "test" or engine == "gradient"
            ):  # during training, SNES reports only the error of the last batch
                assert loss[column].iloc[-1] == pytest.approx(rmse, abs=2e-5), (split, name)
    for k, structure in enumerate(test):
        if kind == "dipole":
            expected = random_structure(5 + k, SYMBOLS[(5 + k) % 3]).dipole / len(structure)
            np.testing.assert_allclose(structure.info["dipole_target"], expected, rtol=1e-5)


def test_stress_is_the_virial_over_the_volume_in_gpa(make):
    folder = make("potential", test=False, generation=2)
    run_directory(folder, RunOptions(engine="snes"))
    virial, stress = np.loadtxt(folder / "virial_train.out"), np.loadtxt(folder / "stress_train.out")
    factors = [len(s) / s.volume * 160.21766 for s in (random_structure(k, SYMBOLS[k % 3]) for k in range(5))]
    np.testing.assert_allclose(stress, virial * np.array(factors)[:, None], rtol=2e-5)
    assert rows(folder)[-1][7:] == [0, 0, 0]  # without a test set


@pytest.mark.parametrize("row", [1, 3])
def test_a_killed_evolution_resumes_bit_for_bit(make, row):
    folders = [make("dipole", name=name) for name in ("whole", "killed")]
    for folder in folders:
        (folder / "loss.out").write_text(HISTORY)  # rows of a previous run are kept
    run = RunOptions(engine="snes")
    run_directory(folders[0], run)
    interrupted(folders[1], row)
    assert len(rows(folders[1])) == 1 + row
    run_directory(folders[1], run)
    for name in ("loss.out", "nep.txt", "nep.restart", "dipole_test.out", "dipole_train.out"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    assert (folders[0] / "loss.out").read_text().startswith(HISTORY)
    before = (folders[1] / "nep.restart").read_bytes()
    run_directory(folders[1], run)  # finished: nothing changes
    assert (folders[1] / "nep.restart").read_bytes() == before and len(rows(folders[1])) == 5


def test_more_generations_and_restarts(make):
    folder = make("dipole", test=False, generation=4)
    run = RunOptions(engine="snes")
    run_directory(folder, run)
    write_nep_in(folder / "nep.in", options("dipole", generation=8), force=True)
    run_directory(folder, run)
    whole = make("dipole", test=False, name="whole")
    run_directory(whole, run)
    assert (folder / "nep.restart").read_bytes() == (whole / "nep.restart").read_bytes()
    assert [row[0] for row in rows(folder)] == [2, 4, 6, 8]
    write_nep_in(folder / "nep.in", options("dipole", sigma0=0.2), force=True)
    with pytest.raises(InputError, match=r"another nep.in or another engine.*--restart"):
        run_directory(folder, run)


def test_restart_starts_from_scratch(make, caplog):
    folder = make("dipole", test=False)
    run = RunOptions(engine="snes")
    names = ("nep.restart", "loss.out", "nep.txt")
    run_directory(folder, run)
    first = {name: (folder / name).read_bytes() for name in names}
    (folder / "tnep_checkpoint.pt").unlink()
    run_directory(folder, run)  # like GPUMD: from nep.restart, counting generations from 0
    assert [row[0] for row in rows(folder)] == [2, 4, 6, 8] * 2
    second = (folder / "nep.restart").read_bytes()
    assert second != first["nep.restart"]
    with caplog.at_level("INFO"):
        run_directory(folder, replace(run, restart=True))
    assert "nep.restart of a previous run is now nep.restart.old" in caplog.text
    assert {name: (folder / name).read_bytes() for name in names} == first
    assert (folder / "nep.restart.old").read_bytes() == second
    gradient = RunOptions(steps=2)
    for _ in range(2):
        run_directory(folder, replace(gradient, restart=True))
        assert [row[0] for row in rows(folder)] == [2, 4]
    assert not (folder / "nep.restart").exists()
    assert (folder / "nep.restart.old").read_bytes() == first["nep.restart"]


@pytest.mark.parametrize(
    ("kind", "changes", "run", "message"),
    [
        ("dipole", {}, {"threads": -1}, r"--threads must be 0 \(by the number of atoms\) or more, got -1"),
        ("dipole", {}, {"memory_gb": -1.0}, "--memory must be a positive number of GB, got -1"),
        ("dipole", {}, {"steps": 0}, "--steps must be at least 1, got 0"),
        ("dipole", {"generation": 0}, {"engine": "snes"}, "'generation' is 0: nothing to train"),
        ("dipole", {"generation": 0}, {"engine": "gradient"}, "'generation' is 0: nothing to train"),
        ("dipole", {}, {"restarts": 0}, "--restarts must be at least 1, got 0"),
        ("dipole", {}, {"patience": -1}, "--patience must be a number of rows of loss.out, got -1"),
        ("dipole", {}, {"scratch": "no/where"}, "--scratch no/where: there is no such folder"),
        ("dipole", {}, {"engine": "snes", "patience": 2}, "--patience and --restarts are for --engine gradient"),
        (
            "potential",
            {"lambda_e": 0.0, "lambda_f": 0.0, "lambda_v": 0.0},
            {},
            "lambda_e, lambda_f, lambda_v are all 0",
        ),
        (
            "potential",
            {"lambda_e": 0.0, "lambda_f": 0.0, "virial": False},
            {},
            "no structure of train.xyz has a virial",
        ),
    ],
)
def test_errors_name_options_and_files_of_the_folder(make, kind, changes, run, message):
    folder = make(kind, **changes)
    with pytest.raises(InputError, match=message):
        run_directory(folder, RunOptions(**run))
    assert sorted(path.name for path in folder.iterdir()) == ["nep.in", "test.xyz", "train.xyz"]


@pytest.mark.parametrize("engine", ["snes", "gradient"])
def test_cutoffs_of_species(make, engine):
    """Errors during training equal those of the final file, evaluated by the reference model."""
    folder = make("dipole", generation=4, batch=100, cutoff=((3.7, 3.4), (3.1, 3.0)))
    run_directory(folder, RunOptions(engine=engine, steps=4 if engine == "gradient" else None))
    np.testing.assert_array_equal(read_nep(folder / "nep.txt").angular_cutoffs, [3.4, 3.0])
    table = np.loadtxt(folder / "dipole_train.out")
    rmse = np.sqrt(((table[:, :3] - table[:, 3:]) ** 2).mean())
    assert rows(folder)[-1][4] == pytest.approx(rmse, abs=2e-5)


def test_fine_tuning(make, tmp_path, caplog):
    """A run starts from a model of more species; its initial predictions are those of that model."""
    caplog.set_level("INFO")
    first = make("dipole", test=False, name="first", species=("B", "H", "N"), generation=40)
    run_directory(first, RunOptions(steps=20))
    before = rows(first)[-1][4]
    table = np.loadtxt(first / "dipole_train.out")
    for name, changes in (("flag", {}), ("keyword", {"fine_tune": ("../first/nep.txt", "../first/nep.restart", "0")})):
        folder = make("dipole", test=False, name=name, generation=40, **changes)
        run_directory(folder, RunOptions(steps=20, start=first / "nep.txt" if name == "flag" else None))
        assert rows(folder)[-1][4] < 0.9 * before
        assert ("nep.restart is for the evolution strategy" in caplog.text) == (name == "keyword")
        new, old = read_nep(folder / "nep.txt"), read_nep(first / "nep.txt")
        same = np.allclose(new.c_radial, old.c_radial[:, :, [2, 0]][:, :, :, [2, 0]], rtol=1e-6)
        assert new.species == ("N", "B") and same == (name == "keyword")
    folder = make("dipole", test=False, name="other", n_max=(3, 2))
    for run, message in (
        (RunOptions(start=first / "nep.txt"), r"model.n_max is \[3, 2\], but the model to start from.*has \[2, 2\]"),
        (RunOptions(start=first / "nep.txt", engine="snes"), "only with the gradient engine"),
    ):
        with pytest.raises(InputError, match=message):
            run_directory(folder, run)
    before = sorted(path.name for path in first.iterdir())
    with pytest.raises(InputError, match="only with the gradient engine"):  # refused before a previous run is discarded
        run_directory(first, RunOptions(start=folder / "nep.in", engine="snes", restart=True))
    assert sorted(path.name for path in first.iterdir()) == before
    assert table.shape == (5, 6)


@pytest.mark.parametrize("engine", ["snes", "gradient"])
def test_atomic_targets(make, engine):
    folder = make("dipole", atomic_v=True, generation=4)
    run_directory(folder, RunOptions(engine=engine, steps=4 if engine == "gradient" else None))
    table = np.loadtxt(folder / "dipole_test.out")
    assert table.shape == (6, 6)
    np.testing.assert_allclose(table[:3, 3:], random_structure(5, "NNB").forces, rtol=1e-5)
    assert rows(folder)[-1][5] == pytest.approx(np.sqrt(((table[:, :3] - table[:, 3:]) ** 2).sum() / 36), abs=1e-5)


@pytest.mark.parametrize("engine", ["snes", "gradient"])
def test_the_repulsion_is_part_of_the_model(make, engine):
    folder = make("potential", zbl=2.0, use_typewise_cutoff_zbl=0.8, generation=4, batch=100)
    run_directory(folder, RunOptions(engine=engine, steps=4 if engine == "gradient" else None))
    assert read_nep(folder / "nep.txt").zbl == ZBL(1.0, 2.0, 0.8)
    for name, column in (("energy", 4), ("force", 5), ("virial", 6)):
        table = np.loadtxt(folder / f"{name}_train.out")
        half = table.shape[1] // 2
        rmse = np.sqrt(((table[:, :half] - table[:, half:]) ** 2).mean())
        assert rows(folder)[-1][column] == pytest.approx(rmse, rel=1e-4, abs=2e-5), name
    (folder / "zbl.in").write_text("")
    with pytest.raises(InputError, match="flexible ZBL"):
        run_directory(folder, RunOptions(engine=engine, restart=True))
    assert (folder / "tnep_checkpoint.pt").exists() and not (folder / "loss.out.old").exists()


@pytest.mark.parametrize("engine", ["snes", "gradient"])
def test_keywords_without_effect_are_named(make, caplog, engine):
    folder = make("dipole", test=False, zbl=2.0, output_descriptor=1)
    run_directory(folder, RunOptions(engine=engine, steps=2 if engine == "gradient" else None))
    (line,) = [r.message for r in caplog.records if "keywords without effect" in r.message]
    assert line.endswith("zbl (only for potentials), output_descriptor (only with 'prediction 1')")


def test_prediction(make):
    folder = make("dipole", generation=2)
    run_directory(folder, RunOptions(engine="snes"))
    expected = np.loadtxt(folder / "dipole_train.out")
    given = options("dipole", prediction=1)
    write_nep_in(folder / "nep.in", replace(given, output_descriptor=1), force=True)
    write_xyz(folder / "train.xyz", range(5), labels=False)
    written = run_directory(folder)
    assert [path.name for path in written] == ["dipole_train.out", "descriptor.out"]
    table = np.loadtxt(folder / "dipole_train.out")
    np.testing.assert_allclose(table[:, :3], expected[:, :3], rtol=1e-5, atol=1e-6)
    assert (table[:, 3:] == -1e6).all()
    by_structure = np.loadtxt(folder / "descriptor.out")
    write_nep_in(folder / "nep.in", replace(given, output_descriptor=2), force=True)
    run_directory(folder)
    by_atom = np.loadtxt(folder / "descriptor.out")
    assert by_atom.shape == (13, given.dim)
    np.testing.assert_allclose(by_structure[0], by_atom[:3].mean(axis=0), rtol=1e-4)
    for wrong in (replace(given, species=("B", "N")), options("polarizability", prediction=1)):
        write_nep_in(folder / "nep.in", wrong, force=True)
        with pytest.raises(ModelFileError, match="nep.in describes a"):
            run_directory(folder)


def test_prediction_of_the_published_example(tmp_path):
    source = shared_data("tnep/qm7b/polarizability")
    (tmp_path / "nep.in").write_text((source / "new_molecule/nep.in").read_text())
    for name, path in (("nep.txt", source / "nep.txt"), ("train.xyz", source / "new_molecule/train.xyz")):
        (tmp_path / name).write_bytes(path.read_bytes())
    run_directory(tmp_path)
    ours, theirs = (
        (path / "polarizability_train.out").read_text().split() for path in (tmp_path, source / "new_molecule")
    )
    assert ours[6:] == theirs[6:]
    np.testing.assert_allclose(np.array(ours[:6], float), np.array(theirs[:6], float), atol=2e-5)


def test_copies_and_import_of_the_scaling(make):
    folder = make("dipole", test=False, save_potential=(3, 0, 1), generation=6)
    run_directory(folder, RunOptions(engine="snes"))
    kept = sorted(path.name for path in folder.glob("nep_gen*"))
    assert kept == ["nep_gen3.restart", "nep_gen3.txt", "nep_gen6.restart", "nep_gen6.txt"]
    assert (folder / "nep_gen6.txt").read_bytes() == (folder / "nep.txt").read_bytes()
    scale = read_nep(folder / "nep.txt").q_scaler
    other = make("dipole", test=False, name="other", import_q_scaler=True, save_potential=(4, 1, 0))
    (other / "nep.txt").write_text((folder / "nep.txt").read_text())
    write_xyz(other / "train.xyz", range(2))  # fewer structures would give a different scaling
    for restart in (False, True):  # the copy is the imported file, not a result
        run_directory(other, RunOptions(engine="snes", restart=restart))
        assert (other / "nep.txt.old").read_bytes() == (folder / "nep.txt").read_bytes()
    np.testing.assert_array_equal(read_nep(other / "nep.txt").q_scaler, scale)
    assert len(list(other.glob("nep_y20*_generation4.txt"))) >= 1


def test_the_report_has_the_settings_that_were_used(make):
    folder = make("dipole", lambda_1=0.5, zbl=2.0)
    run_directory(folder, RunOptions(steps=2, precision="float32"))
    report = read_run(folder)
    settings = dict(report.settings)
    assert report.axes[0] == "step" and len(settings) == len(report.settings)
    assert (settings["engine"], settings["method"], settings["precision"]) == ("gradient", "adam", "float32")
    assert (settings["steps"], settings["steps done"], settings["neuron"]) == ("2", "4", "4")
    assert not {"population", "zbl"} & set(settings)
    assert (settings["lambda_1"], settings["output_interval"], settings["generation"]) == ("0.5", "2", "8")
    run_directory(folder, RunOptions(engine="snes", restart=True))
    report = read_run(folder)
    settings = dict(report.settings)
    assert report.axes[0] == "generation" and settings["engine"] == "snes" and settings["generations done"] == "8"
    assert settings["population"] == "10" and settings["lambda_1"] == "0.5"
    (folder / "tnep_checkpoint.pt").write_bytes(b"")
    assert dict(read_run(folder).settings)["engine"].startswith("unknown")


def test_an_interrupted_command_says_how_to_resume(make, capsys, monkeypatch):
    import tnep_calc.training.gpumd.folder as module

    def stop(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "append_row", stop)
    assert main(["train", str(make("dipole")), "--engine", "snes", "-q"]) == 130
    assert "the same command, without --restart, resumes from the last checkpoint" in capsys.readouterr().err


def test_command_line(make, capsys):
    folder = make("dipole", test=False)
    assert main(["train", str(folder), "--steps", "2", "-q"]) == 0
    out = capsys.readouterr().out.split()
    assert [Path(line).name for line in out] == ["nep.txt", "loss.out", "dipole_train.out"]
    (folder / "tnep_checkpoint.pt").unlink()
    for words, message in (
        (["train", str(folder), "-q"], "would be overwritten"),
        (["train", str(folder), "-q", "-o", "x"], "--output is for configurations"),
        (["train", str(folder), "-q", "--engine", "snes", "--steps", "2"], "for --engine gradient"),
        (["train", str(folder / "none"), "-q", "--steps", "2"], "none does not exist: give a configuration"),
        (["train", str(folder / "nep.in"), "-q", "--engine", "snes"], "--engine is for GPUMD folders"),
    ):
        assert main(words) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(InputError, match="engine must be gradient or snes"):
        run_directory(folder, RunOptions(engine="cma"))
