"""pair_style tnep with several models, and with an unchanged nep.txt."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import read

from helpers.lammps_run import BAR, columns, crystal, output, refusals, run, script, types_of, write_data
from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact import save_artifact
from tnep_calc.io.gpumd.nep_txt import write_nep

pytestmark = pytest.mark.slow

MODELS = [random_nep(seed=k) for k in range(3)]
START = """
units metal
region box block 0 8 0 8 0 8
create_box 2 box
mass * 10
create_atoms 1 single 1 1 1
create_atoms 2 single 2.5 1 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("ensemble")
    for k, model in enumerate(MODELS):
        export_artifact(model, where / f"m{k}.pt")
        write_nep(where / f"nep{k}.txt", model)
    atoms = crystal((2, 1, 1))
    write_data(where / "data.txt", atoms, types_of(atoms))
    return where


@pytest.mark.parametrize("ranks", [1, 3])
def test_deviation_equals_the_calculators(folder, tmp_path, ranks):
    """Per atom, in the compute's vector, and in the file with the columns of DeePMD-kit; forces of the first model."""
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    files = " ".join(f"{folder}/m{k}.pt" for k in range(3))
    body = f"pair_style tnep deviation devi.out 5\npair_coeff * * {files} B N\ncompute d all tnep/deviation/atom\n"
    result = run(tmp_path, script(body + output("pe c_d[1] c_d[2] c_d[3]", "fx fy fz c_d")), ranks)
    forces, virials, energies = [], [], []
    for model in MODELS:
        atoms.calc = TNEPCalculator(energy=model)
        forces.append(atoms.get_forces())
        energies.append(atoms.get_potential_energy())
        virials.append(-atoms.get_stress(voigt=False) * atoms.get_volume())
    expected = np.sqrt(np.var(forces, axis=0).sum(axis=1))
    assert np.abs(result.atoms[:, 1:4] - forces[0]).max() < 1e-10
    assert np.abs(result.atoms[:, 4] - expected).max() < 1e-10
    three = [expected.max(), expected.min(), expected.mean()]
    assert np.abs(columns(result, "c_d", (1, 2, 3)) - three).max() < 1e-10
    step, v_max, v_min, v_mean, *rest = np.loadtxt(tmp_path / "devi.out")
    by_virial = np.std(virials, axis=0) / len(atoms)
    assert step == 0 and np.allclose(rest, [*three, np.std(energies) / len(atoms)], rtol=1e-7)
    assert np.allclose(
        [v_max, v_min, v_mean], [by_virial.max(), by_virial.min(), np.sqrt((by_virial**2).mean())], rtol=1e-6
    )
    header = (tmp_path / "devi.out").read_text().split("\n")[0].split()
    assert header == "# step max_devi_v min_devi_v avg_devi_v max_devi_f min_devi_f avg_devi_f devi_e".split()


@pytest.mark.parametrize("ranks", [1, 3])
def test_mean_of_the_models_drives_the_dynamics(folder, tmp_path, ranks):
    """Energy, forces, pressure and quantities per atom after a few steps are the means over the calculators."""
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    files = " ".join(f"{folder}/m{k}.pt" for k in range(3))
    body = f"pair_style tnep mean deviation devi.out 2\npair_coeff * * {files} B N\ncompute e all pe/atom\n"
    body += (
        "compute s all stress/atom NULL virial\ncompute v all reduce sum c_s[*]\ncompute p all pressure NULL virial\n"
    )
    body += "compute d all tnep/deviation/atom\nvelocity all create 300 1 loop geom\nfix 1 all nve\ntimestep 0.0005\n"
    thermo = "pe vol " + " ".join(f"c_{name}[{k}]" for name in "pv" for k in range(1, 7)) + " c_d[1] c_d[4] c_d[5]"
    body += output(thermo, "x y z fx fy fz c_e c_d").replace("run 0", "run 6")
    result = run(tmp_path, script(body), ranks)
    atoms.positions = result.atoms[:, 1:4]
    energies, forces, virials = [], [], []
    for model in MODELS:
        atoms.calc = TNEPCalculator(energy=model)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        virials.append(-atoms.get_stress(voigt=False))
    assert np.abs(result.atoms[:, 4:7] - np.mean(forces, axis=0)).max() < 1e-10
    assert result.thermo["PotEng"] == pytest.approx(np.mean(energies), abs=1e-9)
    assert result.atoms[:, 7].sum() == pytest.approx(np.mean(energies), abs=1e-9)
    pressure = np.mean(virials, axis=0)[(0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)] * BAR
    assert np.allclose(columns(result, "c_p", range(1, 7)), pressure, rtol=1e-9)
    volume = result.thermo["Volume"]
    assert np.allclose(columns(result, "c_v", range(1, 7)) / -volume, pressure, rtol=1e-8)
    deviation = np.sqrt(np.var(forces, axis=0).sum(axis=1))
    assert np.abs(result.atoms[:, 8] - deviation).max() < 1e-10
    assert result.thermo["c_d[1]"] == pytest.approx(deviation.max(), rel=1e-9)
    assert result.thermo["c_d[4]"] == pytest.approx(np.std(energies) / len(atoms), rel=1e-7)
    assert result.thermo["c_d[5]"] == 0
    assert np.loadtxt(tmp_path / "devi.out")[:, 0].tolist() == [0, 2, 4, 6]


