"""The mean of several enthalpy models as one model: every path gives the mean of the models' results."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, call, random_sites
from tnep_calc.artifact import artifact_from_enthalpy, export_enthalpy, load_artifact
from tnep_calc.artifact.enthalpy import export_mean, members_of
from tnep_calc.cli import main
from tnep_calc.errors import InputError

pytestmark = pytest.mark.slow

FIELD = torch.tensor([0.02, -0.05, 0.03], dtype=torch.float64)


@pytest.mark.parametrize("zbl", [0.0, 2.0])
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("field", [None, FIELD])
def test_every_quantity_is_the_mean(field, native, zbl):
    members = [random_sites(seed=k) for k in range(3)]
    singles = [artifact_from_enthalpy([m], SPECIES, CUTOFF, RADIAL, zbl) for m in members]
    names = [q for q in singles[0].metadata.quantities if field is not None or q != "field_forces"]
    mean = artifact_from_enthalpy(members, SPECIES, CUTOFF, RADIAL, zbl)
    if not native:
        singles = [m.module.plain for m in singles]
        mean = mean.module.plain
    found = call(mean, names, field)
    each = [call(m, names, field) for m in singles]
    for name in names:
        expected = sum(e[name] for e in each) / 3
        scale = max(float(e[name].abs().max()) for e in each)
        assert torch.allclose(found[name], expected, rtol=0, atol=1e-12 * scale), name
        assert not torch.allclose(found[name], each[0][name], rtol=0, atol=1e-6 * scale), name


def test_written_and_read(tmp_path):
    members = [random_sites(seed=k) for k in range(2)]
    for k, sites in enumerate(members):
        export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, 1.5, tmp_path / f"m{k}.pt", "float32")
    written = export_mean([tmp_path / "m0.pt", tmp_path / "m1.pt"], tmp_path / "mean.pt", {"why": "a test"})
    assert written.dtype == "float32" and written.provenance["why"] == "a test"
    assert written.provenance["mean_of"] == [f"{tmp_path.name}/m{k}.pt" for k in range(2)]
    mean = load_artifact(tmp_path / "mean.pt")
    exact = artifact_from_enthalpy(members, SPECIES, CUTOFF, RADIAL, 1.5, "float32")
    names = ["energies", "forces", "dipole", "polarizability"]
    for name, value in call(mean, names).items():
        assert torch.equal(value, call(exact, names)[name]), name
    for sites, own in zip(members_of(mean), members, strict=True):
        assert sites.shape_ == own.shape_
        assert np.array_equal(sites.w1.detach().numpy(), own.w1.detach().float().numpy())


def test_command_line(tmp_path, capsys):
    for k in range(2):
        export_enthalpy([random_sites(seed=k)], SPECIES, CUTOFF, RADIAL, 0.0, tmp_path / f"m{k}.pt")
    inputs = [str(tmp_path / f"m{k}.pt") for k in range(2)]
    assert main(["export", *inputs, str(tmp_path / "mean.pt")]) == 0
    assert "mean of 2 models" in capsys.readouterr().out
    assert len(members_of(load_artifact(tmp_path / "mean.pt"))) == 2
    assert main(["export", inputs[0], str(tmp_path / "same.pt")]) != 0
    assert "an artifact already" in capsys.readouterr().err
    assert main(["export", *inputs, str(tmp_path / "mean.pt")]) != 0
    assert "--force" in capsys.readouterr().err
    assert main(["export", *inputs, str(tmp_path / "other.pt"), "--unit", "e*bohr"]) != 0
    assert "--unit" in capsys.readouterr().err


def before_means(path):
    """Read an artifact as if it had been written before means existed."""
    artifact = load_artifact(path)
    return SimpleNamespace(metadata=artifact.metadata, module=SimpleNamespace(plain=object()))


def test_models_without_a_mean_are_refused(tmp_path, monkeypatch):
    files = {
        "a": ([random_sites(seed=0)], CUTOFF, 0.0),
        "cutoff": ([random_sites(seed=1)], CUTOFF + 1, 0.0),
        "zbl": ([random_sites(seed=1)], CUTOFF, 1.0),
        "shape": ([random_sites(seed=1, channels=5)], CUTOFF, 0.0),
        "two": ([random_sites(seed=1), random_sites(seed=2)], CUTOFF, 0.0),
    }
    for name, (members, cutoff, zbl) in files.items():
        export_enthalpy(members, SPECIES, cutoff, RADIAL, zbl, tmp_path / f"{name}.pt")
    words = {"cutoff": "cutoff", "zbl": "repulsion to 1", "shape": "channels=5", "two": "mean of 2 models itself"}
    for name, message in words.items():
        with pytest.raises(InputError, match=message):
            export_mean([tmp_path / "a.pt", tmp_path / f"{name}.pt"], tmp_path / "mean.pt")
    with pytest.raises(InputError, match="a.pt: an enthalpy model from an older version"):
        monkeypatch.setattr("tnep_calc.artifact.enthalpy.load_stored", before_means)
        export_mean([tmp_path / "a.pt"], tmp_path / "mean.pt")
    with pytest.raises(InputError, match="got\n  none"):
        export_mean([], tmp_path / "mean.pt")
    assert not (tmp_path / "mean.pt").exists()
    with pytest.raises(InputError, match="same sizes"):
        artifact_from_enthalpy([random_sites(), random_sites(channels=5)], SPECIES, CUTOFF, RADIAL)
