"""``tnep select``: the structures of a trajectory that an ensemble of models is least sure of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError

SHOWN = 10

EPILOG = """\
The models are an ensemble: two or more of one kind, e.g. the members of 'tnep train' with [ensemble]. Structures are
chosen one by one. Each has the largest product of uncertainty (standard deviation over the models) and distance to the
nearest structure chosen before, so that the chosen structures are uncertain and differ from each other. With --known,
the distances to structures that have labels already (a training set) count too.

The output (extended xyz) has the 'uncertainty' and the 'frame' of every structure. Label these structures with DFT, add
them to the training set and train again.

example:
  tnep select md.extxyz --models energy/member*/model.pt --n 50 -o to_label.extxyz --plot selection.png
  tnep select md.traj --models dip/member*/nep.txt --unit e*bohr --n 20 --known train.extxyz -o to_label.extxyz
"""

_ROLES = {"potential": "energy", "dipole": "dipole", "polarizability": "susceptibility"}


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("trajectory", metavar="TRAJ", help="structures, in any format of ASE")
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL", help="artifacts or nep.txt files")
    parser.add_argument("--n", type=int, default=50, metavar="N", help="number of structures (default: %(default)s)")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="structures (extended xyz)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="use every Kth frame only (default: 1)")
    parser.add_argument("--known", metavar="FILE", help="structures that have labels already, in any format of ASE")
    parser.add_argument("--unit", help="unit in which the models of a nep.txt were trained, see 'tnep export'")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ..., or auto")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="figure to write (.png, .pdf or .svg)")
    parser.add_argument("--force", action="store_true", help="overwrite output files")


def run(args):
    """Evaluate the ensemble on the trajectory, choose structures, and write them."""
    from ase.io import write

    from ..datasets.selection import MEASURES, select_structures, survey
    from ..io.files import atomic_output, check_output
    from ..plotting.style import check_figure_name

    for path in filter(None, (args.output, args.plot)):
        check_output(path, args.force, filter(None, (args.trajectory, args.known, *args.models)))
    if args.plot:
        check_figure_name(args.plot)
    if args.every < 1 or args.n < 1:
        raise InputError("--n and --every must be at least 1")
    calculator = _calculator(args.models, args.unit, args.device)
    (role,) = calculator.models
    _, unit, meaning = MEASURES[role]
    candidates = survey(_frames(args.trajectory, args.every), calculator)
    known = survey(_frames(args.known, 1), calculator).descriptors if args.known else None
    chosen, distance = select_structures(candidates, args.n, known)
    if not len(chosen) or not candidates.uncertainty.any():
        raise InputError("the models agree on every structure: give members of an ensemble, not copies of one model")
    wanted = {int(row): k for k, row in enumerate(chosen)}
    picked = {}
    for row, atoms in enumerate(_frames(args.trajectory, args.every)):
        if row in wanted:
            atoms.calc = None
            atoms.info = {"uncertainty": float(candidates.uncertainty[row]), "frame": row * args.every}
            picked[wanted[row]] = atoms
    with atomic_output(args.output, args.force) as temporary:
        write(temporary, [picked[k] for k in range(len(chosen))], format="extxyz")
    print(f"uncertainty: {meaning} over {len(args.models)} models, in {unit}")
    values = candidates.uncertainty
    print(f"{len(values)} structures: mean {values.mean():.4g}, largest {values.max():.4g}")
    print(f"{len(chosen)} selected: mean {values[chosen].mean():.4g}, smallest {values[chosen].min():.4g}")
    if len(chosen) < args.n:
        print(f"note: fewer than the {args.n} structures of --n, because the others repeat those selected")
    print(f"{'order':>6}{'frame':>8}{'uncertainty':>13}{'distance':>10}")
    for k, row in enumerate(chosen[:SHOWN]):
        print(f"{k + 1:>6}{row * args.every:>8}{values[row]:>13.4g}{distance[k]:>10.3g}")
    if len(chosen) > SHOWN:
        print(f"   ... {len(chosen) - SHOWN} more in {args.output}")
    args.numbers.update(
        unit=unit,
        structures=len(values),
        mean=values.mean(),
        selected=[
            {"frame": row * args.every, "uncertainty": values[row], "distance": distance[k]}
            for k, row in enumerate(chosen)
        ],
        output=args.output,
    )
    if args.plot:
        import numpy as np

        from ..plotting.selection import plot_selection
        from ..plotting.style import save_figure

        frames = args.every * np.arange(len(values))
        save_figure(plot_selection(frames, values, chosen, candidates.descriptors, unit), args.plot, args.force)
    print("wrote " + " and ".join(str(path) for path in (args.output, args.plot) if path))


def _calculator(paths, unit, device):
    """Return the calculator of an ensemble of models of one kind."""
    from ..artifact import is_artifact, read_metadata
    from ..calculators.tnep import TNEPCalculator
    from ..io.gpumd.nep_txt import read_nep

    kinds = {(read_metadata(path) if is_artifact(path) else read_nep(path)).kind for path in paths}
    if len(kinds) > 1 or len(paths) < 2:
        found = ", ".join(sorted(kinds))
        raise InputError(f"--models needs two or more models of one kind, got {len(paths)} ({found})")
    role = _ROLES.get(kinds.pop())
    if role is None:
        raise InputError("selection is for NEP models: potentials, dipoles or polarizabilities")
    options: dict[str, Any] = {role: list(paths)}
    if unit is not None:
        if role == "energy":
            raise InputError("--unit is for models of dipoles and polarizabilities")
        options[f"{role}_unit"] = unit
    return TNEPCalculator(skin=0.0, device=device, **options)


def _frames(path, every):
    from ..io.structures.trajectory import read_frames

    for k, (atoms, _) in enumerate(read_frames(path)):
        if k % every == 0:
            yield atoms
