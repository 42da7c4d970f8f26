"""``tnep bench``: time per atom of a model, and what to do when it is slow."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

_EPILOG = """
Times are those of this machine as it is now, other programs included: the least of several evaluations of energies,
forces and virial (or dipole, or polarizability). "list" is the search for neighbours from nothing, which MD needs once
in several steps only. Without --structure the atoms are those of the model at random near the points of a lattice, at
--volume cubic Angstroms each: times depend on the number of neighbours, so give a structure of yours.

examples:
  tnep bench nep.txt
  tnep bench model.pt --structure relaxed.xyz --atoms 1000 100000
  tnep bench nep.txt --device cuda --dtype float32
"""
_WANTED = ("energies", "forces", "virial", "dipole", "polarizability")


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("model", type=Path, help="nep.txt or artifact")
    parser.add_argument("--structure", type=Path, metavar="FILE", help="structure to repeat, in any format of ASE")
    parser.add_argument(
        "--atoms",
        type=int,
        nargs="+",
        default=[100, 1000, 10000],
        metavar="N",
        help="numbers of atoms (about 100 1000 10000)",
    )
    parser.add_argument("--volume", type=float, default=12.0, metavar="A^3", help="per atom without --structure (12)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; auto (default): the CPU, and a GPU if any")
    parser.add_argument("--dtype", nargs="+", choices=("float64", "float32"), help="arithmetic (both)")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="time for each line (about 1)")


def run(args):
    """Measure and print a table with advice."""
    import torch

    from ..device import resolve

    if min(args.atoms) < 1 or args.volume <= 0 or args.seconds <= 0:
        raise InputError("--atoms, --volume and --seconds must be positive")
    names = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])] if args.device == "auto" else [args.device]
    rows = []
    print(f"{'device':8} {'dtype':8} {'atoms':>9} {'edges/atom':>10} {'list':>9} {'evaluation':>10}   us per atom")
    for device in map(resolve, names):
        for dtype in args.dtype or ("float64", "float32"):
            model = _load(args.model, device, dtype)
            for count in sorted(args.atoms):
                atoms = _structure(args, model.metadata.species, count)
                row = {"device": str(device), "dtype": dtype, **_measure(model, atoms, device, args.seconds)}
                rows.append(row)
                print(
                    f"{row['device']:8} {dtype:8} {row['atoms']:9d} {row['edges']:10.1f} {row['list']:9.3f} "
                    f"{row['evaluation']:10.3f}",
                    flush=True,
                )
    for line in advice(rows, model.metadata.family):
        print(line)


def _load(path, device, dtype):
    from ..artifact import Artifact, artifact_from_nep, in_precision, is_artifact, load_artifact
    from ..io.gpumd.nep_txt import read_nep

    if not is_artifact(path):
        model = artifact_from_nep(read_nep(path), dtype)
    else:
        model = load_artifact(path)
        if model.metadata.dtype != dtype:
            model = in_precision(model, dtype)
    return Artifact(model.module.to(device), model.metadata)


def _structure(args, species, count):
    """Return about so many atoms: the structure of the file repeated, or those of the model near a lattice."""
    from typing import cast

    import numpy as np
    from ase import Atoms
    from ase.io import read

    if args.structure:
        atoms = cast(Atoms, read(args.structure))
        unknown = sorted(set(atoms.get_chemical_symbols()) - set(species))
        if unknown:
            raise InputError(
                f"{args.structure}: the model does not know {', '.join(unknown)}; it knows {', '.join(species)}"
            )
        if not atoms.pbc.any():
            return atoms
        times = max(1, round((count / len(atoms)) ** (1 / atoms.pbc.sum())))
        return atoms.repeat([times if periodic else 1 for periodic in atoms.pbc])
    side = max(1, round(count ** (1 / 3)))
    random = np.random.default_rng(0)
    length = args.volume ** (1 / 3)
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    points = length * (points + random.normal(scale=0.05, size=points.shape))
    symbols = random.choice(list(species), size=len(points))
    return Atoms(symbols, positions=points, cell=[side * length] * 3, pbc=True)


def _measure(model, atoms, device, seconds):
    """Return numbers of atoms and edges, and the times per atom in microseconds."""
    import numpy as np
    import torch

    from ..neighbors import NeighborList
    from ..ops.neighbors import native_search
    from ..threads import sized_for

    known, index = model.metadata, {s: i for i, s in enumerate(model.metadata.species)}
    wanted = [name for name in _WANTED if name in known.quantities]
    species = torch.tensor([index[s] for s in atoms.get_chemical_symbols()], device=device)

    def search():
        return NeighborList(known.cutoff, search=native_search()).edges(atoms.positions, atoms.cell.array, atoms.pbc)

    def evaluate():
        model.module(species, centers, *edges, wanted, None)
        if device.type == "cuda":
            torch.cuda.synchronize()

    with sized_for(len(atoms)):
        found = search()
        centers = torch.arange(len(atoms), device=device)
        edges = [
            torch.from_numpy(np.ascontiguousarray(a)).to(device)
            for a in (found.offsets, found.neighbors, found.vectors)
        ]
        scale = 1e6 / len(atoms)
        return {
            "atoms": len(atoms),
            "edges": len(found.neighbors) / len(atoms),
            "list": scale * _least_time(search, seconds / 2),
            "evaluation": scale * _least_time(evaluate, seconds / 2),
        }


def _least_time(run, seconds):
    """Return the least time of a call, of as many as fit into some seconds, two at least after a first one."""
    import time

    run()
    best, start, calls = float("inf"), time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
        calls += 1
    return best


def advice(rows, family) -> list[str]:
    """Return what would make evaluations faster, one line each, from what was measured.

    Parameters
    ----------
    rows : list of dict
        ``device``, ``dtype``, ``atoms``, ``list`` and ``evaluation`` of every measurement.
    family : str
        Family of the model.
    """
    import os

    import torch

    from .. import ops

    lines = []
    if not ops.load():
        lines.append(f"the native kernels are not used: {ops.status().detail}")
    on_cpu = [r for r in rows if r["device"] == "cpu"]
    largest = {(r["device"], r["dtype"]): r for r in rows}  # rows rise in size
    for device in {r["device"] for r in rows}:
        double, single = largest.get((device, "float64")), largest.get((device, "float32"))
        if double and single and double["evaluation"] > 1.2 * single["evaluation"]:
            factor = double["evaluation"] / single["evaluation"]
            lines.append(
                f"float32 is {factor:.1f} times as fast on {device}; MD may use it, derivatives by differences not"
            )
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    if on_cpu and threads < cores:
        lines.append(
            f"{threads} of {cores} cores are used: set OMP_NUM_THREADS={cores}, or run LAMMPS on {cores} MPI ranks"
        )
    if on_cpu and threads > cores:
        lines.append(f"{threads} threads share {cores} cores: set OMP_NUM_THREADS={cores}")
    if any(r["list"] > 3 * r["evaluation"] for r in largest.values()):
        lines.append("a search for neighbours takes longer than three evaluations: a larger skin makes it rarer")
    if family != "nep" and any(r["device"] != "cpu" for r in rows):
        lines.append(f"{family} models run on plain torch on a GPU")
    return lines
