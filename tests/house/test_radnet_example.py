"""The study of radnet: its formulas against DFPT of the ideal crystals, its tables, and its configurations."""

import importlib
import sys

import numpy as np
import pytest

from helpers.paths import EXAMPLES
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.training.enthalpy.config import load_enthalpy_config
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.radnet.config import load_radnet_config
from tnep_calc.units import EPSILON_0

LOADERS = {"radnet": load_radnet_config, "paper": load_radnet_config, "enthalpy": load_enthalpy_config}


@pytest.fixture(scope="module")
def example():
    """Return a function that imports a module of the example."""
    names = ("study", "run", "measures", "figures", "summary")
    others = {name: sys.modules.pop(name) for name in names if name in sys.modules}  # of other examples
    sys.path.insert(0, str(EXAMPLES / "radnet"))
    yield importlib.import_module
    sys.path.remove(str(EXAMPLES / "radnet"))
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(others)


@pytest.mark.parametrize(("key", "lo"), [("gaas", 286.77504), ("bn", 1292.14730), ("bn2", 1292.14730)])
def test_lo_and_raman_spectrum(example, key, lo):
    """LO modes from Born charge and eps_inf of DFPT, and the ratio of the peaks, are those of the ABINIT oracles."""
    measures, study = example("measures"), example("study")
    charge, eps = (2.2034338562, 15.168432478) if key == "gaas" else (1.89489927775, 4.6087934298)
    material = study.MATERIALS[key]
    assert measures.longitudinal(material, charge, eps) == pytest.approx(lo, abs=0.02)
    if key == "gaas":
        numbers = {"raman": material.raman, "LO": lo}
        to, high = measures.raman_spectrum(material, numbers, 1e-3, np.array([material.to, lo]))
        assert high / to == pytest.approx(0.452885, rel=1e-4)


def test_raman_tensor_of_zinc_blende(example):
    tensor = example("measures").raman_tensor(2.0)
    rotation = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])  # about [111]
    assert np.abs(tensor.sum(0)).max() == 0 and (tensor != 0).sum() == 12
    assert (np.einsum("ai,bj,ck,nijk->nabc", *[rotation] * 3, tensor[:1]) == tensor[:1]).all()


def test_gradients(example):
    """DFT's derivatives belong to a structure of the data and are near those of the ideal crystal."""
    measures, material = example("measures"), example("study").MATERIALS["bn2"]
    (dft,) = read_dataset(material.derivatives)

    class Wrong:
        """A model with an error of 0.1/Å in each component."""

        def get_property(self, name, atoms):
            assert name == "polarizability_gradient" and np.allclose(atoms.positions, dft.positions)
            return dft.polarizability_gradient + 0.1 * EPSILON_0 * dft.volume

    structures = read_dataset(material.file)
    pair = measures.gradients(Wrong(), structures, material)
    assert pair.shape == (2, 54) and measures.mean_errors(pair) == pytest.approx((0.1, 0.1))
    assert measures.gradients(Wrong(), structures[:1], material).size == 0
    first, second = pair[0].reshape(2, 3, 3, 3)
    assert np.abs(first + second).max() < 1e-9 and first[0, 1, 2] == pytest.approx(material.raman, rel=0.05)


@pytest.mark.parametrize("key", ["gaas", "bn2", "bn"])
def test_configurations(example, tmp_path, key):
    study = example("study")
    material = study.MATERIALS[key]
    for kind in (kind for kinds in (study.FAMILIES | study.OPTIONAL).values() for kind in kinds):
        (tmp_path / "train.toml").write_text(study.configuration(material, kind, tmp_path / "train.extxyz", 10, 0.5, 7))
        config = LOADERS.get(kind, load_config)(tmp_path / "train.toml")
        assert config.model.kind == ("radnet" if kind == "paper" else kind)
        assert config.model.seed == 7