def test_deviation_of_the_dipole_of_enthalpy_models(tmp_path):
    atoms = silica()
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    write_data(tmp_path / "data.txt", atoms, [1 if s == "Si" else 2 for s in atoms.symbols])
    dipoles, forces = [], []
    for k in range(3):
        save_artifact(random_enthalpy(seed=k), tmp_path / f"e{k}.pt")
        atoms.calc = TNEPCalculator(enthalpy=str(tmp_path / f"e{k}.pt"), efield=[0.02, 0.0, 0.03])
        dipoles.append(atoms.calc.get_property("dipole", atoms))
        forces.append(atoms.get_forces())
    body = "pair_style tnep deviation devi.out 1\npair_coeff * * e0.pt e1.pt e2.pt Si O\n"
    body += "fix F all tnep/field 0.02 0 0.03\ncompute d all tnep/deviation/atom\n"
    result = run(tmp_path, script(body + output("c_d[5]", "c_d fx fy fz")), 2)
    expected = np.sqrt(np.var(dipoles, axis=0).sum())
    assert expected > 1e-3 and result.thermo["c_d[5]"] == pytest.approx(expected, rel=1e-9)
    assert np.loadtxt(tmp_path / "devi.out")[8] == pytest.approx(expected, rel=1e-7)
    assert (tmp_path / "devi.out").read_text().split("\n")[0].split()[-1] == "devi_p"
    assert np.allclose(result.atoms[:, 1], np.sqrt(np.var(forces, axis=0).sum(axis=1)), rtol=1e-9)
    assert np.allclose(result.atoms[:, 2:], forces[0], atol=1e-9 * np.abs(forces[0]).max())


def test_structures_beyond_the_threshold(folder, tmp_path):
    """The written structures are the present ones, in the order of the ids, with species, cell and deviations."""
    atoms = crystal((2, 1, 1))
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = f"pair_style tnep deviation devi.out 1 threshold 1e-9 write new.xyz\npair_coeff * * {folder}/m0.pt "
    body += f"{folder}/m1.pt B N\nvelocity all create 300 1 loop geom\nfix 1 all nve\ntimestep 0.0005\n"
    body += output("pe", "x y z").replace("run 0", "compute d all tnep/deviation/atom\nrun 3")
    result = run(tmp_path, script(body), 3)
    frames = read(tmp_path / "new.xyz", ":")
    assert [frame.info["step"] for frame in frames] == [0, 1, 2, 3]
    last = frames[-1]
    assert last.get_chemical_symbols() == atoms.get_chemical_symbols() and last.pbc.all()
    assert np.allclose(last.cell, atoms.cell) and np.allclose(last.positions, result.atoms[:, 1:4], atol=1e-9)
    assert last.arrays["deviation"].max() == pytest.approx(np.loadtxt(tmp_path / "devi.out")[-1, 4], rel=1e-7)


@pytest.mark.parametrize(("style", "tolerance"), [("nep", 1e-10), ("tnep precision single", 1e-4)])
def test_unchanged_nep_txt(folder, style, tolerance):
    body = f"pair_style {style}\npair_coeff * * nep0.txt B N\ncompute d all tnep/descriptor/atom m0.pt B N\n"
    result = run(folder, script(body + output("pe", "fx fy fz c_d[1]")), 2)
    atoms = crystal((2, 1, 1))
    atoms.calc = TNEPCalculator(energy=str(folder / "nep0.txt"))
    error = np.abs(result.atoms[:, 1:4] - atoms.get_forces()).max()
    assert error < tolerance * np.abs(atoms.get_forces()).max()
    assert ("single" in style) == (error > 1e-9)


