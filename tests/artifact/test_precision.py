"""One file serves both precisions: float64 has no trace of the precision that the file was exported with."""

import json
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from helpers.lammps_run import crystal
from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, random_sites, silica
from helpers.random_nep import random_nep
from helpers.random_radnet import SPECIES as RADNET_SPECIES
from helpers.random_radnet import displaced
from helpers.random_radnet import random_sites as random_radnet_sites
from tnep_calc import TNEPCalculator, export_artifact, load_artifact
from tnep_calc.artifact import (
    METADATA_FILE,
    artifact_from_enthalpy,
    artifact_from_nep,
    artifact_from_radnet,
    export_enthalpy,
    export_radnet,
    in_precision,
    read_metadata,
    save_artifact,
)
from tnep_calc.cli import main
from tnep_calc.models.enthalpy.sites import EnthalpySites

pytestmark = pytest.mark.slow


@dataclass
class Case:
    """A model of one family: its export in a dtype, the artifact in memory, and what is compared."""

    role: str
    properties: tuple[str, ...]
    atoms: object
    export: object
    memory: object


def nep(kind, role, *properties):
    parameters = random_nep(kind)
    return Case(
        role,
        properties,
        crystal(),
        lambda path, dtype: export_artifact(parameters, path, dtype),
        lambda dtype: artifact_from_nep(parameters, dtype),
    )


def enthalpy(dtype=torch.float64, zbl=0.0):
    """Return a model that was trained in a type."""
    sites = random_sites(dtype)
    return Case(
        "enthalpy",
        ("energy", "forces", "stress", "dipole", "polarizability"),
        silica(),
        lambda path, dtype: export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, zbl, path, dtype),
        lambda dtype: artifact_from_enthalpy([sites], SPECIES, CUTOFF, RADIAL, zbl, dtype),
    )


def radnet():
    def export(path, dtype):
        sites = random_radnet_sites().to(getattr(torch, dtype))
        export_radnet(sites, RADNET_SPECIES, path)

    return Case(
        "radnet",
        ("dipole", "born_effective_charges", "polarizability"),
        displaced(0, (2, 1, 1)),
        export,
        lambda dtype: artifact_from_radnet(random_radnet_sites(), RADNET_SPECIES, dtype=dtype),
    )


CASES = {
    "potential": lambda: nep("potential", "energy", "energy", "forces", "stress"),
    "dipole": lambda: nep("dipole", "dipole", "dipole", "born_effective_charges"),
    "polarizability": lambda: nep("polarizability", "susceptibility", "polarizability"),
    "enthalpy": lambda: enthalpy(zbl=1.5),
    "radnet": radnet,
}


def evaluate(case, source, dtype=None):
    calculator = TNEPCalculator(**{case.role: source}, dtype=dtype)
    assert calculator.models[case.role][0].metadata.dtype == (dtype or "float64")
    return [np.asarray(calculator.get_property(name, case.atoms)) for name in case.properties]


@pytest.mark.parametrize("name", CASES)
def test_both_precisions_from_files_of_both(tmp_path, name):
    case, found = CASES[name](), {}
    for written in ("float64", "float32"):
        path = tmp_path / f"{written}.pt"
        case.export(path, written)
        meta = read_metadata(path)
        assert (meta.dtype, meta.weights) == (written, "float64")
        assert load_artifact(path).metadata.dtype == load_artifact(path).metadata.weights == written
        for dtype in ("float64", "float32"):
            found[written, dtype] = evaluate(case, path, dtype)
        assert all(map(np.array_equal, evaluate(case, path), found[written, "float64"]))
    rounding = 3e-7 if name == "radnet" else 0.0  # its sites in float32 have rounded weights
    for exact, same in zip(found["float64", "float64"], found["float32", "float64"], strict=True):
        assert np.abs(exact - same).max() <= rounding * np.abs(exact).max()
    keys = (("float64", "float64"), ("float64", "float32"), ("float32", "float32"))
    for exact, one, two in zip(*(found[key] for key in keys), strict=True):
        size = np.abs(exact).max()
        assert 1e-10 * size < np.abs(one - exact).max() < 1e-4 * size  # the arithmetic is really in float32
        assert np.abs(two - one).max() < 1e-4 * size


