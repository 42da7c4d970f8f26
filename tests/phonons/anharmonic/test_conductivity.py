import shutil
from functools import partial

import h5py
import numpy as np
import phono3py
import pytest
from ase.build import bulk
from calorine.calculators import CPUNEP

from helpers.paths import shared_data
from tnep_calc import TNEPCalculator
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.linewidths import read_linewidths, write_linewidths
from tnep_calc.phonons import force_constants
from tnep_calc.phonons.anharmonic import conductivity
from tnep_calc.phonons.anharmonic.conductivity import thermal_conductivity
from tnep_calc.phonons.anharmonic.force_constants import read_force_constants, write_force_constants
from tnep_calc.progress import Progress
from tnep_calc.units import THZ_TO_INV_CM

pytestmark = pytest.mark.slow

MESH = (4, 4, 4)
BORN = b"14.4\n2.5 0 0 0 2.5 0 0 0 2.5\n1.1 0 0 0 1.1 0 0 0 1.1\n-1.1 0 0 0 -1.1 0 0 0 -1.1\n"


@pytest.fixture(scope="module")
def files(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fc")
    write_force_constants(result, folder, evaluated=False)
    return folder


@pytest.fixture(scope="module")
def rta(files):
    return thermal_conductivity(read_force_constants(files), MESH, (100.0, 300.0))


def test_same_as_phono3py_alone(files, rta):
    ph = read_force_constants(files)
    ph.mesh_numbers = MESH
    ph.init_phph_interaction(average_degenerate_weights=True, exclude_gamma_acoustic=True)
    ph.run_thermal_conductivity(temperatures=[100, 300])
    assert np.allclose(rta.kappa, ph.thermal_conductivity.kappa[0], rtol=1e-10)
    assert rta.kappa[0, 0] > 2 * rta.kappa[1, 0] > 0  # about 1 / T
    assert np.allclose(rta.kappa[:, :3], rta.kappa[:, :1], rtol=1e-8)  # cubic
    assert np.allclose(rta.kappa[:, 3:], 0, atol=1e-8)


def test_silicon_with_a_published_nep_equals_calorine():
    path = shared_data("tnep/potentials") / "Si_2022_NEP4_3body.txt"
    kappa = []
    for calculator in (TNEPCalculator(energy=path), CPUNEP(str(path))):
        result = force_constants(bulk("Si", a=5.43), calculator, supercell=2, amplitude=0.03)
        kappa.append(thermal_conductivity(result, MESH).kappa[0, :3])
    assert kappa[0].min() > 5
    assert np.allclose(kappa[0], kappa[1], rtol=1e-6)


def test_shares_of_the_modes_add_up(rta):
    assert np.allclose(rta.mode_kappa.sum(axis=(1, 2)), rta.kappa, rtol=1e-10)
    frequencies, sums = rta.cumulative(300.0)
    assert sums[0] == 0 and (np.diff(sums) >= 0).all()
    assert sums[-1] == pytest.approx(rta.kappa[1, :3].mean(), rel=1e-10)
    assert frequencies[-1] >= rta.frequencies.max()
    with pytest.raises(InputError, match="no conductivity at 200 K; there are 100, 300 K"):
        rta.cumulative(200.0)


def test_widths_at_gamma_are_twice_the_imaginary_self_energy(files, rta):
    ph = read_force_constants(files)
    ph.mesh_numbers = MESH
    ph.init_phph_interaction(average_degenerate_weights=True, exclude_gamma_acoustic=True)
    gammas = ph.run_imag_self_energy([0], [300.0], frequency_points_at_bands=True).gammas
    of_modes = np.array(gammas)[0, 0, 0].ravel()
    frequencies, widths = rta.at_gamma(300.0)
    optical = slice(3, 6)
    assert np.allclose(widths[optical], 2 * of_modes[optical].mean() * THZ_TO_INV_CM, rtol=0.02)
    assert np.ptp(widths[optical]) == 0  # degenerate modes have the same width
    assert np.allclose(frequencies[optical], frequencies[3])  # no LO-TO splitting without a direction
    assert frequencies[3] == pytest.approx(168, abs=15)


def test_isotopes_boundary_and_direct_solution(files, rta, tmp_path):
    ph = read_force_constants(files)
    isotopes = thermal_conductivity(ph, MESH, (300.0,), isotopes=True)
    boundary = thermal_conductivity(ph, MESH, (300.0,), boundary=0.01)
    direct = thermal_conductivity(ph, MESH, (300.0,), method="direct", folder=tmp_path)
    assert 0.6 < isotopes.kappa[0, 0] / rta.kappa[1, 0] < 1
    assert isotopes.widths.sum() > rta.widths[1].sum()
    assert boundary.kappa[0, 0] < 0.9 * rta.kappa[1, 0]
    assert 0.8 < direct.kappa[0, 0] / rta.kappa[1, 0] < 1.2 and direct.kappa[0, 0] != rta.kappa[1, 0]
    assert np.allclose(ph.thermal_conductivity.kappa_RTA[0], rta.kappa[1], rtol=1e-6)  # on the way to the solution
    assert np.allclose(direct.mode_kappa.sum(axis=(1, 2)), direct.kappa, rtol=1e-6)
    assert (tmp_path / "kappa-m444.hdf5").exists()


def test_progress_of_the_direct_solution(files, monkeypatch, caplog, capsys):
    monkeypatch.setattr(conductivity, "Progress", partial(Progress, interval=0.0))
    with caplog.at_level("INFO"):
        thermal_conductivity(read_force_constants(files), (3, 3, 3), (300.0,), method="direct")
    assert [line.split(",")[0].strip() for line in caplog.messages[1:]] == [
        "1 of 4 grid points",
        "2 of 4 grid points",
        "3 of 4 grid points",
        "solving the Boltzmann equation",
    ]
    assert "Grid point" not in capsys.readouterr().out


def test_a_killed_run_resumes(files, rta, tmp_path, monkeypatch):
    monkeypatch.setattr(conductivity, "BATCH", 2)
    ph = read_force_constants(files)
    run, batches = type(ph).run_thermal_conductivity, []

    def stopping(self, *args, **kwargs):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(kwargs.get("grid_points"))
        run(self, *args, **kwargs)

    monkeypatch.setattr(type(ph), "run_thermal_conductivity", stopping)
    with pytest.raises(KeyboardInterrupt):
        thermal_conductivity(ph, MESH, (100.0, 300.0), folder=tmp_path)
    assert not (tmp_path / "kappa-m444.hdf5").exists()
    batches.clear()
    monkeypatch.setattr(
        type(ph),
        "run_thermal_conductivity",
        lambda self, **kw: (batches.append(kw.get("grid_points")), run(self, **kw)),
    )
    resumed = thermal_conductivity(ph, MESH, (100.0, 300.0), folder=tmp_path)
    points = sum(len(batch) for batch in batches if batch is not None)
    assert points == len(rta.weights) - 4
    assert np.allclose(resumed.kappa, rta.kappa, rtol=1e-10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kappa-m444.hdf5"]


def test_a_killed_direct_solution_resumes(files, tmp_path, monkeypatch):
    from phono3py.conductivity.lbte_collision_solver import LBTECollisionSolver

    ph, compute, points = read_force_constants(files), LBTECollisionSolver.compute, []
    whole = thermal_conductivity(ph, MESH, (100.0, 300.0), "direct")

    def stopping(self, grid_point):
        if len(points) == 3:
            raise KeyboardInterrupt
        points.append(grid_point)
        return compute(self, grid_point)

    monkeypatch.setattr(LBTECollisionSolver, "compute", stopping)
    with pytest.raises(KeyboardInterrupt):
        thermal_conductivity(ph, MESH, (100.0, 300.0), "direct", folder=tmp_path)
    assert LBTECollisionSolver.compute is stopping and not (tmp_path / "kappa-m444.hdf5").exists()
    first = points.copy()
    monkeypatch.setattr(
        LBTECollisionSolver, "compute", lambda self, point: (points.append(point), compute(self, point))[1]
    )
    resumed = thermal_conductivity(ph, MESH, (100.0, 300.0), "direct", folder=tmp_path)
    assert len(first) == 3 and len(points) == len(set(points)) == len(whole.weights)
    assert np.array_equal(resumed.kappa, whole.kappa) and np.array_equal(resumed.widths, whole.widths)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coleigs-m444.hdf5", "kappa-m444.hdf5"]


def test_refusals(files):
    ph = read_force_constants(files)
    for arguments, message in (
        (((4, 4),), "a mesh is three positive integers"),
        (((0, 4, 4),), "a mesh is three positive integers"),
        ((MESH, (0.0,)), "temperatures must be positive, got 0 K"),
        ((MESH, (300.0,), "exact"), "must be rta or direct"),
        ((MESH, (300.0,), "rta", False, -1.0), "boundary scattering must be positive"),
    ):
        with pytest.raises(InputError, match=message):
            thermal_conductivity(ph, *arguments)
    ph.fc3 = None
    with pytest.raises(InputError, match="needs second- and third-order"):
        thermal_conductivity(ph, MESH)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    (
        ("fc3.hdf5", lambda data: data[: len(data) // 2], "fc3.hdf5: damaged, or not"),
        ("fc2.hdf5", None, "fc2.hdf5: its force constants are missing or not all finite"),
        ("BORN", lambda data: b"14.4\n2.5 0 0 0 2.5 0 0 0 2.5\n1 0 0\n", "BORN: damaged, or not a BORN file"),
        ("BORN", lambda data: BORN.replace(b"2.5", b"9e9"), "a metal has no LO-TO splitting"),
        ("BORN", lambda data: BORN.replace(b"1.1", b"nan"), "Born charges are not all finite"),
    ),
)
def test_files_are_checked_before_the_first_grid_point(files, tmp_path, monkeypatch, capsys, name, change, message):
    folder = tmp_path / "fc"
    shutil.copytree(files, folder)
    (folder / "BORN").write_bytes(BORN)
    if change:
        (folder / name).write_bytes(change((folder / name).read_bytes()))
    else:
        with h5py.File(folder / name, "r+") as file:
            file["force_constants"][0, 0, 0, 0] = np.nan
    ran = []
    monkeypatch.setattr(phono3py.Phono3py, "run_thermal_conductivity", lambda *a, **k: ran.append(a))
    words = ["ltc", str(folder), "--mesh", "3", "3", "3", "--born", str(folder / "BORN"), "-o", str(tmp_path / "out")]
    assert main(words) == 1
    assert message in capsys.readouterr().err
    assert not ran and not (tmp_path / "out").exists()


def test_table_of_linewidths(rta, tmp_path):
    path = tmp_path / "widths.txt"
    write_linewidths(path, *rta.at_gamma(300.0), {"temperature_K": 300})
    frequencies, widths = read_linewidths(path)
    assert np.allclose(widths, rta.at_gamma(300.0)[1], atol=1e-6)
    assert np.allclose(frequencies, rta.at_gamma(300.0)[0], atol=1e-6)
    for text, message in (
        ("1 2.0\n", "line 1: expected mode, frequency and width, got '1 2.0'"),
        ("1 2.0 3.0\n3 2.0 3.0\n", "line 2: expected mode 2, got 3"),
        ("1 2.0 -3.0\n", "line 1: frequency and width must be finite"),
        ("# nothing\n", "the file has no modes"),
    ):
        path.write_text(text)
        with pytest.raises(DataFileError, match=message):
            read_linewidths(path)
