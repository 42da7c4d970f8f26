"""Exported files of enthalpy models."""

import numpy as np
import pytest
import torch

from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, call, random_sites, silica
from tnep_calc.artifact import artifact_from_enthalpy, export_enthalpy, load_artifact, read_metadata
from tnep_calc.errors import InputError
from tnep_calc.io.structures.extxyz import from_atoms
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.prediction import predict

FIELD = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)


@pytest.mark.parametrize("zbl", [0.0, 2.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_written_and_read(tmp_path, dtype, zbl):
    sites = random_sites()
    path = tmp_path / "model.pt"
    written = export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, zbl, path, dtype, {"data": "none"})
    assert read_metadata(path) == written
    assert (written.family, written.kind, written.dtype) == ("enthalpy", "enthalpy", dtype)
    assert (written.species, written.cutoff, written.provenance) == (SPECIES, CUTOFF, {"data": "none"})
    memory = artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL, zbl, dtype)
    loaded = load_artifact(path)
    expected, found = (call(model, written.quantities, FIELD) for model in (memory, loaded))
    exact = call(artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL, zbl), written.quantities, FIELD)
    for name in written.quantities:
        assert found[name].dtype == torch.float64
        assert torch.allclose(found[name], expected[name], rtol=0, atol=0 if dtype == "float64" else 1e-6), name
        size = float(exact[name].abs().max())
        assert torch.allclose(found[name], exact[name], rtol=0, atol=size * (0 if dtype == "float64" else 3e-4)), name
    assert abs(float(found["energy"] - exact["energy"])) < 1e-4  # of a total of -2899 eV: constants are kept in float64


def test_exporting_does_not_change_the_source(tmp_path):
    sites = random_sites(torch.float32)
    before = {name: value.clone() for name, value in sites.state_dict().items()}
    export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, 0.0, tmp_path / "m.pt", "float64")
    assert all(v.dtype == before[k].dtype and torch.equal(v, before[k]) for k, v in sites.state_dict().items())
    assert sites.w1.requires_grad


def test_agrees_with_the_training_path():
    sites, atoms = random_sites(), silica()
    frame = make_frame(from_atoms(atoms, "test"), SPECIES, CUTOFF, RADIAL, torch.float64)
    expected = predict(sites, [frame], torch.eye(3, dtype=torch.float64)[None], create_graph=False)[0]
    names = ("energy", "forces", "virial", "dipole", "polarizability", "born_charges")
    found = call(artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL), names)
    for name in names:
        reference = expected["born"].permute(1, 0, 2) if name == "born_charges" else expected[name]
        np.testing.assert_allclose(found[name], reference.detach(), atol=1e-10, err_msg=name)


def test_errors(tmp_path):
    sites = random_sites()
    with pytest.raises(InputError, match="dtype must be"):
        artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL, dtype="half")
    with pytest.raises(InputError, match="2 species and 5 radial functions, got 1"):
        artifact_from_enthalpy([sites], ("Si",), CUTOFF, RADIAL)
    with pytest.raises(InputError, match="radial functions, got 2"):
        artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL + 1)
    model = artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL)
    with pytest.raises(ValueError, match="'virtue' was asked for"):
        call(model, ["virtue"])
    with pytest.raises(ValueError, match="field_forces needs a field"):
        call(model, ["field_forces"])
