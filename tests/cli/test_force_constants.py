import json
import re
import shutil

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from helpers.rock_salt import NACL, nacl, small_cells, small_potential
from tnep_calc.cli import main
from tnep_calc.io.linewidths import read_linewidths, write_linewidths
from tnep_calc.phonons.anharmonic.force_constants import read_force_constants

pytestmark = pytest.mark.slow

SMALL = ["--set", "cutoff=5", "--set", "gtinv_maxl=4,4", "--set", "gaussian_params2=[0, 4, 4]"]
FEW = ["--displacements", "random", "--number", "5", "--amplitude", "0.03"]


@pytest.fixture(scope="module")
def potential_file(tmp_path_factory):
    return small_potential(nacl()[1], tmp_path_factory.mktemp("polymlp") / "phono3py.pmlp")


@pytest.fixture(scope="module")
def cells(potential_file):
    """Return a phono3py file with twelve displaced supercells of 16 atoms, labelled by a potential."""
    path = potential_file.parent / "phono3py_params.yaml"
    small_cells(potential_file, 12).save(path)
    return str(path)


@pytest.fixture(scope="module")
def folder(cells, tmp_path_factory):
    """Return a folder with force constants from six supercells."""
    folder = tmp_path_factory.mktemp("fc") / "nacl"
    assert main(["fc", cells, "-o", str(folder), "--ntrain", "6", "--ntest", "2", *SMALL, *FEW]) == 0
    return folder


def test_folder_of_a_run(cells, folder, capsys):
    errors = json.loads((folder / "errors.json").read_text())
    assert errors["train"]["supercells"] == 6 and errors["test"]["supercells"] == 2
    assert errors["test"]["force_rmse"] < 0.2
    assert sorted(path.name for path in folder.iterdir()) == [
        "errors.json",
        "fc2.hdf5",
        "fc3.hdf5",
        "phono3py.yaml",
        "phono3py_mlp_eval_dataset.yaml",
        "polymlp.json",
        "polymlp.yaml",
        "run.json",
    ]
    before = (folder / "fc3.hdf5").read_bytes(), (folder / "polymlp.yaml").stat().st_mtime_ns
    assert main(["fc", cells, "-o", str(folder), "--ntrain", "6", "--ntest", "2", *SMALL, *FEW]) == 0
    assert "polymlp.yaml of the previous run" in capsys.readouterr().out
    assert ((folder / "fc3.hdf5").read_bytes(), (folder / "polymlp.yaml").stat().st_mtime_ns) == before
    assert main(["fc", cells, "-o", str(folder), "--ntrain", "8", "--ntest", "2", *SMALL, *FEW]) == 1
    assert "has a previous run that differs in ntrain: give another folder, or --restart" in capsys.readouterr().err