def test_splits(example, tmp_path):
    """Another seed holds back other structures, as many, in a folder of its own; training structures are the rest."""
    study, run = example("study"), example("run")
    material, held = study.MATERIALS["gaas"], []
    for seed in (0, 1):
        folder = study.folder_of(tmp_path, "gaas", seed)
        counts = run.write_data(material, folder, [0.5, 1.0], seed)
        parts = [read_dataset(folder / f"{name}.extxyz") for name in ("test", "train1")]
        assert [len(part) for part in parts] == [7, counts[1.0]] == [7, 28]
        assert len({part.positions.tobytes() for part in sum(parts, [])}) == 35
        held.append({s.positions.tobytes() for s in parts[0]})
    assert held[0] != held[1] and sorted(x.name for x in tmp_path.iterdir()) == ["gaas", "gaas-seed1"]


def test_best_family(example):
    def own(error):
        return {"structures": 7, "pairs": {name: np.array([[0.0, 0], [error, -error]]) for name in names}}

    study, summary = example("study"), example("summary")
    names = list(summary.QUANTITIES)
    lines = summary.best_table(study.MATERIALS["bn"], {"curves": {0.25: {"radnet": own(0.3), "TNEP": own(0.1)}}})
    assert lines[2] == f"| 7 | {' | '.join(['**TNEP** 1, radnet 3'] * 3)} |"


def test_table_of_splits(example):
    """Mean and range of the RMSE; a family is best only where it is in all splits."""

    def own(error, lo):
        pairs = {name: np.array([[0.0, 0], [error, -error]]) for name in summary.QUANTITIES}
        return {"structures": 7, "pairs": pairs, "equilibrium": {"raman RMSE": error, "LO": lo}}

    study, summary = example("study"), example("summary")
    splits = {
        0: {"radnet": own(3e-3, 101), "TNEP": own(1e-3, 98)},
        1: {"radnet": own(4e-3, 99), "TNEP": own(2e-3, 99.2)},
    }
    lines = summary.split_table(study.MATERIALS["bn2"], {"DFT": {"LO": 100}, "splits": splits})
    assert lines[2:] == [
        "| radnet | 3.5e+02 (1e+02) | 3.5 (1) | 3.5 (1) | 0.0035 (0.001) | 1 (0) |",
        "| TNEP | 1.5e+02 (1e+02) | 1.5 (1) | 1.5 (1) | 0.0015 (0.001) | 1.4 (1.2) |",
        "| best | TNEP | TNEP | TNEP | TNEP | radnet, TNEP |",
    ]
    assert summary.split_table(study.MATERIALS["bn2"], {"DFT": {"LO": 100}, "splits": {0: splits[0]}}) == []


def test_figures(example):
    """Every family has its own line in each figure, whose points are the errors of the models."""
    figures, measures = example("figures"), example("measures")
    rng = np.random.default_rng(0)
    dft = measures.reference(figures.MATERIALS["bn"])
    curves = {}
    for share, count in ((0.5, 4), (1.0, 8)):
        pairs = {
            name: np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0 + 1 / count], [0.0, 0, 0]]) for name in measures.QUANTITIES
        }
        own = {"structures": count, "pairs": pairs, "equilibrium": {"raman": rng.normal(), "LO": dft["LO"]}}
        curves[share] = dict.fromkeys(figures.FAMILIES, own)
    result = {"DFT": dft, "curves": curves}
    learning = figures.learning_curves("bn", result)
    for ax, (_, factor) in zip(learning.axes, measures.QUANTITIES.values(), strict=True):
        assert [line.get_label() for line in ax.lines] == list(figures.FAMILIES)
        expected = factor / np.sqrt(3) / np.array([4, 8])
        np.testing.assert_allclose(ax.lines[0].get_data(), [[4, 8], expected])
    assert len(figures.parity("bn", result).axes) == 3
    assert len(figures.raman("bn", result).axes[0].lines) == 1 + len(figures.FAMILIES)
    figures.pyplot.close("all")
