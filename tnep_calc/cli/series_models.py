"""``tnep series`` on a trajectory: models, MPI ranks, resuming, and projection on phonon modes."""

from __future__ import annotations

import argparse
import hashlib
import json

from ..errors import InputError
from .series_shared import cell_of, command_line, lengths


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate the models on a trajectory, and write one series per member of the ensemble."""
    import shutil
    from pathlib import Path

    from ..calculators.tnep import TNEPCalculator
    from ..calculators.trajectory import evaluate_trajectory
    from ..io.files import check_output, sha256
    from ..io.series.timeseries import write_timeseries
    from ..io.structures.trajectory import Trajectory
    from ..parallel import communicator

    if len(args.files) != 1:
        raise InputError(f"models are evaluated on one trajectory file, got {len(args.files)} files")
    for option in ("timestep", "volume", "cell", "format", "atoms"):
        if getattr(args, option) is not None:
            raise InputError(f"leave out --{option}: models on a trajectory take cell, atoms and times from its frames")
    for name in ("enthalpy", "radnet"):
        given = {
            "enthalpy": args.enthalpy_model,
            "radnet": args.radnet_model,
            "dipole": args.dipole_model,
            "polarizability": args.polarizability_model,
        }
        if given.pop(name) and any(given.values()):
            raise InputError(f"--{name}-model gives dipole and polarizability: leave the other models out")
    members = max(
        len(m or []) for m in (args.dipole_model, args.polarizability_model, args.enthalpy_model, args.radnet_model)
    )
    output = Path(args.output)
    outputs = (
        [output]
        if members == 1
        else [output.with_name(f"{output.stem}-member{k + 1}{output.suffix}") for k in range(members)]
    )
    for path in outputs:
        check_output(path, args.force, args.files)
    (path,) = args.files

    trajectory = Trajectory(path, args.interval, args.allow_gaps)
    trajectory.cell = None if args.structure is None else cell_of(args.structure)
    comm = communicator()
    first = comm is None or comm.rank == 0
    calculator = TNEPCalculator(
        dipole=args.dipole_model,
        susceptibility=args.polarizability_model,
        dipole_unit=args.dipole_unit,
        susceptibility_unit=args.polarizability_unit,
        enthalpy=args.enthalpy_model,
        radnet=args.radnet_model,
    )
    modes = None if args.phonons is None else _projection(args, trajectory)
    source = {"source": Path(path).name, "source_sha256": sha256(path), "notes": "models evaluated by tnep series"}
    folder = output.with_name(output.name + ".parts")
    found = evaluate_trajectory(
        trajectory,
        calculator,
        None,
        args.temperature,
        source,
        command_line(args),
        args.isolated,
        args.current,
        folder=folder,
        modes=modes,
        key=_fingerprint(args, source["source_sha256"], trajectory.cell, modes),
        restart=args.restart,
        comm=comm,
        log=lambda line: print(line, flush=True),
    )
    if not first:
        return
    if trajectory.repeated:
        print(f"{trajectory.repeated} repeated frames (from a restart?) were left out")
    sampled = next(item for item in (found[0].dipole, found[0].polarizability) if item is not None)
    pieces = len(trajectory.starts)
    print(f"{len(sampled.values)} frames every {trajectory.dt:g} fs, {pieces} piece{'s' * (pieces > 1)}")
    args.numbers.update(lengths(sampled), outputs=outputs)
    if modes is not None:
        print(f"normal coordinates of {len(modes.wavenumbers)} modes ({modes.source.split()[0]})")
    for target, series in zip(outputs, found, strict=True):
        write_timeseries(target, series, args.force)
        print(f"wrote {target}")
    shutil.rmtree(folder)


def _projection(args, trajectory):
    """Return the modes of ``--phonons`` for the cell of the trajectory."""
    from ..io.structures.trajectory import read_frames
    from ..phonons.projection import mode_projection

    atoms = next(read_frames(trajectory.path))[0]
    if trajectory.cell is not None:
        atoms.set_cell(trajectory.cell)
    return mode_projection(args.phonons, atoms)


def _fingerprint(args, trajectory: str, cell, modes) -> str:
    """Return a SHA-256 of everything that the values of a frame depend on."""
    from ..io.files import sha256

    models = {
        name: [sha256(path) for path in getattr(args, f"{name}_model") or []]
        for name in ("dipole", "polarizability", "enthalpy", "radnet")
    }
    settings = (trajectory, models, args.dipole_unit, args.polarizability_unit, args.isolated, args.current)
    text = json.dumps([*settings, None if cell is None else cell.tolist(), None if modes is None else modes.source])
    return hashlib.sha256(text.encode()).hexdigest()
