"""The cells of calorine's susceptibility tutorial, with ``tnep train`` in place of GPUMD's ``nep``.

The tutorial has a database of structures with the susceptibility from DFT (here cubic boron nitride), bagging, training,
and analysis with calorine's readers.  The label ``pol`` of a structure is the susceptibility times the number of atoms.
GPUMD divides it by the number of atoms, so ``polarizability_*.out`` has the susceptibility.
"""

import numpy as np
import pytest
from ase.db import connect
from ase.io import read

from helpers.paths import EXAMPLES
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main

pytestmark = pytest.mark.slow

calorine = pytest.importorskip("calorine.nep")
DATA = EXAMPLES / "bn" / "bn8.extxyz"
N_SPLITS = 3
PARAMETERS = {
    "version": 4,
    "type": [2, "B", "N"],
    "model_type": 2,
    "cutoff": [3.28, 3.28],
    "n_max": [3, 3],
    "basis_size": [4, 4],
    "l_max": [4, 2],
    "neuron": 8,
    "lambda_1": 0.002,
    "lambda_2": 0.002,
    "population": 80,
    "batch": 500,
    "generation": 200000,
}


def susceptibility(atoms):
    return np.reshape(atoms.info["epsilon_inf"], (3, 3)) - np.eye(3)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Prepare the folders as the tutorial does, and train in all of them."""
    folder = tmp_path_factory.mktemp("tutorial")
    with connect(folder / "structures.db") as db:
        for atoms in read(DATA, ":"):
            db.write(atoms, data={"chi": susceptibility(atoms)})
    structures = []
    for row in connect(folder / "structures.db").select():
        atoms = row.toatoms()
        atoms.calc = None
        atoms.info = {"pol": (row.data["chi"] * len(atoms)).flatten()}
        structures.append(atoms)
    root = folder / "models"
    with pytest.warns(UserWarning, match="stresses"):
        calorine.setup_training(
            PARAMETERS, structures, rootdir=str(root), mode="bagging", n_splits=N_SPLITS, train_fraction=0.9, seed=42
        )
    assert main(["train", *map(str, sorted(root.iterdir())), "--steps", "60", "-q"]) == 0
    return root


def splits(root):
    return [root / f"nepmodel_split{k + 1}" for k in range(N_SPLITS)]


def test_loss_curves(root):
    for folder in [root / "nepmodel_full", *splits(root)]:
        loss = calorine.read_loss(str(folder / "loss.out"))
        assert {"total_loss", "L1", "L2", "RMSE_P_train", "RMSE_P_test"} <= set(loss.columns)
        assert loss.total_loss.iloc[-1] < 0.2 * loss.total_loss.iloc[0]
        assert loss.RMSE_P_test.iloc[-1] == 0 if folder.name == "nepmodel_full" else loss.RMSE_P_test.iloc[-1] > 0


def test_parity_by_groups_of_components(root):
    """R2 over all held-out structures, separately for diagonal and off-diagonal components."""
    frames, count = [], len(read(DATA, ":"))
    for folder in splits(root):
        train, test = calorine.read_structures(str(folder))
        assert (len(train), len(test)) == (int(0.9 * count), count - int(0.9 * count))
        frames += test
    for selection, least in ((["xx", "yy", "zz"], 0.95), (["yz", "xz", "xy"], 0.95)):
        data = calorine.get_parity_data(frames, "polarizability", selection=selection)
        error = data.predicted - data.target
        r2 = 1 - (error**2).sum() / ((data.target - data.target.mean()) ** 2).sum()
        assert r2 > least, (selection, r2)
    diagonal = calorine.get_parity_data(frames, "polarizability", selection=["xx"])
    assert 3.3 < diagonal.target.mean() < 3.8  # the susceptibility, not N times it


def test_models_are_read_by_calorine_and_by_us(root):
    atoms = read(DATA, "5")
    expected = susceptibility(atoms)
    values = []
    for folder in splits(root):
        model = calorine.read_model(str(folder / "nep.txt"))
        assert (model.model_type, [*model.types]) == ("polarizability", ["B", "N"])
        values.append(calorine.get_polarizability(atoms, str(folder / "nep.txt")) / len(atoms))
        np.testing.assert_allclose(values[-1], expected, atol=0.06)
    calc = TNEPCalculator(susceptibility=[f / "nep.txt" for f in splits(root)], susceptibility_unit="N*chi")
    np.testing.assert_allclose(calc.get_property("susceptibility", atoms), np.mean(values, axis=0), atol=1e-5)
    np.testing.assert_allclose(
        calc.get_uncertainty("dielectric_tensor", atoms), np.std(values, axis=0, ddof=1), atol=1e-5
    )


def test_a_second_call_repeats_nothing(root, capsys):
    before = {path: path.read_bytes() for path in root.glob("*/nep.txt")}
    assert len(before) == N_SPLITS + 1
    assert main(["train", *map(str, sorted(root.iterdir())), "--steps", "60", "-q"]) == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert main(["train", str(root / "nepmodel_full"), str(root / "nepmodel_full"), "-q"]) == 1
    assert "named twice" in capsys.readouterr().err


def test_folders_trained_together_equal_folders_trained_alone(root, tmp_path):
    source = splits(root)[0]
    for name in ("nep.in", "train.xyz", "test.xyz"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    assert main(["train", str(tmp_path), "--steps", "60", "-q"]) == 0
    together, alone = (np.loadtxt(f / "polarizability_test.out") for f in (source, tmp_path))
    np.testing.assert_allclose(together, alone, atol=2e-5)