CASES = {
    "word": ("pair_style tnep gpu 1\n", ["expected precision single|double", "got 'gpu'"]),
    "precision": ("pair_style tnep precision half\n", ["single or double", "'half'"]),
    "precision of a compute": (
        "pair_style tnep\npair_coeff * * m0.pt B N\ncompute d all tnep/descriptor/atom m0.pt B N precision half\n",
        ["Compute tnep/descriptor/atom: precision must be single or double, got 'half'"],
    ),
    "device": ("pair_style tnep device tpu\n", ["auto, cpu or cuda, got 'tpu'"]),
    "threshold": ("pair_style tnep threshold 0.1 write\n", ["threshold force warn|stop|write file"]),
    "mean of one": ("pair_style tnep mean\npair_coeff * * m0.pt B N\n", ["mean needs several models"]),
    "mean of enthalpies": (
        "pair_style tnep mean\npair_coeff * * e.pt e.pt Si O\n",
        ["the mean of enthalpy models is a model itself: tnep export a.pt b.pt mean.pt"],
    ),
    "field and scaled": (
        "variable s equal 0.5\npair_style hybrid/scaled v_s tnep 0.5 zero 5\npair_coeff * * tnep e.pt Si O\n"
        "pair_coeff * * zero\nfix F all tnep/field 0 0 1\nrun 0\n",
        ["hybrid/scaled would scale the forces in the field"],
    ),
    "elements left out": ("pair_style tnep\npair_coeff * * m0.pt\n", ["expected 'pair_coeff * * file"]),
    "one model": ("pair_style tnep deviation d.out 1\npair_coeff * * m0.pt B N\n", ["needs several models"]),
    "threshold alone": ("pair_style tnep threshold 0.1 stop\n", ["threshold needs 'deviation file steps'"]),
    "stop": (
        "pair_style tnep deviation d.out 1 threshold 1e-9 stop\npair_coeff * * m0.pt m1.pt B N\nrun 0\n",
        ["deviate by", "on step 0"],
    ),
    "compute": (
        "pair_style tnep\npair_coeff * * m0.pt B N\ncompute d all tnep/deviation/atom\nrun 0\n",
        ["with several models"],
    ),
    "damaged nep.txt": ("pair_style tnep\npair_coeff * * cut.txt B N\n", ["cut.txt", "'tnep export'"]),
}


@pytest.fixture(scope="module")
def messages(folder):
    (folder / "cut.txt").write_text("".join((folder / "nep0.txt").read_text().splitlines(keepends=True)[:20]))
    save_artifact(random_enthalpy(), folder / "e.pt")
    return refusals(folder, {name: START + text for name, (text, _) in CASES.items()})


@pytest.mark.parametrize("name", CASES)
def test_refusals(messages, name):
    assert messages[name] is not None, "LAMMPS accepted it"
    for part in CASES[name][1]:
        assert part in messages[name]


def test_cuda_without_a_gpu(folder):
    """An error that says what to do; auto falls back to the CPU."""
    if torch.cuda.is_available():
        return
    text = START + "pair_style tnep device {}\npair_coeff * * m0.pt B N\nrun 0\n"
    found = refusals(folder, {name: text.format(name) for name in ("cuda", "auto", "cpu")})
    assert "finds no GPU on every node; use device cpu" in found["cuda"]
    assert found["auto"] is found["cpu"] is None


def test_element_may_be_left_out_and_rebuilds_are_checked(tmp_path):
    """With one atom type and one element; a list without a check of distances causes a warning."""
    export_artifact(random_nep(species=("B",), cutoffs=(4.0, 3.5)), tmp_path / "b.pt")
    atoms = bulk("B", "fcc", a=3.4, cubic=True)
    atoms.rattle(0.1, seed=1)
    write_data(tmp_path / "data.txt", atoms, [1] * 4)
    body = "pair_style tnep\npair_coeff * * b.pt\nneigh_modify every 20 delay 0 check no\n"
    result = run(tmp_path, script(body + output("pe"), ntypes=1))
    atoms.calc = TNEPCalculator(energy=str(tmp_path / "b.pt"))
    assert result.thermo["PotEng"] == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert "use 'neigh_modify every 1 delay 0 check yes'" in result.text
