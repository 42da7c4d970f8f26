"""Fixtures of the training tests."""

import pytest

from helpers.gpumd_folders import options, write_xyz
from tnep_calc.io.gpumd.nep_in import write_nep_in


@pytest.fixture
def make(tmp_path):
    def make(kind, test=True, name="run", **changes):
        folder = tmp_path / name
        folder.mkdir()
        xyz = {key: changes.pop(key) for key in ("virial", "weight", "labels") if key in changes}
        write_nep_in(folder / "nep.in", options(kind, **changes))
        write_xyz(folder / "train.xyz", range(5), **xyz)
        if test:
            write_xyz(folder / "test.xyz", range(5, 7), **xyz)
        return folder

    return make
