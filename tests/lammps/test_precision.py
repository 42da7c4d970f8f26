"""`precision single|double` of the styles: one file serves both, as in ASE, and double precision minimises."""

import numpy as np
import pytest
import torch

from helpers.lammps_run import crystal, output, run, script, types_of, write_data
from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, random_sites, silica
from helpers.random_nep import random_nep
from helpers.random_radnet import SPECIES as RADNET_SPECIES
from helpers.random_radnet import random_sites as random_radnet_sites
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import artifact_from_enthalpy, artifact_from_nep, export_enthalpy, export_radnet, save_artifact
from tnep_calc.io.gpumd.nep_txt import write_nep

pytestmark = pytest.mark.slow

TYPES = {"float64": "double", "float32": "single"}
SIX = (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)
MU, ALPHA = (" ".join(f"c_{name}[{k}]" for k in range(1, n + 1)) for name, n in (("mu", 3), ("a", 6)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of all families, exported in float32, and two structures."""
    where = tmp_path_factory.mktemp("precision")
    write_nep(where / "nep.txt", random_nep())
    for kind in ("potential", "dipole", "polarizability"):
        export_artifact(random_nep(kind), where / f"{kind}.pt", dtype="float32")
    export_enthalpy([random_sites()], SPECIES, CUTOFF, RADIAL, 1.5, where / "enthalpy.pt", "float32")
    export_radnet(random_radnet_sites(dtype=torch.float32), RADNET_SPECIES, where / "radnet.pt")
    write_data(where / "data.txt", crystal(), types_of(crystal()))
    (where / "silica").mkdir()
    write_silica(where / "silica")
    return where


def write_silica(where):
    atoms = silica()
    assert not np.triu(atoms.cell.array, 1)[0].any()
    atoms.set_cell(np.tril(atoms.cell.array), scale_atoms=True)
    write_data(where / "data.txt", atoms, [1 + SPECIES.index(s) for s in atoms.get_chemical_symbols()])
    return atoms


def agree(found, calculators, name, atoms, dtype, pick=lambda x: x, rounded=0.0):
    """Compare with ASE in the same type, and check that the other type gives something else."""
    same, other = (pick(calculators[key].get_property(name, atoms)) for key in (dtype, *set(TYPES) - {dtype}))
    size = np.abs(same).max()
    assert np.abs(found - same).max() < {"float64": 1e-11, "float32": 2e-5}[dtype] * size + rounded
    assert np.abs(found - other).max() > 1e-9 * size


def calculators(**models):
    return {dtype: TNEPCalculator(**models, dtype=dtype) for dtype in TYPES}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("file", ["potential.pt", "nep.txt"])
def test_forces_of_a_potential(folder, file, dtype):
    body = f"pair_style tnep precision {TYPES[dtype]}\npair_coeff * * {file} B N\n"
    found = run(folder, script(body + output("pe", "fx fy fz")), 2)
    agree(found.atoms[:, 1:], calculators(energy=folder / file), "forces", crystal(), dtype)
    assert f", {dtype}), torch" in found.text


@pytest.mark.parametrize("dtype", TYPES)
def test_responses_follow_the_pair_style(folder, dtype):
    """TNEP and radnet models, each in a compute, without a precision of their own."""
    style = f"pair_style tnep precision {TYPES[dtype]}\npair_coeff * * potential.pt B N\n"
    for mu, alpha in (("dipole.pt", "polarizability.pt"), ("radnet.pt", "radnet.pt")):
        body = f"compute mu all tnep/dipole {mu} B N\ncompute a all tnep/polarizability {alpha} B N\n"
        found = run(folder, script(style + body + output(f"{MU} {ALPHA}")), 2).thermo
        ase = calculators(dipole=folder / mu, susceptibility=folder / alpha)
        agree(np.array([found[x] for x in MU.split()]), ase, "dipole", crystal(), dtype)
        agree(np.array([found[x] for x in ALPHA.split()]), ase, "polarizability", crystal(), dtype, lambda x: x[SIX])


@pytest.mark.parametrize("dtype", TYPES)
def test_enthalpy_in_a_field(folder, dtype):
    body = (
        f"pair_style tnep precision {TYPES[dtype]}\npair_coeff * * enthalpy.pt Si O\nfix F all tnep/field 0.1 0 -0.2\n"
    )
    atoms = write_silica(folder / "silica")
    found = run(folder / "silica", script(body.replace("enthalpy", "../enthalpy") + output("pe", "fx fy fz")), 2)
    ase = calculators(enthalpy=folder / "enthalpy.pt", efield=[0.1, 0, -0.2])
    agree(found.atoms[:, 1:], ase, "forces", atoms, dtype)


def test_precision_of_computes_and_of_the_fix(folder):
    """A keyword of their own goes first, then that of the pair style, then the file."""
    models = "dipole.pt B N", "polarizability.pt B N"
    style = "pair_style tnep{}\npair_coeff * * potential.pt B N\n"
    body = "compute mu all tnep/dipole {}{}\nfix F all tnep/field 0.1 0 0 dipole {} polarizability {}{}\n"
    for asked, own, expected in (
        ("", "", ("float32", "float32")),
        (" precision double", "", ("float64", "float64")),
        (" precision double", " precision single", ("float64", "float32")),
        ("", " precision double", ("float32", "float64")),
    ):
        text = style.format(asked) + body.format(models[0], own, *models, own) + "run 0\n"
        lines = [line for line in run(folder, script(text)).text.splitlines() if ", torch" in line]
        assert [line.split(", torch")[0].split()[-1].rstrip(")") for line in lines] == [expected[0]] + 3 * [expected[1]]


def test_a_compute_of_another_precision_than_the_pair_style_is_evaluated_itself(folder):
    body = "pair_style tnep precision double\npair_coeff * * ../enthalpy.pt Si O\ncomm_modify cutoff 9\n"
    body += "compute mu all tnep/dipole ../enthalpy.pt Si O{}\n"
    atoms, ase = write_silica(folder / "silica"), calculators(enthalpy=folder / "enthalpy.pt")
    for own, dtype in (("", "float64"), (" precision single", "float32"), (" precision double", "float64")):
        found = run(folder / "silica", script(body.format(own) + output(MU))).thermo
        agree(np.array([found[x] for x in MU.split()]), ase, "dipole", atoms, dtype)


@pytest.mark.parametrize("written", TYPES)
def test_enthalpies_of_earlier_versions(folder, written):
    """Such files do not name the tensors that are float64 in both precisions."""
    old = artifact_from_enthalpy([random_sites()], SPECIES, CUTOFF, RADIAL, 1.5, written)
    del old.module.always_double
    save_artifact(old, folder / "old.pt")
    atoms, ase = write_silica(folder / "silica"), calculators(enthalpy=folder / "enthalpy.pt")
    for dtype, name in TYPES.items():
        body = f"pair_style tnep precision {name}\npair_coeff * * ../old.pt Si O\n"
        found = run(folder / "silica", script(body + output("pe", "fx fy fz")))
        rounded = 1e-6 * np.abs(found.atoms[:, 1:]).max() if (written, dtype) == ("float32", "float64") else 0.0
        agree(found.atoms[:, 1:], ase, "forces", atoms, dtype, rounded=rounded)
        assert found.thermo["PotEng"] == pytest.approx(ase[dtype].get_property("energy", atoms), rel=1e-8)


def test_potentials_of_earlier_versions(folder):
    """Weights in float32, and no word about them: evaluated as they are, and in both precisions."""
    save_artifact(artifact_from_nep(random_nep(), "float32"), folder / "old.pt")
    forces = {}
    for asked in ("", " precision single", " precision double"):
        body = f"pair_style tnep{asked}\npair_coeff * * old.pt B N\n"
        forces[asked] = run(folder, script(body + output("pe", "fx fy fz"))).atoms[:, 1:]
    assert np.array_equal(forces[""], forces[" precision single"])
    agree(forces[" precision double"], calculators(energy=folder / "old.pt"), "forces", crystal(), "float64")


def test_a_minimization_in_double_precision_from_a_file_in_single_precision(folder):
    """It reaches its force tolerance, whereas single precision ends with 'linesearch alpha is zero'."""
    write_silica(folder / "silica")
    ends = {}
    for precision in ("single", "double"):
        body = f"pair_style tnep precision {precision}\npair_coeff * * ../enthalpy.pt Si O\n"
        ends[precision] = run(folder / "silica", script(body + "minimize 0 1e-9 2000 20000\n")).text
    assert "Stopping criterion = force tolerance" in ends["double"] and "linesearch" not in ends["double"]
    assert "Stopping criterion = linesearch alpha is zero" in ends["single"]
    assert "use 'pair_style tnep precision double'" in ends["single"] and "export" not in ends["single"]


def test_models_of_the_field_in_single_precision_name_the_remedy(folder):
    body = "pair_style tnep precision double\npair_coeff * * potential.pt B N\n"
    body += "fix F all tnep/field 0.01 0 0 dipole dipole.pt B N{}\nminimize 0 1e-3 1 1\n"
    assert "precision double'" not in run(folder, script(body.format(""))).text
    text = run(folder, script(body.format(" precision single"))).text
    assert "Fix tnep/field dipole: a minimization in single precision" in text
    assert "use 'fix ... tnep/field ... precision double'" in text
