"""fix tnep/spectrum: the spectra equal those of the stored series, with restarts, merged blocks and interruptions."""

import fcntl
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from ase.build import bulk

from helpers.grid import grid
from helpers.lammps_run import lmp_command, refusals, run, script, thermo_rows, types_of, write_data
from helpers.random_nep import random_nep
from helpers.toy_models import write_toy
from tnep_calc import export_artifact
from tnep_calc.cli import main
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.series.accumulated import read_signals
from tnep_calc.io.series.lammps import without_repeats
from tnep_calc.spectra import (
    dielectric_spectrum,
    electronic_dielectric,
    infrared_spectrum,
    parse_porto,
    raman_spectrum,
    static_dielectric,
)

pytestmark = pytest.mark.slow

COMPUTES = "compute mu all tnep/dipole mu.pt B N\ncompute a all tnep/polarizability alpha.pt B N\n"
MOVE = (
    "pair_style tnep\npair_coeff * * energy.pt B N\n"
    + COMPUTES
    + "neigh_modify every 5 delay 0 check yes\nfix 1 all nve\ntimestep 0.001\nthermo 1000\n"
)
# 2 fs, 80 lags; the blocks of 160 samples are joined when there are 4
FIX = (
    "fix S all tnep/spectrum 2 file s.corr dipole c_mu polarizability c_a resolution 400 blocks 4 temperature 300\n"
    "fix t all ave/time 2 1 2 c_mu[*] c_a[*] file {raw} format ' %.17g'\n"
)
START = "velocity all create 60 1 loop geom\n"
SAMPLES = 960  # three blocks of 320
TENSOR = [0, 3, 4, 3, 1, 5, 4, 5, 2]  # of xx yy zz xy xz yz


@pytest.fixture
def folder(tmp_path):
    atoms = bulk("BN", "rocksalt", a=4.4, cubic=True).repeat((2, 1, 1))
    atoms.rattle(0.05, seed=1)
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    for kind, name in (("potential", "energy"), ("dipole", "mu"), ("polarizability", "alpha")):
        write_toy(tmp_path / f"{name}.pt", kind, cutoff=4.0)
    return tmp_path


def stored(*paths):
    """Return dipole and polarizability of fix ave/time, without steps that a restart wrote again."""
    rows = np.concatenate([np.loadtxt(path) for path in paths])
    _, rows = without_repeats(rows[:, 0], rows, [])
    return rows[:, 1:4], rows[:, 4:][:, TENSOR].reshape(-1, 3, 3)


def assert_same(found, expected):
    assert list(found.values) == list(expected.values) and set(found.errors) == set(expected.errors)
    for name, values in expected.values.items():
        assert np.abs(found.values[name] - values).max() < 1e-9 * np.abs(values).max(), name
    for name, errors in expected.errors.items():
        assert np.abs(found.errors[name] - errors).max() < 1e-8 * np.abs(expected.values[name]).max(), name
    for key in ("samples", "pieces", "blocks", "block_length_ps", "nyquist_load"):
        assert (found.parameters[key] or 0) == pytest.approx(expected.parameters[key] or 0, rel=1e-9), key


def compare(path, dipole, alpha, blocks):
    """Compare all spectra from the correlations in the file with those from the samples."""
    series = read_signals(path)
    common = {"resolution": 420.0, "blocks": blocks}
    mu, a, v = series.dipole.pieces(), series.polarizability.pieces(), series.volume
    assert series.temperature == pytest.approx(300)
    for options in ({}, {"direction": [1, 2, 0], "eps_inf": 2.0}, {"window": "hann"}):
        both = [infrared_spectrum(x, 2.0, v, 300.0, **common, **options) for x in (mu, dipole)]
        assert_same(*both)
    both = [dielectric_spectrum(2.0, v, 300.0, dipole=x, tensor=True, **common) for x in (mu, dipole)]
    assert_same(*both)
    geometries = parse_porto("z(xy)-z", series.cell), parse_porto("x(zz)-x", series.cell)
    both = [raman_spectrum(x, 2.0, 300.0, geometries=geometries, **common) for x in (a, alpha)]
    assert_same(*both)
    eps = [electronic_dielectric(x, v) for x in (a, alpha)]
    assert np.allclose(eps[0].tensor, eps[1].tensor, rtol=1e-12)
    assert np.allclose(eps[0].dynamic, eps[1].dynamic, rtol=1e-6)
    assert static_dielectric(mu, v, 300.0).mean == pytest.approx(static_dielectric(dipole, v, 300.0).mean, rel=1e-9)


