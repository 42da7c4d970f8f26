"""Early stopping on test.xyz, several starts, and streamed moments of the gradient engine in GPUMD folders."""

import logging
import tempfile

import numpy as np
import pytest

from helpers.gpumd_folders import options, rows, write_xyz
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.training.gpumd import folder as folder_module
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directories, run_directory

pytestmark = pytest.mark.slow

LONG = {"generation": 400, "output_interval": 5}


def rmse(path):
    prediction, target = np.hsplit(np.loadtxt(path, ndmin=2), 2)
    return np.sqrt(((prediction - target) ** 2).mean())


def lines(caplog, word):
    return [r.getMessage() for r in caplog.records if word in r.getMessage()]


@pytest.mark.parametrize("kind", ["dipole", "polarizability"])
def test_the_best_model_is_kept(make, caplog, monkeypatch, kind):
    """Five training structures overfit: the error on test.xyz soon rises, and the rows of loss.out show it."""
    caplog.set_level(logging.INFO)
    folder = make(kind, **LONG)
    write, so_far = folder_module.append_row, []

    def append_row(path, text):
        so_far.append(float(text.split()[5]))
        assert rmse(folder / f"{kind}_test.out") == pytest.approx(min(so_far), abs=2e-5)
        write(path, text)

    monkeypatch.setattr(folder_module, "append_row", append_row)
    run_directory(folder, RunOptions(patience=3))
    table = np.array(rows(folder))
    best = np.argmin(table[:, 5])
    first, later = (table[(table[:, 0] <= 200) == early] for early in (True, False))  # Adam, then L-BFGS
    assert first[-1, 0] == first[np.argmin(first[:, 5]), 0] + 3 * 5 < 200 and first[-1, 5] > first[:, 5].min()
    bettered = later[later[:, 5] < first[:, 5].min()]
    since = bettered[np.argmin(bettered[:, 5]), 0] if len(bettered) else 200
    assert later[-1, 0] == since + 3 * 5 < 400
    assert table[-1, 5] > table[best, 5]
    assert rmse(folder / f"{kind}_test.out") == pytest.approx(table[best, 5], abs=2e-5)
    assert rmse(folder / f"{kind}_train.out") == pytest.approx(table[best, 4], abs=2e-5)
    (line,) = lines(caplog, "patience")
    assert line.endswith("so its errors on test.xyz are slightly too small")
    steps = int(table[-1, 0]), int(table[best, 0])
    assert lines(
        caplog, f"stopped after {steps[0]} of 400 steps; nep.txt is that of step {steps[1]}, with the smallest"
    )


def test_initial_parameters_that_are_never_improved_are_the_result(make):
    """test.xyz has the training structures of the model to start from, train.xyz has others."""
    first = make("dipole", name="first", test=False, generation=200)
    run_directory(first)
    folder = make("dipole", name="second", generation=200, output_interval=5)
    (folder / "test.xyz").write_text((first / "train.xyz").read_text())
    write_xyz(folder / "train.xyz", range(20, 25))
    run_directory(folder, RunOptions(start=first / "nep.txt", patience=2))
    assert [row[0] for row in rows(folder)] == [5, 10, 105, 110]  # two rows of Adam, two of L-BFGS
    np.testing.assert_allclose(
        np.loadtxt(folder / "dipole_test.out"), np.loadtxt(first / "dipole_train.out"), atol=2e-5
    )


def test_a_model_that_keeps_improving_is_trained_to_the_end(make, caplog):
    caplog.set_level(logging.INFO)
    folder = make("dipole", generation=20, output_interval=5)
    (folder / "test.xyz").write_text((folder / "train.xyz").read_text())
    run_directory(folder, RunOptions(patience=3))
    assert [row[0] for row in rows(folder)] == [5, 10, 15, 20]
    assert lines(caplog, "done after 20 of 20 steps; nep.txt is that of step 20")
    assert rows(folder)[-1][4] == rows(folder)[-1][5]


def test_a_potential_with_repulsion(make):
    """The repulsion is subtracted from the targets of test.xyz too: here its error equals that of train.xyz."""
    folder = make("potential", zbl=2.0, generation=12, output_interval=4)
    (folder / "test.xyz").write_text((folder / "train.xyz").read_text())
    run_directory(folder, RunOptions(patience=2))
    for row in rows(folder):
        np.testing.assert_allclose(row[4:7], row[7:10], atol=2e-5)
    assert [row[0] for row in rows(folder)] == [4, 8, 12]
    assert read_nep(folder / "nep.txt").zbl is not None


@pytest.mark.parametrize("atomic", [False, True])
def test_without_patience_all_steps_are_done_and_the_last_is_kept(make, atomic):
    folder = make("dipole", generation=100, output_interval=5, atomic_v=atomic)
    run_directory(folder)
    table = np.array(rows(folder))
    assert table[-1, 0] == 100 and np.argmin(table[:, 5]) < len(table) - 1
    factor = 1 / np.sqrt(2) if atomic else 1.0  # GPUMD divides by six per atom
    assert rmse(folder / "dipole_test.out") * factor == pytest.approx(table[-1, 5], abs=2e-5)