@pytest.mark.parametrize("name", CASES)
def test_models_in_memory_are_converted_both_ways(name):
    case = CASES[name]()
    exact, single = (case.memory(dtype) for dtype in ("float64", "float32"))
    reference = evaluate(case, exact, "float64")
    for source, dtype in ((exact, "float32"), (single, "float64"), (in_precision(single, "float64"), "float64")):
        for a, b in zip(evaluate(case, source, dtype), reference, strict=True):
            assert np.abs(a - b).max() < 1e-4 * np.abs(b).max()
    assert single.metadata.dtype == single.metadata.weights == "float32"  # has not been changed
    assert all(map(np.array_equal, evaluate(case, exact, "float64"), reference))


def test_double_precision_agrees_with_finite_differences(tmp_path):
    """A model that was trained in float32 is as smooth in float64 as the derivatives say."""
    case = enthalpy(torch.float32)
    case.export(tmp_path / "m.pt", "float32")
    calculator = TNEPCalculator(enthalpy=tmp_path / "m.pt")
    forces, step = calculator.get_property("forces", case.atoms), 1e-4
    for atom, axis in ((0, 0), (4, 2)):
        energies = []
        for sign in (1, -1):
            moved = case.atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(calculator.get_property("energy", moved))
        assert -(energies[0] - energies[1]) / (2 * step) == pytest.approx(forces[atom, axis], abs=3e-8)


def test_tables_have_all_digits_of_the_type(tmp_path):
    """The coupling coefficients of a model that was trained in float32 are not rounded, but its weights are the same."""
    sites = random_sites(torch.float32)
    export_enthalpy([sites], SPECIES, CUTOFF, RADIAL, 0.0, tmp_path / "m.pt", "float32")
    module = load_artifact(tmp_path / "m.pt", dtype="float64").module
    member = {name.removeprefix("plain.members.0."): value for name, value in module.state_dict().items()}
    exact = EnthalpySites(sites.shape_).state_dict()
    for name in ("coupling", "rank1", "rank2"):
        assert torch.equal(member[name], exact[name])
    for name, value in sites.named_parameters():
        assert torch.equal(member[name], value.double())
    radnet_sites = random_radnet_sites(dtype=torch.float32)
    export_radnet(radnet_sites, RADNET_SPECIES, tmp_path / "r.pt")
    grid = load_artifact(tmp_path / "r.pt", dtype="float64").module.sites.voxels.grid
    assert torch.equal(grid, random_radnet_sites().voxels.grid) and not torch.equal(grid.float().double(), grid)


def write_old(path, artifact):
    """Write a file as earlier versions did: the weights in the type of the arithmetic, and no word about them."""
    save_artifact(artifact, path)
    with zipfile.ZipFile(path) as archive:
        members = {item: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item, data in members.items():
            if item.filename.endswith(METADATA_FILE):
                table = json.loads(data)
                del table["weights"]
                data = json.dumps(table).encode()
            archive.writestr(item, data)


@pytest.mark.parametrize("name", CASES)
def test_files_of_earlier_versions(tmp_path, name):
    """They are evaluated as before if no type is asked for, and serve both precisions."""
    case = CASES[name]()
    single = case.memory("float32")
    write_old(tmp_path / "old.pt", single)
    meta = read_metadata(tmp_path / "old.pt")
    assert meta.dtype == meta.weights == "float32"
    before = evaluate(case, single, "float32")
    assert all(map(np.array_equal, evaluate(case, tmp_path / "old.pt", "float32"), before))
    is_nep = meta.family == "nep"
    calculator = TNEPCalculator(**{case.role: tmp_path / "old.pt"})
    assert calculator.models[case.role][0].metadata.dtype == ("float32" if is_nep else "float64")
    for a, b in zip(evaluate(case, tmp_path / "old.pt", "float64"), evaluate(case, single, "float64"), strict=True):
        assert np.abs(a - b).max() <= 1e-12 * np.abs(b).max()


def test_export_states_the_precision_of_lammps_and_keeps_the_weights(tmp_path, capsys):
    parameters = random_nep()
    export_artifact(parameters, tmp_path / "m.pt")
    assert main(["export", str(tmp_path / "m.pt"), str(tmp_path / "fast.pt"), "--dtype", "float32"]) == 0
    assert "float32" in capsys.readouterr().out
    meta = read_metadata(tmp_path / "fast.pt")
    assert meta == replace(read_metadata(tmp_path / "m.pt"), dtype="float32") and meta.weights == "float64"
    write_old(tmp_path / "old.pt", artifact_from_nep(parameters, "float32"))
    assert main(["export", str(tmp_path / "old.pt"), str(tmp_path / "new.pt"), "--dtype", "float64"]) == 0
    assert read_metadata(tmp_path / "new.pt").weights == "float64"
