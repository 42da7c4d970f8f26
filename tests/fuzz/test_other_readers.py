"""Damaged files for the readers of simulations, spectra, lattice dynamics and GPUMD; see ``test_fuzz``."""

import gzip
import os
import signal
import time

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from fuzz.attempts import attempt_mutations, sample_of_ase, time_limit

from tnep_calc.errors import DataFileError, TnepError
from tnep_calc.io import trial
from tnep_calc.io.gpumd.training_output import read_restart
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.io.linewidths import read_linewidths
from tnep_calc.io.series.collect import collect_series
from tnep_calc.io.series.reference import read_reference
from tnep_calc.io.series.spectrum_store import load_spectrum, save_spectrum
from tnep_calc.io.series.timeseries import read_timeseries
from tnep_calc.io.structures.read import read_structures
from tnep_calc.io.structures.trajectory import Trajectory
from tnep_calc.phonons.infrared import widths_of_phono3py
from tnep_calc.spectra.record import Spectrum

pytestmark = pytest.mark.slow

CELL = 4 * np.eye(3)
GPUMD_XYZ = b"""2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:force:R:3 energy=-1.5 virial="1 0 0 0 1 0 0 0 1"
B 0.0 0.0 0.0 0.1 0.2 0.3
N 1.4 0.1 0.2 -0.1 -0.2 -0.3
"""
IPI = b"# column   1     --> time{femtosecond} : x\n# cols.    2-4 --> dipole{debye} : x\n" + b"".join(
    b"%d.0 0.1 %d.5 -0.3\n" % (k, k) for k in range(20)
)
EXTRAS = b"".join(b"#EXTRAS(dipole)# Step: %d  Bead: 0\n 0.1 %d.5 -0.3\n" % (k, k) for k in range(10))
JSON_EXTRAS = b"".join(b'#EXTRAS# Step: %d  Bead: 0\n{"dipole": [0.1, %d.5, -0.3]}\n' % (k, k) for k in range(10))
CP2K = b" CP2K| version string: CP2K version 2024.1\n MD| Time step [fs]   0.5\n" + b"".join(
    b" Dipole moment [Debye]\n  X= 0.1 Y= %d.5 Z= 0.3  Total= 1.0\n MD| Step number %d\n" % (k, k) for k in range(10)
)
OUTCAR = b" vasp.6.3.0\n   POTIM  = 0.5\n" + b"".join(
    b" ionic dipole moment: p[ion]=( 0.1 %d.5 0.3 ) electrons Angst\n"
    b" Total electronic dipole moment: p[elc]=( 0.1 0.2 0.3 ) electrons Angst\n"
    b" POSITION                                       TOTAL-FORCE (eV/Angst)\n" % k
    for k in range(10)
)
DPDT = b"".join(b"%d.0 0.1 0.2 0.3 0.%d 0.5 0.6\n" % (k, k % 10) for k in range(20))
COLUMNS = b"".join(b"%d.0 0.1 %d.5 -0.3\n" % (k, k) for k in range(20))
LINEWIDTHS = b"# mode f w\n" + b"".join(b"%d %d.5 1.5\n" % (k, 100 * k) for k in range(1, 10))
REFERENCE = b"# x\n" + b"".join(b"%d.0, %d.5\n" % (100 * k, k) for k in range(20))
RESTART = b"".join(b"0.1 %d.5\n" % k for k in range(30))
XML = b"""<?xml version="1.0"?>
<qes:espresso xmlns:qes="x"><general_info><creator NAME="PWSCF" VERSION="7.1">x</creator></general_info><input/>
<output><convergence_info><scf_conv><convergence_achieved>true</convergence_achieved></scf_conv></convergence_info>
<atomic_structure nat="2"><atomic_positions><atom name="Mg" index="1">0 0 0</atom><atom name="O1" index="2">2 2.1 1.9</atom>
</atomic_positions><cell><a1>7 0 0</a1><a2>0 7 0</a2><a3>0 0 7</a3></cell></atomic_structure>
<total_energy><etot>-7.5</etot></total_energy><forces rank="2" dims="3 2">0.1 0.2 0.3 -0.1 -0.2 -0.3</forces>
<stress rank="2" dims="3 3">1e-4 0 0 0 2e-4 0 0 0 3e-4</stress></output></qes:espresso>
"""


def series(path):
    return collect_series([path], timestep=0.5, cell=CELL, units={"dipole": "e*A"})


def stated(path):
    """Read a file that says its units and times."""
    return collect_series([path], cell=CELL)


def columns(path):
    return collect_series([path], cell=CELL, units={"dipole": "e*A"}, file_format="columns", time_unit="fs")


def made_spectrum(suffix):
    def make(folder):
        x = np.linspace(0, 1000, 50)
        path = folder / f"made{suffix}"
        save_spectrum(path, Spectrum("ir", x, {"alpha": x**0.5}, {"alpha": "cm^-1"}, parameters={"a": 1}))
        return path.read_bytes()

    return make


def made_trajectory(suffix):
    def make(folder):
        frames = [Atoms("BN", [[0, 0, 0], [1.4 + 0.1 * k, 0, 0]], cell=[4, 4, 4], pbc=True) for k in range(3)]
        write(folder / f"made{suffix}", frames)
        return (folder / f"made{suffix}").read_bytes()

    return make


def phono3py_file(folder):
    with h5py.File(folder / "kappa.hdf5", "w") as file:
        file["temperature"] = np.array([100.0, 300.0])
        file["gamma"] = np.ones((2, 1, 6))
        file["qpoint"] = np.zeros((1, 3))
    return (folder / "kappa.hdf5").read_bytes()