def test_patience_needs_a_test_set(make):
    first, second = make("dipole", name="first"), make("dipole", name="second", test=False)
    before = sorted(path.name for path in first.iterdir())
    with pytest.raises(InputError, match="second: --patience needs a test.xyz, whose loss decides when to stop"):
        run_directories([first, second], RunOptions(patience=3))
    assert sorted(path.name for path in first.iterdir()) == before


def test_folders_trained_together_equal_folders_trained_alone(make):
    """The shared moments include test.xyz; there are no batches here, as these are drawn from all folders."""
    run = RunOptions(patience=3, restarts=2)
    folders = [make("dipole", name=name, **{**LONG, "batch": 10}) for name in ("first", "second", "alone")]
    for folder in folders[1:]:
        write_xyz(folder / "train.xyz", range(1, 7))
        write_xyz(folder / "test.xyz", (0, 8))
    run_directories(folders[:2], run)
    run_directories(folders[2:], run)
    together, alone = (np.array(rows(folder)) for folder in folders[1:])
    np.testing.assert_array_equal(together[:, 0], alone[:, 0])
    np.testing.assert_allclose(together[:, 1:], alone[:, 1:], atol=2e-5)


@pytest.mark.parametrize("patience", [0, 100])
def test_the_best_of_several_starts_is_kept(make, caplog, monkeypatch, patience):
    """It is chosen by the loss on train.xyz, or, with patience, by that on test.xyz."""
    from tnep_calc.training.nep.trainer import Trainer

    caplog.set_level(logging.INFO)
    found, original = [], Trainer._watched_losses

    def watched(self):
        losses = original(self)
        for name in self.parts:
            terms = self.objective.terms(self.parts[name].labels, self._predict(name, self.vector))
            found.append((name, self.objective.loss(terms).numpy()))
        found.append(("used", losses.numpy()))
        return losses

    monkeypatch.setattr(Trainer, "_watched_losses", watched)
    folder = make("dipole", **LONG)
    run_directory(folder, RunOptions(steps=10, restarts=5, patience=patience))
    losses = dict(found)
    np.testing.assert_array_equal(losses["used"], losses["validation" if patience else "train"])
    best = np.argmin(losses["used"]) + 1
    assert lines(caplog, f"start {best} of 5 is the best after 50 steps")
    assert rows(folder)[-1][0] == 70 and rows(folder)[9][0] == 50
    if not patience:
        assert losses["train"][best - 1] < losses["train"][0]  # else the test would pass with a single start


def test_a_model_to_start_from_excludes_several_starts(make):
    first = make("dipole", name="first", test=False)
    run_directory(first)
    folder = make("dipole", name="second", test=False)
    with pytest.raises(InputError, match="--restarts needs random initial parameters, but --start or fine_tune"):
        run_directory(folder, RunOptions(start=first / "nep.txt", restarts=2))


@pytest.mark.parametrize("engine", ["gradient", "snes"])
def test_moments_are_streamed_to_the_given_folder(make, tmp_path, monkeypatch, caplog, engine):
    caplog.set_level(logging.INFO)
    folders, original = [], tempfile.TemporaryFile

    def temporary(*args, dir=None, **options):
        folders.append(dir)
        return original(*args, dir=dir, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)  # relative paths start here
    folder = make("dipole")
    run_directory(
        folder, RunOptions(scratch="scratch", memory_gb=1e-4 if engine == "gradient" else 2e-5, engine=engine)
    )
    assert folders == [tmp_path / "scratch"]
    assert lines(caplog, f"streamed from a temporary file in {tmp_path / 'scratch'}")
    memory = make("dipole", name="memory")
    run_directory(memory, RunOptions(engine=engine))
    assert len(folders) == 1 and rows(memory) == rows(folder)


def test_the_command_line(make, tmp_path, capsys):
    folder = make("dipole", **LONG)
    words = ["train", str(folder), "-q", "--patience", "2", "--restarts", "2", "--scratch", str(tmp_path)]
    assert main(words) == 0
    assert 31 < rows(folder)[-1][0] < 400  # 31: the share of the steps before the choice
    write_nep_in(folder / "nep.in", options("dipole", generation=40), force=True)
    (tmp_path / "run.toml").write_text("")
    for option in (["--patience", "2"], ["--restarts", "2"], ["--scratch", "x"]):
        capsys.readouterr()
        assert main(["train", str(tmp_path / "run.toml"), *option]) == 1
        assert f"{option[0]} is for GPUMD folders; a configuration has its own keys ([optim" in capsys.readouterr().err
        if option[0] != "--scratch":
            assert main(["train", str(folder), "--engine", "snes", *option]) == 1
            assert "are for --engine gradient" in capsys.readouterr().err
