"""From DFT data of cubic boron nitride to its infrared and Raman spectra: train, run LAMMPS on two ranks, transform.

    python examples/bn/run.py [--output demo] [--ranks 2] [--size 6] [--pieces 10]

Every stage is an ordinary command, printed before it runs. A stage whose results are there is not repeated; a killed
one goes on where it was (training from its checkpoint, molecular dynamics from its last complete piece).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
KINDS = ("energy", "dipole", "polarizability")
LATTICE = 3.589  # Å, cubic cell of the DFT data
TEMPERATURE = 300.0  # K
TIMESTEP = 0.5  # fs
STEPS = 4000  # per piece (2 ps)
EVERY = 8  # steps between samples
EXPECTED = {"train energy": 25, "train dipole": 130, "train polarizability": 20, "equilibrate": 12, "piece": 16,
            "spectra": 6, "summary": 6}  # fmt: skip
"""Seconds on two idle cores, for the estimate of the time left."""


def run_stages(stages, folder: Path) -> None:
    """Run (name, function) pairs; print how long is left and keep the seconds of every stage in a file."""
    speed = 1.0
    for k, (name, work) in enumerate(stages):
        left = speed * sum(EXPECTED[later.split(":")[0]] for later, _ in stages[k:])
        print(f"\n=== {name}   (about {left:.0f} s left)", flush=True)
        start = time.monotonic()
        work()
        seconds = time.monotonic() - start
        speed = 0.5 * (speed + seconds / EXPECTED[name.split(":")[0]])
        with open(folder / "seconds.txt", "a") as file:
            file.write(f"{name}\t{seconds:.1f}\n")


def call(*words, cwd: Path | None = None, log: Path | None = None) -> None:
    """Run a command of this environment; stop with its name (and its log) if it fails."""
    text = shlex.join(str(w) for w in words)
    print(f"$ {text}" + (f"   (log: {log})" if log else ""), flush=True)
    program = BIN / words[0]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    output = open(log, "w") if log else None
    done = subprocess.run([str(program), *map(str, words[1:])], cwd=cwd, env=environment, stdout=output, stderr=output)
    if output:
        output.close()
    if done.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:]) if log else ""
        sys.exit(f"failed (exit code {done.returncode}): {text}\n{tail}")


def train(kind: str, folder: Path) -> None:
    """Train one model (or go on where a killed run was) and copy the artifact to the folder that LAMMPS reads."""
    call("tnep", "train", HERE / f"{kind}.toml", "--output", folder / kind)
    temporary = folder / "models" / f".{kind}.pt"
    temporary.write_bytes((folder / kind / "model.pt").read_bytes())
    os.replace(temporary, folder / "models" / f"{kind}.pt")


def molecular_dynamics(piece: int, folder: Path, options) -> None:
    """Run one piece: 0 equilibrates, the others are production; it counts when its restart file has its name."""
    work = folder / "md"
    work.mkdir(exist_ok=True)
    variables = {"piece": piece, "steps": STEPS, "every": EVERY, "size": options.size, "models": folder / "models",
                 "seed": 2011}  # fmt: skip
    words = [word for name, value in variables.items() for word in ("-var", name, value)]
    call("mpiexec", "-n", options.ranks, "lmp", "-in", HERE / "in.md", "-log", f"log.{piece}", "-nocite", *words,
         cwd=work, log=work / f"screen.{piece}")  # fmt: skip
    os.replace(work / f"piece.{piece}.restart.new", work / f"piece.{piece}.restart")


def spectra(folder: Path, options) -> None:
    """Collect the pieces into one time series and transform it."""
    for quantity in ("dipole", "polarizability"):
        parts = [folder / "md" / f"{quantity}.{piece}.dat" for piece in range(1, options.pieces + 1)]
        (folder / f"{quantity}.dat").write_text("".join(part.read_text() for part in parts))
    call("tnep", "series", folder / "dipole.dat", folder / "polarizability.dat", "-o", folder / "series.h5", "--force",
         "--timestep", f"{TIMESTEP}", "--temperature", TEMPERATURE, "--cell", LATTICE * options.size)  # fmt: skip
    for command in ("ir", "raman"):
        call("tnep", command, folder / "series.h5", "-o", folder / f"{command}.txt",
             "--plot", folder / f"{command}.png", "--resolution", 20, "--max", 2000, "--force")  # fmt: skip


def summary(folder: Path, options) -> None:
    """Print the table and draw the figure."""
    call("python", HERE / "summary.py", folder, "--size", options.size, "--pieces", options.pieces)


def main() -> None:
    """Run what is missing and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for all results (default: demo)")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks of LAMMPS (default: 2)")
    parser.add_argument("--size", type=int, default=6, help="cubic cells per edge, 8 atoms each (default: 6)")
    parser.add_argument("--pieces", type=int, default=10, help="pieces of 2 ps of NVE dynamics (default: 10)")
    options = parser.parse_args()
    folder = options.output.resolve()
    (folder / "models").mkdir(parents=True, exist_ok=True)

    stages = [(f"train {kind}", partial(train, kind, folder)) for kind in KINDS
              if not (folder / "models" / f"{kind}.pt").exists()]  # fmt: skip
    for piece in range(options.pieces + 1):
        if not (folder / "md" / f"piece.{piece}.restart").exists():
            name = f"piece: {piece} of {options.pieces}" if piece else "equilibrate"
            stages.append((name, partial(molecular_dynamics, piece, folder, options)))
    stages.append(("spectra", partial(spectra, folder, options)))
    stages.append(("summary", partial(summary, folder, options)))
    run_stages(stages, folder)


if __name__ == "__main__":
    main()