DUMP = b"".join(
    b"ITEM: TIMESTEP\n%d\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 4\n0 4\n0 4\n"
    b"ITEM: ATOMS id type element x y z\n1 1 B 0 0 0\n2 2 N 1.%d 0 0\n" % (k, k)
    for k in range(3)
)
READERS = {
    "gpumd-xyz": ("train.xyz", lambda _: GPUMD_XYZ, lambda path: read_gpumd_xyz(path, ("B", "N"), "potential")),
    "ipi": ("p.out", lambda _: IPI, stated),
    "ipi-extras": ("e.extras", lambda _: EXTRAS, series),
    "ipi-json": ("j.extras", lambda _: JSON_EXTRAS, series),
    "cp2k": ("md.out", lambda _: CP2K, stated),
    "vasp-dipoles": ("OUTCAR", lambda _: OUTCAR, stated),
    "dpdt": ("dpdt.out", lambda _: DPDT, stated),
    "columns": ("c.txt", lambda _: COLUMNS, columns),
    "linewidths": ("w.txt", lambda _: LINEWIDTHS, read_linewidths),
    "reference": ("r.csv", lambda _: REFERENCE, read_reference),
    "nep-restart": ("nep.restart", lambda _: RESTART, lambda path: read_restart(path, 30)),
    "espresso": ("a.xml", lambda _: XML, lambda path: read_structures([path])),
    "vasprun": (
        "vasprun.xml",
        lambda _: sample_of_ase("vasp", "vasprun_dfpt.xml"),
        lambda path: read_structures([path]),
    ),
    "spectrum-text": ("s.txt", made_spectrum(".txt"), load_spectrum),
    "spectrum-hdf5": ("s.h5", made_spectrum(".h5"), load_spectrum),
    "spectrum-json": ("s.json", made_spectrum(".json"), load_spectrum),
    "xyz-trajectory": ("t.xyz", made_trajectory(".xyz"), lambda path: list(Trajectory(path, 1.0))),
    "ase-trajectory": ("t.traj", made_trajectory(".traj"), lambda path: list(Trajectory(path, 1.0))),
    "lammps-dump": ("d.lammpstrj", lambda _: DUMP, lambda path: list(Trajectory(path, 1.0))),
    "phono3py": ("kappa.hdf5", phono3py_file, lambda path: widths_of_phono3py(path, 300.0)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_a_result_or_one_line(kind, tmp_path):
    name, make, read = READERS[kind]
    attempt_mutations(kind, make(tmp_path), read, tmp_path / name)


def loops(*_, **__):
    signal.pthread_sigmask(signal.SIG_BLOCK, [])  # a library that never returns
    while True:
        pass


def test_a_library_that_hangs_or_crashes_is_an_error(tmp_path, monkeypatch):
    made_spectrum(".h5")(tmp_path)
    path = tmp_path / "made.h5"
    monkeypatch.setattr(trial, "SECONDS", 0.3)
    monkeypatch.setattr("tnep_calc.io.series.spectrum_store._read_hdf5", loops)
    start = time.monotonic()
    with pytest.raises(DataFileError, match=r"made.h5: damaged: the HDF5 library did not come to an end in 0.3 s"):
        load_spectrum(path)
    assert time.monotonic() - start < 5
    monkeypatch.setattr("tnep_calc.io.series.timeseries._open", lambda _: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(DataFileError, match=r"the HDF5 library crashed \(SIGSEGV\)"):
        read_timeseries(path)


@pytest.mark.parametrize("name", ["fc2.hdf5", "fc3.hdf5"])
def test_force_constants_of_phono3py_are_tried_first(name, tmp_path, monkeypatch):
    from tnep_calc.phonons.anharmonic.force_constants import read_force_constants

    for file in ("phono3py.yaml", "fc2.hdf5", "fc3.hdf5"):
        (tmp_path / file).write_bytes(phono3py_file(tmp_path))
    folder = tmp_path / "kappa.hdf5"
    for damaged, words in (
        (folder.read_bytes()[:400], "damaged, or not a file of HDF5"),
        (huge_file(tmp_path), "more than a file of"),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(DataFileError, match=f"{name}: .*{words}"), time_limit():
            read_force_constants(tmp_path)
    monkeypatch.setattr(trial, "SECONDS", 0.3)
    monkeypatch.setattr(h5py, "File", loops)
    with pytest.raises(DataFileError, match=r"fc2.hdf5: damaged: the HDF5 library did not come to an end in 0.3 s"):
        read_force_constants(tmp_path)


def huge_file(folder):
    with h5py.File(folder / "huge.hdf5", "w") as file:
        file.create_dataset("fc3", shape=(10**9, 3), dtype="f8", chunks=(1000, 3))
    return (folder / "huge.hdf5").read_bytes()


def test_a_trial_leaves_no_child_behind(tmp_path):
    assert trial.outcome(lambda: None, 5) is None
    assert trial.outcome(lambda: 1 / 0, 5) is None  # an exception is for the parent to meet again
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


BOMB = gzip.compress(bytes(1 << 27), 6)  # unpacks to 800 times its size


@pytest.mark.parametrize(
    "kind", [kind for kind in READERS if kind not in ("spectrum-hdf5", "phono3py", "spectrum-json")]
)
def test_pipes_and_archive_bombs(kind, tmp_path):
    name, _, read = READERS[kind]
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataFileError, match="pipe"), time_limit():
        read(tmp_path / name)
    (tmp_path / f"{name}.gz").write_bytes(BOMB)
    with pytest.raises(TnepError), time_limit():
        read(tmp_path / f"{name}.gz")
