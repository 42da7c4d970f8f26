"""Errors of the evolution strategy in any of several GPUMD folders are raised before the first one is trained."""

import pytest

from helpers.gpumd_folders import options, write_xyz
from tnep_calc.errors import TnepError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directories, run_directory

NO_FORCES = {"lambda_e": 0.0, "lambda_f": 0.0}


def make(folder, kind, virial=True, energy_weight=1, zbl_in=False, restart=None, **changes):
    folder.mkdir()
    write_nep_in(folder / "nep.in", options(kind, **changes))
    write_xyz(folder / "train.xyz", range(5), virial=virial)
    text = (folder / "train.xyz").read_text()
    (folder / "train.xyz").write_text(text.replace("weight=1 ", f"weight=1 energy_weight={energy_weight} "))
    if zbl_in:
        (folder / "zbl.in").write_text("")
    if restart:
        (folder / "nep.restart").write_text(restart)
    return folder


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("potential", {"energy_weight": 2}, r"train.xyz, structure 0 \(and 4 more\): 'energy_weight' is not supported"),
        (
            "potential",
            {**NO_FORCES, "virial": False},
            "no structure of train.xyz has a virial: nothing is left to train on",
        ),
        ("potential", {"zbl": 2.0, "zbl_in": True}, "zbl.in: the flexible ZBL repulsion is not supported"),
        ("dipole", {"fine_tune": ("nep.txt", "nep.restart")}, "the run writes its result there"),
        ("dipole", {"restart": "1 1\n"}, "nep.restart: nep.in needs"),
        ("dipole", {"import_q_scaler": True}, "second/nep.txt"),
    ],
)
def test_errors_before_any_training(tmp_path, kind, changes, message):
    first, second = make(tmp_path / "first", kind), make(tmp_path / "second", kind, **changes)
    before = sorted(path.name for path in first.iterdir())
    with pytest.raises(TnepError, match=message):
        run_directories([first, second], RunOptions(engine="snes"))
    assert sorted(path.name for path in first.iterdir()) == before
    with pytest.raises(TnepError, match=message):
        run_directory(second, RunOptions(engine="snes"))


def test_irrelevant_settings_are_no_errors(tmp_path):
    """The energy has no weight in the training of a dipole, and folders that predict need no training."""
    folder = make(tmp_path / "a", "dipole", energy_weight=2, generation=2)
    assert run_directories([folder], RunOptions(engine="snes"))
    write_nep_in(folder / "nep.in", options("dipole", prediction=1, fine_tune=("nep.txt", "x")), force=True)
    assert [path.name for path in run_directories([folder], RunOptions(engine="snes"))] == ["dipole_train.out"]
