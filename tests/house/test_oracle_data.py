"""The shipped reference models equal the output of their generator."""

import gzip
import importlib.util
import json

import numpy as np
import pytest

from helpers.paths import DATA

pytest.importorskip("calorine.nep")
FOLDER = DATA / "oracle"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_oracle", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["l_max_2", "all_blocks_dipole"])
def test_generator_reproduces_the_files(generator, name, tmp_path):
    entry = generator.make(name, tmp_path)
    file = f"models/{name}.txt.gz"
    assert gzip.open(tmp_path / file).read() == gzip.open(FOLDER / file).read()
    assert entry["structures"] == json.loads((FOLDER / "index.json").read_text())[name]["structures"]
    made, shipped = np.load(tmp_path / f"{name}.npz"), np.load(FOLDER / f"{name}.npz")
    assert made.files == shipped.files
    for key in made.files:
        if not key.endswith("_fd_err"):
            scale = max(1.0, np.abs(shipped[key]).max())
            np.testing.assert_allclose(made[key], shipped[key], rtol=0, atol=1e-7 * scale, err_msg=key)


def test_every_shape_has_files(generator):
    index = json.loads((FOLDER / "index.json").read_text())
    assert list(index) == list(generator.SHAPES)
    for name, entry in index.items():
        assert (FOLDER / entry["model"]).exists() and (FOLDER / f"{name}.npz").exists()
