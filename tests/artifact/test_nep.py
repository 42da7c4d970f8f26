import io
import json
import zipfile

import numpy as np
import pytest
import torch

from helpers.random_nep import random_nep
from tnep_calc import __version__
from tnep_calc.artifact import FORMAT, artifact_from_nep, export_artifact, load_artifact, read_metadata
from tnep_calc.errors import InputError, ModelFileError
from tnep_calc.io.gpumd.nep_txt import write_nep


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "model.pt"
    write_nep(tmp_path / "nep.txt", random_nep("dipole"))
    export_artifact(tmp_path / "nep.txt", path, unit="e*bohr", provenance={"trained on": "nothing"})
    return path


def rewrite(path, change):
    """Copy an archive, with its metadata changed by ``change(dict)``."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.endswith("tnep_calc.json"):
                meta = json.loads(data)
                change(meta)
                data = json.dumps(meta).encode()
            new.writestr(item.filename, data)
    path.write_bytes(out.getvalue())


def test_metadata(exported):
    meta = load_artifact(exported).metadata
    assert meta == read_metadata(exported)
    assert meta.format == FORMAT and meta.package_version == __version__ and meta.torch_version == torch.__version__
    known = (meta.family, meta.kind, meta.species, meta.cutoff, meta.dtype)
    assert known == ("nep", "dipole", ("B", "N"), 5.0, "float64")
    assert meta.units["dipole"] == "e*A" and "born_charges" in meta.quantities
    assert meta.provenance == {"source": "nep.txt", "trained on": "nothing"}
    assert not list(exported.parent.glob("*.tmp"))


@pytest.mark.parametrize("dtype", ("float64", "float32"))
@pytest.mark.parametrize("kind", ("potential", "dipole", "polarizability"))
def test_scripted_equals_eager(tmp_path, kind, dtype):
    p = random_nep(kind, zbl=kind == "potential", extra=(True,) * 6)
    eager = artifact_from_nep(p, dtype=dtype)
    export_artifact(p, tmp_path / "m.pt", dtype=dtype)
    loaded = load_artifact(tmp_path / "m.pt")
    rng = np.random.default_rng(0)
    vectors = torch.tensor(rng.normal(0, 2, (24, 3)))
    arguments = (
        torch.tensor([0, 1, 1, 0, 1]),
        torch.tensor([3, 0, 1]),
        torch.tensor([0, 8, 8, 24]),
        torch.tensor(rng.integers(0, 5, 24)),
        vectors,
    )
    wanted = [q for q in eager.metadata.quantities if not q.startswith("field_")]
    a, b = eager(*arguments, wanted), loaded(*arguments, wanted)
    for name in wanted:
        assert a[name].dtype == torch.float64
        tolerance = 1e-4 if dtype == "float32" else 1e-12
        assert torch.allclose(a[name], b[name], rtol=tolerance, atol=tolerance), name
    with torch.no_grad():
        assert torch.equal(loaded(*arguments, wanted)[wanted[0]], b[wanted[0]])


def test_unreadable_files(exported, tmp_path):
    data = exported.read_bytes()
    cases = {"missing.pt": (None, "cannot be read"), "text.pt": (b"hello", "not an artifact")}
    cases["short.pt"] = (data[: len(data) // 2], "truncated or damaged")
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelFileError, match=message) as error:
            load_artifact(tmp_path / name)
        assert name in str(error.value)


def test_damaged_bytes_are_noticed(exported):
    """A flipped byte anywhere gives an error of this package, or is in padding and changes nothing."""
    data, meta, noticed = exported.read_bytes(), read_metadata(exported), 0
    for at in np.random.default_rng(0).integers(0, len(data), 30):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        exported.write_bytes(bytes(damaged))
        try:
            assert load_artifact(exported).metadata == meta
        except ModelFileError:
            noticed += 1
    assert noticed > 15


def test_foreign_archive(tmp_path):
    torch.save({"a": 1}, tmp_path / "foreign.pt")
    with pytest.raises(ModelFileError, match="not written by tnep_calc"):
        load_artifact(tmp_path / "foreign.pt")


def test_newer_format_and_broken_metadata(exported):
    rewrite(exported, lambda m: m.update(format=FORMAT + 1, package_version="9.9"))
    with pytest.raises(ModelFileError, match="written by tnep_calc 9.9, is newer"):
        load_artifact(exported)
    rewrite(exported, lambda m: (m.update(format=FORMAT), m.pop("species")))
    with pytest.raises(ModelFileError, match="lacks species"):
        load_artifact(exported)
    rewrite(exported, lambda m: m.pop("format"))
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_artifact(exported)


def test_wrong_torch(exported, tmp_path):
    """An archive that needs an operator of another torch names both versions."""
    out = io.BytesIO()
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.endswith("models/nep/model.py"):
                data = data.replace(b"torch.einsum", b"torch.einsum_of_the_future")
            if item.filename.endswith("tnep_calc.json"):
                data = data.replace(torch.__version__.encode(), b"99.0.0")
            new.writestr(item.filename, data)
    (tmp_path / "future.pt").write_bytes(out.getvalue())
    with pytest.raises(ModelFileError, match=r"torch 99\.0\.0, cannot be loaded by torch " + torch.__version__[:4]):
        load_artifact(tmp_path / "future.pt")


def test_bad_options(tmp_path):
    with pytest.raises(InputError, match="dtype must be float64 or float32, got 'half'"):
        export_artifact(random_nep(), tmp_path / "m.pt", dtype="half")
    with pytest.raises(InputError, match="unit of a potential"):
        export_artifact(random_nep(), tmp_path / "m.pt", unit="debye")
    assert not list(tmp_path.iterdir())
