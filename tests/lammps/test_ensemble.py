"""pair_style tnep with several models, and with a nep.txt as it is."""

import numpy as np
import pytest

from helpers.lammps_run import columns, crystal, output, refusals, run, script, types_of, write_data
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
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


@pytest.mark.parametrize(("style", "tolerance"), [("tnep", 1e-10), ("nep", 1e-10), ("tnep precision single", 1e-4)])
def test_nep_txt_as_it_is(folder, style, tolerance):
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
    "precision of an artifact": (
        "pair_style tnep precision single\npair_coeff * * m0.pt B N\n",
        ["m0.pt was exported as float64", "--dtype float32"],
    ),
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
    return refusals(folder, {name: START + text for name, (text, _) in CASES.items()})


@pytest.mark.parametrize("name", CASES)
def test_refusals(messages, name):
    assert messages[name] is not None, "LAMMPS accepted it"
    for part in CASES[name][1]:
        assert part in messages[name]
