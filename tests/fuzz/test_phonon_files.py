"""Damaged files of lattice dynamics: phonopy, phono3py, pypolymlp, Quantum ESPRESSO and our own; see ``test_fuzz``."""

import json
import os

import numpy as np
import pytest
from ase import Atoms
from fuzz.attempts import COUNT, attempt_mutations, time_limit

from helpers.paths import DATA
from helpers.ph_x_files import matrix_file, q2r_file
from tnep_calc.errors import DataFileError
from tnep_calc.io.born import read_born, write_born
from tnep_calc.io.ph_x import read_ph_x
from tnep_calc.io.series.mode_series import ModeSeries
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries
from tnep_calc.io.supercells import bare_structure, read_supercells
from tnep_calc.phonons.loading import load_phonon
from tnep_calc.phonons.stored import read_modes

phonopy = pytest.importorskip("phonopy")
pytest.importorskip("phono3py")
from phonopy.file_IO import write_FORCE_CONSTANTS, write_FORCE_SETS  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crystal():
    """A rock salt crystal of 16 atoms with springs between neighbours, and its charges."""
    a = 3.0
    cell = phonopy.structure.atoms.PhonopyAtoms(
        symbols=["Na", "Cl"], cell=a * (1 - np.eye(3)), scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    phonon = phonopy.Phonopy(cell, [2, 2, 2], "P")
    phonon.generate_displacements(distance=0.02)
    rest = phonon.supercell
    between = rest.scaled_positions[:, None] - rest.scaled_positions
    near = np.linalg.norm((between - np.round(between)) @ rest.cell, axis=-1) < 1.01 * a
    springs = np.diag(near.sum(axis=1)) - near
    phonon.forces = [-springs @ (one.positions - rest.positions) for one in phonon.supercells_with_displacements]
    phonon.produce_force_constants()
    phonon.symmetrize_force_constants()
    phonon.nac_params = {"born": np.array([np.eye(3), -np.eye(3)]), "dielectric": 2.3 * np.eye(3), "factor": 14.4}
    return phonon


@pytest.fixture(scope="module")
def files(crystal, tmp_path_factory):
    """Undamaged files of the crystal by format."""
    folder = tmp_path_factory.mktemp("phonons")
    crystal.save(folder / "constants.yaml", settings={"force_constants": True, "force_sets": False})
    write_born(folder / "BORN", crystal)
    values = np.arange(60.0).reshape(20, 3)
    modes = ModeSeries(values, np.array([100.0, 200, 200]), ((0,), (1, 2)), ("A", "E"), 0.5, charges=np.eye(3))
    write_timeseries(folder / "modes.h5", TimeSeries(Sampled(values, 0.5), temperature=300.0, modes=modes))
    write_modes(folder / "phonons.json")
    write_forces(folder / "phono3py.yaml")
    (folder / "q2r").write_text(q2r_file(crystal))
    reference = json.loads((DATA / "phonons" / "BN-abinit" / "reference.json").read_text())
    (folder / "matrix").write_text(matrix_file(reference))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write_forces(path):
    cell = Atoms("NaCl", [[0, 0, 0], [3, 3, 3]], cell=3 - 3 * np.eye(3), pbc=True)
    found = bare_structure(cell, [2, 2, 2])
    found.generate_displacements(distance=0.03, number_of_snapshots=2, random_seed=0)
    found.forces = np.random.default_rng(0).normal(size=(2, 16, 3))
    found.save(path)


def write_modes(path):
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0].reshape(6, 2, 3)
    cell = {"symbols": ["Na", "Cl"], "scaled_positions": [[0, 0, 0], [0.5, 0.5, 0.5]], "volume_A3": 54.0}
    cell |= {"lattice_A": (3 - 3 * np.eye(3)).tolist(), "masses_amu": [23.0, 35.5]}
    modes = {"wavenumbers_cm-1": [0.0] * 3 + [300.0] * 3, "eigenvectors": vectors.tolist(), "point_group": "m-3m"}
    modes |= {"degenerate_sets": [[0, 1, 2], [3, 4, 5]], "irreps": ["T1u", "T1u"], "acoustic": [True] * 3 + [False] * 3}
    modes |= {"infrared_active": [True, True], "raman_active": [False, False]}
    path.write_text(json.dumps({"primitive_cell": cell, "modes": modes}))


READERS = {
    "ph-x-output": ("ph.out", "nacl_ph.out", read_ph_x, COUNT),
    "phonons-json": ("phonons.json", "phonons.json", read_modes, COUNT),
    "mode-series": ("modes.h5", "modes.h5", read_timeseries, COUNT // 3),
    "phono3py": ("phono3py_params.yaml", "phono3py.yaml", read_supercells, COUNT // 5),
    "q2r": ("a.fc", "q2r", load_phonon, COUNT // 5),
    "ph-x-matrix": ("a.dyn1", "matrix", load_phonon, COUNT // 5),
    "phonopy": ("phonopy_params.yaml", "constants.yaml", load_phonon, COUNT // 5),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_a_result_or_one_line(kind, files, tmp_path):
    name, source, read, count = READERS[kind]
    data = files[source] if source in files else (DATA / "phonons" / source).read_bytes()
    attempt_mutations(kind, data, read, tmp_path / name, count)


def test_born(crystal, files, tmp_path):
    attempt_mutations("BORN", files["BORN"], lambda path: read_born(path, crystal), tmp_path / "BORN")


@pytest.mark.parametrize("name", ["FORCE_SETS", "FORCE_CONSTANTS"])
def test_files_beside_that_of_phonopy(name, crystal, tmp_path):
    crystal.save(tmp_path / "phonopy_disp.yaml", settings={"force_sets": False, "force_constants": False})
    if name == "FORCE_SETS":
        write_FORCE_SETS(crystal.dataset, filename=tmp_path / name)
    else:
        write_FORCE_CONSTANTS(crystal.force_constants, filename=tmp_path / name, p2s_map=crystal.primitive.p2s_map)
    data = (tmp_path / name).read_bytes()
    attempt_mutations(name, data, lambda _: load_phonon(tmp_path / "phonopy_disp.yaml"), tmp_path / name, COUNT // 12)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("lattice:", "lattice: !!python/object/apply:os.system ['touch run']\nlattice:", "YAML tag"),
        ("[   2,   0,   0 ]", "[   2000000,   0,   0 ]", "supercell of 8e.06 unit cells"),
        ("3.000000000000000,     0.0", "1e18,     0.0", "lattice vector with components"),
    ],
)
def test_files_of_phonopy_that_would_run_code_or_never_end(old, new, words, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = files["constants.yaml"].decode()
    assert old in text
    (tmp_path / "a.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(DataFileError, match=words), time_limit():
        load_phonon(tmp_path / "a.yaml")
    assert os.listdir() == ["a.yaml"]
