"""Models on a trajectory by several MPI ranks, and after a kill: the same series as from one process without a break."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.io import write

from helpers.grid import grid
from helpers.random_nep import random_nep
from helpers.ranks import on_two_ranks
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.calculators import parts
from tnep_calc.calculators.trajectory import evaluate_trajectory
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series.timeseries import read_timeseries

pytestmark = pytest.mark.slow

FRAMES = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a dipole model and a trajectory of 150 frames with velocities."""
    path = tmp_path_factory.mktemp("trajectory")
    write_nep(path / "dipole.txt", random_nep("dipole", seed=0))
    rng = np.random.default_rng(4)
    frames = []
    for _ in range(FRAMES):
        atoms = bulk("BN", "zincblende", a=3.6)
        atoms.positions += 0.05 * rng.normal(size=(2, 3))
        atoms.set_velocities(0.01 * rng.normal(size=(2, 3)) / units.fs)
        frames.append(atoms)
    write(path / "md.extxyz", frames)
    return path


def command(folder, output, *more):
    words = ["series", folder / "md.extxyz", "-o", output, "--interval", "1fs", "--temperature", "300"]
    return [*map(str, words), "--dipole-model", str(folder / "dipole.txt"), "--current", *more]


@pytest.fixture(scope="module")
def whole(folder):
    assert main(command(folder, folder / "whole.h5")) == 0
    assert not (folder / "whole.h5.parts").exists()
    return read_timeseries(folder / "whole.h5")


def assert_equal(path, expected):
    found = read_timeseries(path)
    np.testing.assert_array_equal(found.dipole.values, expected.dipole.values)
    np.testing.assert_array_equal(found.current.values, expected.current.values)
    assert list(found.current_parts) == list(expected.current_parts) and found.volume == expected.volume


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("ranks", grid([2, 4], [2]))
def test_ranks_of_mpiexec(folder, whole, tmp_path, ranks):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    mpiexec = Path(sys.executable).parent / "mpiexec"
    words = [str(mpiexec), "-n", str(ranks), str(mpiexec.with_name("tnep"))]
    words += command(folder, tmp_path / "run.h5")
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("wrote") == 1
    assert_equal(tmp_path / "run.h5", whole)


def test_a_killed_command_resumes(folder, whole, tmp_path):
    code = (  # the real command, slowed down, so that it is killed half way
        "import sys, time\nfrom tnep_calc.calculators import trajectory\nfrom tnep_calc.cli import main\n"
        "call = trajectory._Measure.__call__\n"
        "def slow(*args):\n    time.sleep(0.02)\n    return call(*args)\n"
        "trajectory._Measure.__call__ = slow\nmain(sys.argv[1:])\n"
    )
    output = tmp_path / "run.h5"
    process = subprocess.Popen([sys.executable, "-c", code, *command(folder, output)], env=environment())
    stored = tmp_path / "run.h5.parts"
    deadline = time.monotonic() + 120
    while len(list(stored.glob("part-*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in stored.glob("part-*.npz")}
    assert 2 <= len(before) < 5 and not output.exists()
    calls = []

    class Counting(TNEPCalculator):
        def get_members(self, name, atoms):
            calls.append(name)
            return super().get_members(name, atoms)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tnep_calc.calculators.tnep.TNEPCalculator", Counting)
        assert main(command(folder, output)) == 0
    assert calls.count("dipole") == FRAMES - parts.PART * len(before)
    assert not stored.exists()
    assert_equal(output, whole)


def test_parts_of_another_evaluation_are_refused(folder, tmp_path, capsys):
    output = tmp_path / "run.h5"
    stored = tmp_path / "run.h5.parts"
    stored.mkdir()
    (stored / "state.json").write_text('{"fingerprint": "another"}')
    np.savez(stored / "part-00000.npz", dipole=np.zeros((parts.PART, 1, 3)))
    assert main(command(folder, output)) == 1
    assert "another calculation" in capsys.readouterr().err
    assert main(command(folder, output, "--restart")) == 0
    assert np.abs(read_timeseries(output).dipole.values[: parts.PART]).min() > 0


def frames(n=100):
    rng = np.random.default_rng(0)
    for _ in range(n):
        atoms = bulk("BN", "zincblende", a=3.6)
        atoms.positions += 0.05 * rng.normal(size=(2, 3))
        yield atoms


def test_two_ranks_divide_the_work(folder, tmp_path):
    calculators = [TNEPCalculator(dipole=folder / "dipole.txt") for _ in range(2)]
    counts = [0, 0]
    for rank, calculator in enumerate(calculators):
        members = calculator.get_members

        def counted(name, atoms, rank=rank, members=members):
            counts[rank] += 1
            return members(name, atoms)

        calculator.get_members = counted
    found = on_two_ranks(
        lambda comm: evaluate_trajectory(frames(), calculators[comm.rank], 1.0, folder=tmp_path / "p", comm=comm)
    )
    (alone,) = evaluate_trajectory(frames(), TNEPCalculator(dipole=folder / "dipole.txt"), 1.0)
    for (series,) in found:
        np.testing.assert_array_equal(series.dipole.values, alone.dipole.values)
    assert counts == [64, 36]
    with pytest.raises(InputError, match="need a folder"):
        raise on_two_ranks(lambda comm: evaluate_trajectory(frames(), calculators[0], 1.0, comm=comm))[0]


def test_an_error_of_one_rank_reaches_all(folder, tmp_path):
    def broken():
        for index, atoms in enumerate(frames()):
            if index == 40:  # in the part of the second rank
                atoms.positions[0] = np.nan
            yield atoms

    calculators = [TNEPCalculator(dipole=folder / "dipole.txt") for _ in range(2)]
    found = on_two_ranks(
        lambda comm: evaluate_trajectory(broken(), calculators[comm.rank], 1.0, folder=tmp_path, comm=comm)
    )
    assert all(isinstance(one, Exception) for one in found)


def test_a_damaged_part_is_named(folder, tmp_path):
    calculator = TNEPCalculator(dipole=folder / "dipole.txt")
    evaluate_trajectory(frames(), calculator, 1.0, folder=tmp_path)
    (tmp_path / "part-00001.npz").write_bytes(b"no")
    with pytest.raises(DataFileError, match="part-00001.npz: damaged, or not arrays of a previous run; delete it"):
        evaluate_trajectory(frames(), calculator, 1.0, folder=tmp_path)
