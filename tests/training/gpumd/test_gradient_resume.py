"""A killed run of the gradient engine in a GPUMD folder resumes, and leaves the files of an uninterrupted run."""

import pytest

from helpers.gpumd_folders import HISTORY, checkpoint_every, rows
from helpers.grid import grid
from tnep_calc.errors import InputError
from tnep_calc.training.gpumd import folder as folder_module
from tnep_calc.training.gpumd import gradient
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directory

pytestmark = pytest.mark.slow

CASES = {
    "plain": ("polarizability", {"generation": 16, "output_interval": 4}, {}),
    "uneven": ("dipole", {"generation": 30, "output_interval": 3, "save_potential": (7, 0, 0)}, {}),
    "patience": ("potential", {"generation": 30, "output_interval": 3, "zbl": 2.0}, {"patience": 30, "restarts": 2}),
    "impatience": ("dipole", {"generation": 300, "output_interval": 3}, {"patience": 3}),
}


@pytest.fixture
def often(monkeypatch):
    """Write checkpoints every four steps, not always at reports."""
    checkpoint_every(monkeypatch, gradient, 4)


@pytest.mark.parametrize("row", grid([1, 3, -1], [3]))
@pytest.mark.parametrize("case", CASES)
def test_bit_for_bit(make, monkeypatch, often, case, row):
    kind, changes, run = CASES[case]
    run = RunOptions(**run)
    folders = [make(kind, name=name, **changes) for name in ("whole", "killed")]
    for folder in folders:
        (folder / "loss.out").write_text(HISTORY if kind != "potential" else HISTORY.rstrip() + "  0.0" * 4 + "\n")
    run_directory(folders[0], run)
    last = [row[0] for row in rows(folders[0])][1:][row]
    write = folder_module.append_row

    def stop(path, text):
        write(path, text)
        if text.startswith(f"{last:g} "):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "append_row", stop)
        with pytest.raises(KeyboardInterrupt):
            run_directory(folders[1], run)
    run_directory(folders[1], run)
    names = sorted(path.name for path in folders[0].iterdir() if path.name != "tnep_checkpoint.pt")
    assert len(names) == {"plain": 7, "uneven": 11, "patience": 13, "impatience": 7}[case]
    assert names == sorted(path.name for path in folders[1].iterdir() if path.name != "tnep_checkpoint.pt")
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    before = {name: (folders[1] / name).read_bytes() for name in names}
    run_directory(folders[1], run)  # finished: nothing changes
    assert {name: (folders[1] / name).read_bytes() for name in names} == before


def test_another_engine_test_set_or_option_is_refused(make):
    folder = make("dipole", generation=4)
    run_directory(folder, RunOptions(patience=3))
    for run in (RunOptions(engine="snes", restarts=1), RunOptions(), RunOptions(patience=4)):
        with pytest.raises(InputError, match="another"):
            run_directory(folder, run)
    train, test = ((folder / f"{name}.xyz").read_text().splitlines(True) for name in ("train", "test"))
    # the same structures, but one has moved to the other file
    (folder / "train.xyz").write_text("".join(train + test[:5]))
    (folder / "test.xyz").write_text("".join(test[5:]))
    with pytest.raises(InputError, match="another split"):
        run_directory(folder, RunOptions(patience=3))


def test_a_finished_run_is_made_longer(make):  # noqa: F811
    """More steps continue L-BFGS from where it ended; existing rows are kept."""
    folder = make("dipole", generation=1000, output_interval=4)
    run_directory(folder, RunOptions(steps=6))
    first = rows(folder)
    assert [row[0] for row in first] == [4, 8, 12]
    run_directory(folder, RunOptions(steps=10))
    longer = rows(folder)
    assert longer[:3] == first and [row[0] for row in longer] == [4, 8, 12, 16, 20]
    assert longer[-1][1] < first[-1][1]
    run_directory(folder, RunOptions(steps=8))  # fewer steps than done: nothing happens
    assert rows(folder) == longer
