"""``tnep bench``: time per atom of a model, with advice on how to make it faster."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..families import KINDS

_EPILOG = """
Each time is the shortest of several evaluations of energies, forces and virial (or dipole, or polarizability). Other
programs that run on this machine make the times longer. "list" is a complete neighbour search, which MD needs only
once in several steps; it runs on the same device. Without --structure, atoms of the model's species are placed at
random near the points of a lattice, with --volume cubic Angstroms per atom. Times depend on the number of neighbours:
give your own structure for realistic ones. Known machines are listed below, with models of their own.

examples:
  tnep bench nep.txt
  tnep bench model.pt --structure relaxed.xyz --atoms 1000 100000
  tnep bench nep.txt --device cuda --dtype float32
"""
KNOWN = {
    "nep": [
        ("AMD EPYC, AVX-512, one thread", "silicon, 28 neighbours, with a search", 4.1, 2.8),
        ("AMD EPYC, AVX-512, one thread", "C 2024, 274 neighbours, with a search", 10.6, 8.0),
        ("AMD EPYC, AVX-512, one thread", "water dipole, with a search", 3.3, 2.6),
        ("GPUMD on an RTX 3080 (published)", "NEP potentials, 0.15 to 0.20", None, 0.2),
    ],
    "enthalpy": [("AMD EPYC, AVX-512, one thread", "SiO2, 104 neighbours: energy, forces, dipole", None, 10.3)],
}
"""By family: machine, model, and microseconds per atom in float64 and float32 (None: not known); docs/benchmarks.md."""
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
        help="approximate numbers of atoms (default: 100 1000 10000)",
    )
    parser.add_argument(
        "--volume", type=float, default=12.0, metavar="A^3", help="per atom, without --structure (default: 12)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...; auto (default): the CPU, and the GPU if any")
    parser.add_argument("--dtype", nargs="+", choices=("float64", "float32"), help="precision (default: both)")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="time spent on each line (default: 1)")


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
    known = KNOWN.get(model.metadata.family, [])
    for text in known_machines(known):
        print(text)
    lines = advice(rows, model.metadata.family)
    for line in lines:
        print(line)
    args.numbers.update(microseconds_per_atom=rows, advice=lines)


def _load(path, device, dtype):
    from ..artifact import Artifact, artifact_from_nep, is_artifact, load_artifact
    from ..io.gpumd.nep_txt import read_nep

    if is_artifact(path):
        return load_artifact(path, str(device), dtype)
    model = artifact_from_nep(read_nep(path), dtype)
    return Artifact(model.module.to(device), model.metadata)


def _structure(args, species, count):
    """Return a structure of about `count` atoms: ``--structure`` repeated, or random species near a lattice."""
    import numpy as np
    from ase import Atoms

    from ..io.structures.single import read_structure

    if args.structure:
        atoms = read_structure(args.structure)
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
    """Return the number of atoms, the edges per atom, and the times per atom in microseconds."""
    import torch

    from ..neighbors import NeighborList
    from ..ops.neighbors import search_on
    from ..threads import sized_for

    known, index = model.metadata, {s: i for i, s in enumerate(model.metadata.species)}
    wanted = [name for name in _WANTED if name in known.quantities]
    species = torch.tensor([index[s] for s in atoms.get_chemical_symbols()], device=device)

    def search():
        found = NeighborList(known.cutoff, search=search_on(device)).edges(atoms.positions, atoms.cell.array, atoms.pbc)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return found

    def evaluate():
        model.module(species, centers, *edges, wanted, None)
        if device.type == "cuda":
            torch.cuda.synchronize()

    with sized_for(len(atoms)):
        found = search()
        centers = torch.arange(len(atoms), device=device)
        edges = [torch.as_tensor(a).to(device) for a in (found.offsets, found.neighbors, found.vectors)]
        scale = 1e6 / len(atoms)
        return {
            "atoms": len(atoms),
            "edges": len(found.neighbors) / len(atoms),
            "list": scale * _least_time(search, seconds / 2),
            "evaluation": scale * _least_time(evaluate, seconds / 2),
        }


def _least_time(run, seconds):
    """Return the shortest time (s) of a call of `run`.

    After a warm-up call, calls are repeated until `seconds` have passed, at least twice.
    """
    import time

    run()
    best, start, calls = float("inf"), time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
        calls += 1
    return best


def known_machines(known) -> list[str]:
    """Return a table of known machines, one line each, from rows of ``KNOWN``.

    Examples
    --------
    >>> for line in known_machines([("some GPU", "silicon", None, 0.2)]):
    ...     print(line)
    known machines (us per atom)           float64  float32
    some GPU                                     -      0.2   silicon
    """
    rows = [
        f"{machine:36} {'-' if double is None else double:>9} {'-' if single is None else single:>8}   {model}"
        for machine, model, double, single in known
    ]
    return [f"{'known machines (us per atom)':36} {'float64':>9} {'float32':>8}", *rows] if rows else []


def advice(rows, family) -> list[str]:
    """Return suggestions for faster evaluations, one line each.

    Parameters
    ----------
    rows : list of dict
        One per measurement, by rising number of atoms, with ``device``, ``dtype``, ``atoms``, and the times ``list``
        and ``evaluation`` in microseconds per atom.
    family : str
        Family of the model.

    Returns
    -------
    list of str
        Empty if nothing was found.
    """
    import os

    import torch

    from .. import ops

    lines = []
    if not ops.load():
        lines.append(f"the native kernels are not used: {ops.status().detail}")
    on_cpu = [r for r in rows if r["device"] == "cpu"]
    largest = {(r["device"], r["dtype"]): r for r in rows}  # rows are sorted by size: the last one wins
    for device in {r["device"] for r in rows}:
        double, single = largest.get((device, "float64")), largest.get((device, "float32"))
        if double and single and double["evaluation"] > 1.2 * single["evaluation"]:
            factor = double["evaluation"] / single["evaluation"]
            lines.append(
                f"float32 is {factor:.1f} times as fast on {device}: use it for MD, but not for finite differences"
            )
    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    if on_cpu and threads < cores:
        lines.append(
            f"{threads} of {cores} cores are used: set OMP_NUM_THREADS={cores}, or run LAMMPS on {cores} MPI ranks"
        )
    if on_cpu and threads > cores:
        lines.append(f"{threads} threads share {cores} cores: set OMP_NUM_THREADS={cores}")
    if any(r["list"] > 3 * r["evaluation"] for r in largest.values()):
        lines.append("a neighbour search takes longer than three evaluations: a larger skin makes searches rarer")
    kernels = {device for kind in KINDS.values() if kind.family == family for device in kind.native}
    if "cuda" not in kernels and any(r["device"] != "cpu" for r in rows):
        lines.append(f"{family} models run on plain torch on a GPU")
    return lines
