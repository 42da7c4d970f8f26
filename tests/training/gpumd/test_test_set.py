"""Checks of test.xyz of a GPUMD folder: those of train.xyz, and whether it has structures of train.xyz."""

import pytest

from helpers.gpumd_folders import options, write_xyz
from helpers.harmonic_crystal import changed, frames
from tnep_calc.datasets.checks import check_before_testing, check_structures
from tnep_calc.errors import DataFileError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.training.gpumd.folder import Folder


@pytest.fixture
def make(tmp_path, caplog):
    caplog.set_level("INFO")

    def make(train, test, change=lambda text: text):
        write_nep_in(tmp_path / "nep.in", options("potential"), force=True)
        write_xyz(tmp_path / "train.xyz", train)
        write_xyz(tmp_path / "test.xyz", test)
        (tmp_path / "test.xyz").write_text(change((tmp_path / "test.xyz").read_text()))
        return Folder(tmp_path)

    return make


def warnings(caplog):
    return [r.message for r in caplog.records if r.levelname == "WARNING" and "trained on" in r.message]


def test_structures_in_both(make, caplog):
    make(range(5), range(5, 9))
    assert warnings(caplog) == []
    make(range(5), range(3, 9))
    (line,) = warnings(caplog)
    assert line.startswith("2 of 6 test structures are also trained on")
    assert "test.xyz, structure 0 is" in line and line.endswith("train.xyz, structure 3)")


def test_the_same_checks_as_in_training(make, caplog):
    def huge(text):
        lines = text.splitlines()
        words = lines[2].split()
        lines[2] = " ".join([*words[:4], "900.0", *words[5:]])
        return "\n".join(lines) + "\n"

    make(range(5), range(5, 9))
    assert caplog.messages[-1] == "test data: 4 structures, nothing wrong found"
    make(range(5), range(5, 9), huge)
    assert caplog.messages[-1].startswith("test data: 4 structures, 1 warning: units (forces)")

    def overlap(text):
        lines = text.splitlines()
        lines[3] = " ".join([lines[3].split()[0], *lines[2].split()[1:]])
        return "\n".join(lines) + "\n"

    with pytest.raises(DataFileError, match="test.xyz, structure 0: positions: atoms"):
        make(range(5), range(5, 9), overlap)


def test_rare_species_do_not_matter():
    test = changed(frames(), 3, symbols=("Ca", "Mg", "O", "O"))
    assert [f.check for f in check_structures(test)] == ["rare species"]
    assert check_before_testing(test, []) == "test data: 40 structures, nothing wrong found"