@pytest.mark.parametrize("ranks", grid([1, 2, 4], [1]))
def test_equals_the_stored_series(folder, ranks, capsys):
    """The run has joined blocks; the command line gives the same as the stored series in HDF5."""
    body = MOVE + START + FIX.format(raw="raw.txt") + f"run {2 * SAMPLES - 2}\n"
    result = run(folder, script(body), ranks)
    assert "80 lags of 2 fs" in result.text
    compare(folder / "s.corr", *stored(folder / "raw.txt"), blocks=3)
    assert not (folder / "s.corr.lock").exists() and not (folder / "s.corr.new").exists()
    if ranks > 1:
        return
    for command in ("ir", "raman", "dielectric"):
        assert main([command, str(folder / "s.corr"), "-o", str(folder / f"{command}.txt")]) == 0
    assert "300 K" in capsys.readouterr().out


def test_restart_continues_without_a_seam(folder):
    """Two restarts in the middle of a block, also on other numbers of ranks."""
    first = MOVE + START + FIX.format(raw="raw1.txt") + "run 701\nwrite_restart a.rst\nrun 40\n"
    run(folder, script(first), 2)
    for k, (begin, end, steps) in enumerate([("a", "b", 500), ("b", "c", 2 * SAMPLES - 2 - 701 - 500)]):
        body = MOVE + FIX.format(raw=f"raw{k + 2}.txt") + f"run {steps}\nwrite_restart {end}.rst\n"
        text = script(body).replace("read_data data.txt", f"read_restart {begin}.rst").replace("box tilt large\n", "")
        assert "Resetting global fix info" in run(folder, text, 1 + k).text
    raw = stored(*(folder / f"raw{k}.txt" for k in (1, 2, 3)))
    assert len(raw[0]) == SAMPLES
    compare(folder / "s.corr", *raw, blocks=3)


def test_interruption_starts_a_piece(folder):
    body = MOVE + START + FIX.format(raw="raw.txt") + "run 640\nunfix t\nreset_timestep 0\n"
    body += FIX.format(raw="raw2.txt").splitlines()[1] + "\nrun 400\n"
    run(folder, script(body), 1)
    pieces = [stored(folder / name) for name in ("raw.txt", "raw2.txt")]
    compare(folder / "s.corr", [p[0] for p in pieces], [p[1] for p in pieces], blocks=0)


def test_current(folder):
    """The current in e·Å/fs, against differences of the dipole."""
    export_artifact(random_nep("dipole"), folder / "mu.pt")
    body = MOVE + START + "compute J all tnep/current mu.pt B N\ncomm_modify cutoff 7.0\n"
    body += "fix S all tnep/spectrum 1 file s.corr current c_J resolution 2000\n"
    body += "fix t all ave/time 1 1 1 c_J[*] file raw.txt format ' %.17g'\nthermo 1\nrun 60\n"
    result = run(folder, script(body), 2)
    current = np.loadtxt(folder / "raw.txt")[:, 1:] / 1000
    series = read_signals(folder / "s.corr")
    (piece,) = series.current.pieces()
    assert np.allclose(piece.total(), current.sum(0), rtol=0, atol=1e-12 * np.abs(current).sum())
    assert np.allclose(piece.within_blocks(1, tensor=False), (current**2).sum(), rtol=1e-12)
    temperatures = [row["Temp"] for row in thermo_rows(result.text)]
    assert series.temperature == pytest.approx(np.mean(temperatures), rel=1e-6)