def test_conductivity(folder, tmp_path, capsys):
    target = tmp_path / "ltc"
    command = ["ltc", str(folder), "--mesh", "4", "4", "4", "--temperatures", "200", "300", "-o", str(target)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "mesh 4 x 4 x 4, non-analytic term" in printed
    table = np.loadtxt(target / "kappa.txt")
    assert table.shape == (2, 7) and table[0, 1] > table[1, 1] > 5
    assert sorted(path.name for path in target.iterdir()) == [
        "kappa-m444.hdf5",
        "kappa.png",
        "kappa.txt",
        "linewidths.png",
        "widths-200K.txt",
        "widths-300K.txt",
    ]
    frequencies, widths = read_linewidths(target / "widths-300K.txt")
    assert len(widths) == 6 and widths[3] > 0.5 and frequencies[3] == pytest.approx(168, abs=3)
    assert main(command) == 1
    assert "kappa.txt exists; give another name, or --force" in capsys.readouterr().err
    assert main([*command, "--force", "--no-nac", "--json"]) == 0
    printed, shown = capsys.readouterr()
    assert "W/(m K)" in shown and "non-analytic" not in shown
    np.testing.assert_allclose(
        json.loads(printed)["kappa_W_per_mK"], np.loadtxt(target / "kappa.txt")[:, 1:], atol=1e-4
    )


def test_too_few_supercells_for_a_fit_without_a_potential(potential_file, tmp_path, capsys):
    """33 + 11 constants need the 45 equations of one supercell of 16 atoms twice, as symfc estimates 48 + 3 of them.

    A supercell and its negative say no more about fc3 than one of them.
    """
    cells = small_cells(potential_file, 2)
    one = cells.displacements[:1]
    for moves, good in ((one, False), (np.concatenate([one, -one]), False), (cells.displacements, True)):
        cells.dataset = {"displacements": moves, "forces": -moves}
        cells.save(tmp_path / "few.yaml")
        words = ["fc", str(tmp_path / "few.yaml"), "-o", str(tmp_path / "out"), "--potential", "none", "--restart"]
        assert main(words) == (0 if good else 1)
        message = f"{tmp_path / 'few.yaml'}: {len(moves)} displaced supercells of 16 atoms are too few for about 51"
        assert (message in capsys.readouterr().err) != good


def test_potential_from_a_file_on_a_bare_structure(potential_file, tmp_path, capsys):
    write(tmp_path / "POSCAR", bulk("NaCl", "rocksalt", a=5.603), format="vasp", direct=True)
    out = str(tmp_path / "out")
    assert (
        main(["fc", str(tmp_path / "POSCAR"), "-o", out, "--potential", str(potential_file), "--supercell", "2"]) == 0
    )
    result = read_force_constants(out)
    assert result.fc3.shape == (2, 16, 16, 3, 3, 3) and result.nac_params is None
    assert main(["fc", str(tmp_path / "POSCAR"), "-o", out, "--supercell", "2"]) == 1
    assert "give --reference and --supercell for displaced structures, or" in capsys.readouterr().err


def test_nep_fitted_to_the_supercells(cells, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["fc", cells, "-o", str(out), "--potential", "nep", "--ntrain", "8", "--ntest", "2", *FEW]
    for setting in ("radial_cutoff=4", "angular_cutoff=4", "n_max=3", "basis_size=4,4"):
        command += ["--set", setting]
    assert main(command) == 0
    errors = json.loads((out / "errors.json").read_text())
    assert errors["test"]["force_rmse"] < 0.03 * errors["test"]["force_spread"]
    assert sorted(path.name for path in (out / "nep").iterdir()) == ["nep.json", "nep.txt"]
    assert read_force_constants(out).fc3.shape == (2, 16, 16, 3, 3, 3)
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    printed, shown = capsys.readouterr()
    assert "nep.txt of the previous run" in shown and json.loads(printed)["errors"] == errors


def test_polynomial_potential_and_widths_in_lattice_dynamics(potential_file, folder, tmp_path, capsys):
    write(tmp_path / "POSCAR", bulk("NaCl", "rocksalt", a=5.603), format="vasp", direct=True)
    write_linewidths(tmp_path / "widths.txt", [0, 0, 0, 168, 168, 168], [0, 0, 0, 2.5, 2.5, 2.5])
    born = "14.400\n2.56 0 0 0 2.56 0 0 0 2.56\n1.08 0 0 0 1.08 0 0 0 1.08\n-1.08 0 0 0 -1.08 0 0 0 -1.08\n"
    (tmp_path / "BORN").write_text(born)
    command = [
        "phonons",
        str(tmp_path / "POSCAR"),
        "--energy",
        str(potential_file),
        "--born",
        str(tmp_path / "BORN"),
        "-o",
        str(tmp_path / "out"),
        "--widths",
        str(tmp_path / "widths.txt"),
        "--no-relax",
    ]
    assert main(command) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert re.search(r"16[5-9]\.\d", printed), printed


def test_any_ase_calculator(tmp_path, capsys):
    write(tmp_path / "POSCAR", bulk("Al", a=4.0), format="vasp", direct=True)
    command = ["fc", str(tmp_path / "POSCAR"), "-o", str(tmp_path / "out"), "--supercell", "3", "--cutoff", "3"]
    assert main([*command, "--calculator", "ase.calculators.emt:EMT"]) == 0
    assert read_force_constants(tmp_path / "out").fc2.shape == (1, 27, 3, 3)
    assert main([*command, "--calculator", "ase.calculators.emt:Nothing"]) == 1
    assert "must be MODULE:NAME" in capsys.readouterr().err


def test_convergence(cells, tmp_path, capsys):
    out = tmp_path / "steps"
    command = [
        "fc",
        cells,
        "-o",
        str(out),
        "--convergence",
        "4,10",
        "--subsets",
        "2",
        "--ntest",
        "2",
        *SMALL,
        *FEW,
        "--mesh",
        "3",
        "3",
        "3",
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    rows = np.genfromtxt(out / "convergence.csv", delimiter=",", names=True)
    assert rows["supercells"].tolist() == [4, 4, 10] and rows["subset"].tolist() == [0, 1, 0]
    assert rows["force_rmse"][2:].mean() < rows["force_rmse"][:2].mean()
    assert (rows["fc2_error"] < 0.03).all() and rows["kappa"].std() < 0.1 * rows["kappa"].mean()
    assert "all 12 supercells without a potential: kappa" in printed
    assert (out / "convergence.png").stat().st_size > 10_000
    shutil.rmtree(out / "n4-1")
    assert main(command) == 0  # only the missing part
    assert (out / "n4-1" / "row.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    (
        (
            ["--ntrain", "21", "--ntest", "2"],
            f"{NACL}: has 22 supercells, but 21 for training and 2 for the test were asked for",
        ),
        (["--potential", "none", "--ntrain", "3"], "need a potential to be trained"),
        (["--energy", "a", "--calculator", "b"], "give one of --energy and --calculator"),
        (["--set", "cutof=3"], "pypolymlp has no parameter 'cutof'"),
        (["--set", "cutoff"], "--set takes NAME=VALUE, got 'cutoff'"),
        (["--potential", "nep", "--set", "model.neurons=3"], "has no parameter 'model.neurons'; known: radial_cutoff"),
        (["--convergence", "4,x"], "--convergence takes numbers like 20,40,60"),
        (["--convergence", "4,30"], f"{NACL}: has 22 supercells, but 30 for training and 2"),
        (["--convergence", "4", "--ntrain", "3"], "leave out --ntrain"),
        (["--fc2-supercell", "two"], "takes integers or 'same', got 'two'"),
        (["--displacements", "random"], "give the number of supercells for random"),
    ),
)
def test_refusals(tmp_path, capsys, options, message):
    assert main(["fc", str(NACL), "-o", str(tmp_path / "out"), *options]) == 1
    assert message in capsys.readouterr().err
