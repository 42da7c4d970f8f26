"""From DFT data of cubic boron nitride to its infrared and Raman spectra: train, run LAMMPS on two ranks, transform.

    python examples/bn/run.py [--output demo] [--ranks 2] [--size 6] [--pieces 8]

There are two routes: a NEP potential with TNEP dipole and polarizability, and one electric enthalpy in a smaller cell.

Every stage is an ordinary command, printed before it runs. Finished stages are not repeated. A killed stage resumes:
training from its checkpoint, molecular dynamics from its last complete piece.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
KINDS = ("dipole", "enthalpy", "energy", "polarizability")  # longest first: two are trained at a time
LATTICE = 3.589  # Å, cubic cell of the DFT data
TEMPERATURE = 300.0  # K
EPS_INF = 4.609  # of DFPT, see README.md; for the dielectric function in the figure
TIMESTEP = 0.5  # fs
STEPS = 4000  # per piece (2 ps)
EVERY = 8  # steps between samples
EXPECTED = {
    "train": 130,
    "equilibrate": 12,
    "piece": 16,
    "equilibrate (enthalpy)": 6,
    "piece (enthalpy)": 6,
    "spectra": 12,
    "phonons": 40,
    "summary": 8,
}
"""Seconds on two idle cores, for the estimate of the time left."""


@dataclass(frozen=True)
class Route:
    """Models of one family, and the dynamics they are used in.

    Attributes
    ----------
    prefix : str
        Prefix of the names of its results.
    models : tuple of str
        Artifacts for energy, dipole and polarizability.
    size, pieces : int
        Cubic cells per edge, and pieces of production.
    """

    prefix: str
    models: tuple[str, str, str]
    size: int
    pieces: int

    def stage(self, piece: int) -> str:
        """Return the name of a piece of dynamics; piece 0 is the equilibration."""
        family = " (enthalpy)" if self.prefix else ""
        return f"piece{family}: {piece} of {self.pieces}" if piece else f"equilibrate{family}"


def routes(options) -> list[Route]:
    """Return both routes; the enthalpy costs about ten times as much per atom and gets a smaller cell."""
    return [
        Route("", ("energy", "dipole", "polarizability"), options.size, options.pieces),
        Route("enthalpy_", ("enthalpy",) * 3, max(2, options.size // 2), min(5, options.pieces)),
    ]


def run_stages(stages, folder: Path) -> None:
    """Run (name, function) pairs; print the time left, and append the seconds of every stage to a file."""
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


def call(*words, cwd: Path | None = None, log: Path | None = None, prefix: str = "") -> None:
    """Run a command of this environment and print its lines after a prefix; exit with a message if it fails."""
    text = shlex.join(str(w) for w in words)
    print(f"{prefix}$ {text}" + (f"   (log: {log})" if log else ""), flush=True)
    command = [str(BIN / words[0]), *map(str, words[1:])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with open(log, "w") if log else nullcontext() as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, text=True, stdout=file or subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for line in process.stdout or ():
            print(prefix + line, end="", flush=True)
    if process.wait():
        tail = "\n".join(log.read_text().splitlines()[-15:]) if log else ""
        sys.exit(f"failed (exit code {process.returncode}): {text}\n{tail}")


def train(kind: str, folder: Path) -> None:
    """Train one model (or resume a killed run), and copy the artifact to the folder that LAMMPS reads."""
    call("tnep", "train", HERE / f"{kind}.toml", "--output", folder / kind, prefix=f"{kind:>14} | ")
    temporary = folder / "models" / f".{kind}.pt"
    temporary.write_bytes((folder / kind / "model.pt").read_bytes())
    os.replace(temporary, folder / "models" / f"{kind}.pt")


def train_all(kinds, folder: Path) -> None:
    """Train models side by side, one core each."""
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(train, kind, folder) for kind in kinds]:
            done.result()


def molecular_dynamics(route: Route, piece: int, folder: Path, ranks: int) -> None:
    """Run one piece: 0 equilibrates, the others are production; it is complete once its restart file is renamed."""
    work = folder / f"{route.prefix}md"
    work.mkdir(exist_ok=True)
    variables = {"piece": piece, "steps": STEPS, "every": EVERY, "size": route.size, "seed": 2011}
    for role, model in zip(("energy", "dipole", "polarizability"), route.models, strict=True):
        variables[role] = folder / "models" / f"{model}.pt"
    words = [word for name, value in variables.items() for word in ("-var", name, value)]
    call(
        "mpiexec",
        "-n",
        ranks,
        "lmp",
        "-in",
        HERE / "in.md",
        "-log",
        f"log.{piece}",
        "-nocite",
        *words,
        cwd=work,
        log=work / f"screen.{piece}",
    )
    os.replace(work / f"piece.{piece}.restart.new", work / f"piece.{piece}.restart")


def spectra(route: Route, folder: Path) -> None:
    """Collect the pieces into one time series and transform it."""
    name = {x: folder / f"{route.prefix}{x}" for x in ("dipole.dat", "polarizability.dat", "series.h5", "ir", "raman")}
    for quantity in ("dipole", "polarizability"):
        parts = [folder / f"{route.prefix}md" / f"{quantity}.{piece}.dat" for piece in range(1, route.pieces + 1)]
        name[f"{quantity}.dat"].write_text("".join(part.read_text() for part in parts))
    call(
        "tnep",
        "series",
        name["dipole.dat"],
        name["polarizability.dat"],
        "-o",
        name["series.h5"],
        "--force",
        "--timestep",
        f"{TIMESTEP}",
        "--temperature",
        TEMPERATURE,
        "--cell",
        LATTICE * route.size,
    )
    for command in ("ir", "raman"):
        call(
            "tnep",
            command,
            name["series.h5"],
            "-o",
            name[command].with_suffix(".txt"),
            "--plot",
            name[command].with_suffix(".png"),
            "--resolution",
            20,
            "--max",
            2000,
            "--force",
            *(("--eps-inf", EPS_INF) if command == "ir" else ()),
        )


def phonons(route: Route, folder: Path) -> None:
    """Calculate the phonons of the ideal crystal, and draw their spectra with those of the dynamics."""
    structure = folder / "bn.xyz"
    a = LATTICE / 4
    lattice = " ".join(f"{x:.4f}" for x in (0, 2 * a, 2 * a, 2 * a, 0, 2 * a, 2 * a, 2 * a, 0))
    structure.write_text(
        f'2\nLattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"\nB 0 0 0\nN {a:.6f} {a:.6f} {a:.6f}\n'
    )
    models = [folder / "models" / f"{name}.pt" for name in route.models]
    roles = ("--energy", "--dipole", "--susceptibility")
    words = ["--enthalpy", models[0]] if route.prefix else [x for pair in zip(roles, models, strict=True) for x in pair]
    call(
        "tnep",
        "phonons",
        structure,
        *words,
        "--output",
        folder / f"{route.prefix}phonons",
        "--no-relax",
        "--restart",
        "--width",
        20,
        "--max",
        1500,
        "--md-infrared",
        folder / f"{route.prefix}ir.txt",
        "--md-raman",
        folder / f"{route.prefix}raman.txt",
    )


def summary(folder: Path, options) -> None:
    """Print the table and draw the figure."""
    call("python", HERE / "summary.py", folder, "--size", options.size, "--pieces", options.pieces)


def main() -> None:
    """Run what is missing and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for all results (default: demo)")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks of LAMMPS (default: 2)")
    parser.add_argument("--size", type=int, default=6, help="cubic cells per edge, 8 atoms each (default: 6)")
    parser.add_argument("--pieces", type=int, default=8, help="pieces of 2 ps of NVE dynamics (default: 8)")
    options = parser.parse_args()
    folder = options.output.resolve()
    (folder / "models").mkdir(parents=True, exist_ok=True)

    stages = []
    missing = [kind for kind in KINDS if not (folder / "models" / f"{kind}.pt").exists()]
    if missing:
        stages.append((f"train: {', '.join(missing)}", partial(train_all, missing, folder)))
    for route in routes(options):
        for piece in range(route.pieces + 1):
            if not (folder / f"{route.prefix}md" / f"piece.{piece}.restart").exists():
                stages.append((route.stage(piece), partial(molecular_dynamics, route, piece, folder, options.ranks)))
    stages.append(("spectra", lambda: [spectra(route, folder) for route in routes(options)]))
    stages.append(("phonons", lambda: [phonons(route, folder) for route in routes(options)]))
    stages.append(("summary", partial(summary, folder, options)))
    run_stages(stages, folder)


if __name__ == "__main__":
    main()