def test_files_are_protected(folder):
    """A second simulation neither overwrites the file of a finished one, nor writes beside one that is running."""
    body = MOVE + START + FIX.format(raw="raw.txt") + "run 20\nwrite_restart a.rst\n"
    run(folder, script(body))
    content = (folder / "s.corr").read_bytes()
    again = run(folder, script(body), 2, check=False)
    assert "s.corr exists, and this simulation does not continue it; remove or rename it" in again.text
    restart = script(body.replace(START, "")).replace("read_data data.txt", "read_restart mine.rst")
    restart = restart.replace("box tilt large\n", "")
    (folder / "s.corr").unlink()
    (folder / "a.rst").rename(folder / "mine.rst")
    with open(folder / "s.corr.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another simulation is writing to s.corr" in run(folder, restart, check=False).text
    run(folder, script(body).replace("raw.txt", "raw2.txt"))
    other = run(folder, restart, check=False)
    assert "s.corr is not of the simulation that the restart file continues" in other.text
    slower = run(folder, restart.replace("timestep 0.001", "timestep 0.002"), check=False)
    assert "it has samples every 2 fs, but this input every 4 fs" in slower.text
    (folder / "s.corr").write_bytes(content)
    assert "Total wall time" in run(folder, restart).text
    assert len(read_signals(folder / "s.corr").dipole.pieces()[0]) == 21


def test_killed_run_leaves_a_readable_file(folder):
    body = MOVE + START + FIX.format(raw="raw.txt").replace("temperature", "flush 40 temperature") + "run 10000000\n"
    (folder / "in.x").write_text(script(body))
    command = [*lmp_command(1), "-in", "in.x"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (folder / "s.corr").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGKILL)  # also the program that the script lmp has started
    (piece,) = read_signals(folder / "s.corr").dipole.pieces()
    assert len(piece) % 20 == 1
    (folder / "s.corr").unlink()
    assert "Total wall time" in run(folder, script(body).replace("10000000", "20")).text  # the lock has gone, too


def test_damaged_files(folder, capsys):
    body = MOVE + START + FIX.format(raw="raw.txt") + "run 400\n"
    run(folder, script(body))
    path, content = folder / "s.corr", (folder / "s.corr").read_bytes()
    with pytest.raises(InputError, match="no samples to skip"):
        read_signals(path).dipole.pieces(1.0)
    with pytest.raises(InputError, match="accumulated for 80 lags, but this resolution needs 157"):
        infrared_spectrum(read_signals(path).dipole.pieces(), 2.0, 1.0, 300.0, resolution=200.0, blocks=0)
    assert main(["ir", str(path), "-o", str(folder / "ir.txt"), "--unwrap"]) == 1
    assert "--unwrap needs; accumulate the current" in capsys.readouterr().err
    for damaged, words in (
        (content[:-8], "truncated or damaged"),
        (content + b"x", "truncated or damaged"),
        (content.replace(b"correlations", b"corellations", 1), "not a file of correlations"),
        (content.replace(b'"format_version":1', b'"format_version":9', 1), "newer format version"),
        (content.replace(b'"dipole","numbers"', b'"dipole","nombres"', 1), "damaged, or not correlations"),
        (b"{", "damaged, or not correlations"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match=words):
            read_signals(path)


SPECTRUM = "fix S all tnep/spectrum "
CASES = {
    "few": (SPECTRUM + "\n", "expected 'fix ID all tnep/spectrum N file NAME"),
    "word": (SPECTRUM + "2 file x colour c_mu\n", "unknown keyword 'colour'"),
    "no value": (SPECTRUM + "2 file\n", "'file' has no value"),
    "no file": (SPECTRUM + "2 dipole c_mu\n", "a file and a dipole, current or polarizability are needed"),
    "interval": (SPECTRUM + "0 file x dipole c_mu\n", "must be a positive number of steps, got 0"),
    "reference": (SPECTRUM + "2 file x dipole mu\n", "expected 'dipole c_ID' with a compute, got 'mu'"),
    "twice": (SPECTRUM + "2 file x dipole c_mu dipole c_mu\n", "dipole is given twice"),
    "blocks": (SPECTRUM + "2 file x dipole c_mu blocks 5\n", "an even number of at least 4, got 5"),
    "resolution": (SPECTRUM + "2 file x dipole c_mu resolution 0\n", "the resolution must be positive"),
    "group": ("group g id 1\nfix S g tnep/spectrum 2 file x dipole c_mu\n", "use group all"),
    "missing": (SPECTRUM + "2 file x dipole c_none\nrun 0\n", "there is no compute 'none'"),
    "size": (SPECTRUM + "2 file x dipole c_a\nrun 0\n", "a global vector of 3 numbers, not c_a"),
    "timestep": (
        SPECTRUM + "2 file y dipole c_mu resolution 400\nrun 0\ntimestep 0.002\nrun 0\n",
        "the interval changes from 2 to 4 fs",
    ),
    "varying timestep": (
        SPECTRUM + "2 file z dipole c_mu resolution 400\nfix d all dt/reset 1 1e-4 5e-4 0.01\nrun 10\n",
        "samples must be equally spaced",
    ),
    "folder": (SPECTRUM + "2 file no/y dipole c_mu resolution 400\nrun 0\n", "cannot write to the folder of no/y"),
}


def test_refusals(folder):
    cases = {name: script(MOVE + commands) for name, (commands, _) in CASES.items()}
    isolated = "units metal\nboundary f f f\nregion b block 0 8 0 8 0 8\ncreate_box 2 b\nmass * 10\n"
    isolated += "create_atoms 1 single 1 1 1\ncreate_atoms 2 single 3 1 1\n"
    cases["isolated"] = isolated + MOVE + SPECTRUM + "2 file x dipole c_mu\nrun 0\n"
    answers = refusals(folder, cases)
    for name, (_, words) in CASES.items():
        assert answers[name] and words in answers[name], (name, answers[name])
    assert "boundary p p p" in answers["isolated"]
