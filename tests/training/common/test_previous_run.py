"""Output directories with files of a previous run: refusals, and the files that --restart discards."""

import logging
from dataclasses import replace

import pytest

from helpers.training_runs import small_config
from tnep_calc.errors import InputError
from tnep_calc.training.common.config import EnsembleConfig
from tnep_calc.training.common.directory import check_previous, discard


def config(folder, n_splits=0, start=""):
    made = replace(small_config("dipole"), base=folder, ensemble=EnsembleConfig(n_splits))
    return replace(made, model=replace(made.model, start=start), output=replace(made.output, directory="out"))


def touch(folder, *names):
    for name in names:
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_text(name)


@pytest.mark.parametrize(
    "n_splits, names, words",
    [
        (0, ["nep.txt"], "out/nep.txt exists, but no checkpoint in .*--restart"),
        (2, ["member2/nep.txt"], "out/member2/nep.txt exists, but no checkpoint in .*--restart"),
        (0, ["checkpoint.pt", "ensemble.json"], "out has an ensemble: .*--restart"),
        (2, ["checkpoint.pt", "member2/model.pt", "member10/model.pt"], "member10 is of an ensemble of more than 2"),
    ],
)
def test_refusals(tmp_path, n_splits, names, words):
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        check_previous(config(tmp_path, n_splits), restart=False)
    check_previous(config(tmp_path, n_splits), restart=True)


@pytest.mark.parametrize(
    "n_splits, names",
    [
        (0, ["checkpoint.pt", "nep.txt"]),
        (2, ["checkpoint.pt", "ensemble.json", "member1/nep.txt", "member2/model.pt", "member3/notes.txt"]),
        (0, []),
        (3, ["member1/model.pt", "member1/checkpoint.pt"]),  # members of an enthalpy ensemble, or finished single runs
    ],
)
def test_allowed_leftovers(tmp_path, n_splits, names):
    touch(tmp_path, *names)
    check_previous(config(tmp_path, n_splits), restart=False)


def test_restart_discards_exactly_the_files_of_a_training(tmp_path, caplog):
    touch(
        tmp_path,
        "checkpoint.pt",
        "ensemble.json",
        "parity.npz",
        "member1/nep.txt",
        "member12/model.pt",
        "notes.txt",
        "member1/notes.txt",
        "membership/model.pt",
        "member/nep.txt",
    )
    with caplog.at_level(logging.INFO):
        discard(tmp_path / "out")
    left = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left == {"notes.txt", "member1/notes.txt", "membership/model.pt", "member/nep.txt"}
    assert not (tmp_path / "out" / "member12").exists() and "5 files of a previous run" in caplog.text
    discard(tmp_path / "nothing")


def test_the_model_to_start_from_is_not_discarded(tmp_path):
    touch(tmp_path, "member1/nep.txt", "mine/nep.txt")
    with pytest.raises(InputError, match="which --restart would discard"):
        check_previous(config(tmp_path, start="out/member1/nep.txt"), restart=True)
    check_previous(config(tmp_path, start="out/mine/nep.txt"), restart=True)
