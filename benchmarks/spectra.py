"""Spectra of long series: time and memory of all spectra of 10^6 samples, linearity, streaming, and other programs.

Run ``python benchmarks/spectra.py [--json FILE] [--samples N] [--stream N]``.  The series are random, as the time does
not depend on the values.  Other programs, if installed, get the same series and the same resolution: calorine's
``get_ir_spectrum`` and ``get_raman_spectrum``, and i-PI's ``getacf``.  Memory is the largest resident size of a
separate process, including the input of 9 doubles per sample.  The last records, of the quantity ``raman tensor``, are
those of ``phonons.py``: Raman tensors of a cell of about 1,000 atoms, analytic and by finite differences.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESOLUTION = 10.0  # cm^-1
STEP = 1.0  # fs
CELL = {"volume": 1000.0, "temperature": 300.0}


def series(samples):
    """Return a dipole and a polarizability, 3 and 6 independent components."""
    rng = np.random.default_rng(0)
    dipole = rng.normal(size=(samples, 3))
    six = rng.normal(size=(samples, 6))
    alpha = six[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
    return dipole, alpha


def ours(samples):
    """Compute everything: dielectric tensor and optics, static constant, eps_inf, Raman with two geometries."""
    from tnep_calc import spectra as s

    dipole, alpha = series(samples)
    start = time.perf_counter()
    s.dielectric_spectrum(STEP, **CELL, dipole=dipole, eps_inf=2.0, resolution=RESOLUTION, tensor=True, angle=45.0)
    s.static_dielectric(dipole, **CELL)
    s.electronic_dielectric(alpha, CELL["volume"])
    geometries = [s.parse_porto("z(xx)-z"), s.parse_porto("z(xy)-z")]
    s.raman_spectrum(alpha, STEP, CELL["temperature"], RESOLUTION, geometries=geometries, anti_stokes=True)
    return time.perf_counter() - start


def lazily(samples):
    """Stream a series of zeros that is not stored anywhere through the dielectric spectrum, in chunks."""
    from tnep_calc.spectra import LazySignal, dielectric_spectrum

    class Source:
        def __len__(self):
            return samples

        def __getitem__(self, rows):
            t = np.arange(rows.start, min(rows.stop, samples), dtype=float)
            return np.stack([np.cos(0.1 * t), np.sin(0.2 * t), np.cos(0.3 * t)], axis=1)

    start = time.perf_counter()
    dielectric_spectrum(STEP, **CELL, dipole=LazySignal(Source()), eps_inf=2.0, resolution=RESOLUTION)
    return time.perf_counter() - start


def calorine(samples):
    """Compute the infrared and Raman spectrum with calorine; neither error bars nor optics."""
    import pandas
    from calorine.tools.spectra import get_ir_spectrum, get_raman_spectrum

    from tnep_calc.spectra.windows import window_time

    dipole, alpha = series(samples)
    sigma = window_time("gaussian", RESOLUTION) / 1000
    labels = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}
    mu = pandas.DataFrame(dipole, columns=["mu_x", "mu_y", "mu_z"])
    chi = pandas.DataFrame({name: alpha[:, i, j] for name, (i, j) in labels.items()})
    start = time.perf_counter()
    get_ir_spectrum(mu, CELL["volume"], CELL["temperature"], "mu", dt=STEP / 1000, t_sigma=sigma)
    get_raman_spectrum(chi, STEP / 1000, t_sigma=sigma)
    return time.perf_counter() - start


def ipi(samples):
    """Compute the dipole's correlation function and its transform with i-PI's getacf, from a file in its format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mu.xyz"
        dipole = series(samples)[0]
        with open(path, "w") as stream:
            for k, row in enumerate(dipole):
                stream.write(f"1\n# CELL(abcABC): 10 10 10 90 90 90 Step: {k} Bead: 0 x_centroid{{atomic_unit}}\n")
                stream.write("H " + " ".join(f"{x:.8e}" for x in row) + "\n")
        lags = int(5 * 1249 / STEP)
        options = f"-mlag {lags} -ftpad {2 * lags} -ftwin cosine-hanning".split()
        files = ["-ifile", str(path), "-oprefix", str(Path(folder) / "o")]
        command = ["i-pi-getacf", *files, *options, "-dt", f"{STEP} femtosecond"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-300:])
        return time.perf_counter() - start


def cpu_time():
    """Return the CPU seconds of this process and its finished children; independent of other load."""
    return sum(
        use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


JOBS = {"ours": ours, "lazily": lazily, "calorine": calorine, "ipi": ipi}


def measured(job, samples):
    """Return wall seconds, CPU seconds (input included) and GB of memory of a job; None if it cannot run."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    command = [sys.executable, __file__, "--job", job, "--samples", str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{job}: not run ({done.stderr.strip().splitlines()[-1][:150] if done.stderr else 'no output'})")
        return None
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def raman_tensor_records():
    """Return the records of the quantity ``raman tensor``: analytic derivatives and finite differences of one model."""
    from phonons import raman_tensors

    return raman_tensors()


def main():
    """Run the jobs, print a table and write records."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10**6)
    parser.add_argument("--stream", type=int, default=10**8, help="samples of the streamed series")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        before = cpu_time()
        seconds = JOBS[args.job](args.samples)
        used = cpu_time() - before
        print(json.dumps([seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
        return
    records = []
    whole, streamed = args.samples, args.stream
    table = [("ours", whole // 10), ("ours", whole), ("calorine", whole), ("ipi", whole // 10)]
    table += [("lazily", streamed // 10), ("lazily", streamed)]
    for job, samples in table:
        found = measured(job, samples)
        if found is None:
            continue
        seconds, cpu, memory = found
        print(f"{job:<10}{samples:>12,} samples  {seconds:8.2f} s  {cpu:8.2f} CPU s  {memory:6.2f} GB")
        records.append({"case": job, "samples": samples, "seconds": seconds, "cpu_seconds": cpu, "memory_GB": memory})
    records += raman_tensor_records()
    if args.json:
        args.json.write_text(json.dumps(records, indent=1))


if __name__ == "__main__":
    main()
