"""``tnep train``: train a model from a configuration or a GPUMD training folder."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from ..errors import InputError

EPILOG = """\
The configuration is a TOML file. The following one trains a potential. All keys have a default except files, kind,
species and directory:

  [data]
  files = ["bn8.extxyz"]          # extended xyz: energy, forces, stress or virial, dipole, born_charges,
                                  #   polarizability or epsilon_inf, whichever the model needs; also "run*.xyz"
  validation_fraction = 0.1
  test_fraction = 0.1
  seed = 0
  allow_missing = false           # true: accept structures without some of the labels; those without any are left out

  [model]
  kind = "potential"              # or "dipole" or "polarizability"
  species = ["B", "N"]
  radial_cutoff = 5.0             # in A
  angular_cutoff = 4.0
  n_max = [4, 4]
  basis_size = [8, 8]
  l_max = [4, 2, 0]
  neurons = 30

  [loss]                          # weights of squared errors, each relative to the spread of its label
  energy = 1.0
  forces = 1.0
  virial = 0.1                    # for a dipole model: dipole, born_charges; for a polarizability model: polarizability

  [optimizer]
  steps = 300                     # also: batch (structures per step), lr, restarts, patience, and method:
                                  # "soap" instead of "adam" for hundreds of structures
  lbfgs_steps = 300
  precision = "float64"           # "float32": half the memory, twice the speed
  device = "cpu"                  # "cuda": a GPU, also "cuda:1"; "auto": a GPU if there is one
  threads = 0                     # 0: one for each 2,000 atoms of a step
  memory_gb = 4.0                 # for precomputed moments; larger ones are streamed from a temporary file

  [output]
  directory = "energy"            # for nep.txt, model.pt, log.csv, results.json, loss.png, parity.png

  [ensemble]                      # optional: several models with error bars, in energy/member1, energy/member2, ...
  n_splits = 5
  method = "bagging"              # or "kfold"
  train_fraction = 0.9            # for bagging; a member is validated on the structures that it does not train on

Relative paths start at the folder of the configuration. A run that was killed resumes from its last checkpoint when
the same command is given again. Its results are then bit for bit those of an uninterrupted run. A checkpoint is written
every 30 s, and when Ctrl-C or SIGTERM stops the run, which happens after the current step. Only one training at a time
can run in a directory.

A finished or stopped run can be extended: raise epochs, steps or lbfgs_steps (or --steps or 'generation' for a GPUMD
folder) and start it again. Before L-BFGS, the learning rate then follows the longer schedule from the step that the run
has reached. For example, a run of 300 epochs that is extended to 600 continues at half of the largest learning rate,
which then falls to 1 %. A run that has reached L-BFGS stays there, up to the new total of steps. A run that ended by
patience cannot be extended. All other settings of the model, the loss and the data must stay the same.

kind = "enthalpy" trains one electric enthalpy H(R, E) on whatever labels the structures have. Its own keys are:

  [model]
  kind = "enthalpy"
  species = ["Si", "O"]
  cutoff = 6.0                    # in A
  channels = 16                   # also: n_radial, hidden, zbl, hyperpolarizability
  [loss]                          # weights; defaults: energy 0.5, forces 6, virial 0.3, dipole 0.15,
  virial = 0.0                    #   born_charges 4, polarizability 0.3
  [optimizer]
  epochs = 300                    # also: batch, lr, average, polarizability, precision, device, threads, memory_gb
  [ensemble]                      # as above; with train_fraction = 1.0 the members differ only in their seed
  n_splits = 4
  train_fraction = 1.0

--processes 4 trains with four processes, each of which computes a share of the structures of every step. On several
machines or GPUs, start them with torchrun instead. The results are those of one process up to rounding. Only single
models of a configuration can be trained in this way. The moments of a NEP or TNEP are divided among the processes;
memory_gb is that of each. A GPUMD folder is trained by several processes with --engine snes. Each of them has all
structures and evaluates a share of every population.

A folder may be given instead of a configuration. It is read like a folder of GPUMD's program nep, with nep.in,
train.xyz and optionally test.xyz. The files of that program are written to it during training (nep.txt, loss.out,
*_train.out, *_test.out; nep.restart with --engine snes). 'prediction 1' evaluates an existing nep.txt. Every keyword of
nep.in is either applied or refused with the reason. A log line names keywords that have no meaning for the model or the
engine. --restart starts from scratch, after moving loss.out and nep.restart to *.old.

--engine gradient (default) fits all structures of train.xyz with Adam and then L-BFGS. For 300 or more structures it
uses SOAP instead of Adam, with 64 structures per step if nep.in has no 'batch'. 'generation' is the largest number of
steps. 'output_interval' (default: 20) and 'save_potential' count steps. The weight decay is 1e-6 times the mean of
lambda_1 and lambda_2, divided by GPUMD's default for them; 0 and 0 give no weight decay. If the species have different
constants, nep.txt has one neuron more than nep.in asks for. --restarts 4 makes 4 starts and continues the best of them
after 50 steps. With --patience 15, training switches to L-BFGS after 15 rows of loss.out without a smaller loss on
test.xyz, and after 15 more such rows it stops. It keeps the model with the smallest loss on test.xyz. The errors on
test.xyz are then slightly too small.
--engine snes is GPUMD's evolution strategy. It resumes from nep.restart if that file exists.

Fine-tuning starts from the parameters of an existing model, with a learning rate of 0.001 instead of 0.02. Give
start = "nep.txt" in [model], or --start or the keyword fine_tune for a GPUMD folder. The new model may have fewer
species than the existing one. --engine snes needs the keyword fine_tune, because it takes means and widths from the
nep.restart that is named there.

initial = "linear" in [model] starts from a least-squares fit of an energy that is linear in the descriptor, instead of
random parameters. It is for potentials whose energy is nearly linear, as for small displacements from one crystal, and
needs no steps: steps and lbfgs_steps are then 0 unless they are given.

examples:
  tnep train energy.toml
  tnep predict bn8.extxyz --energy energy/model.pt
  tnep train energy.toml --processes 4
  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint node1:29500 \\
      -m tnep_calc.cli train energy.toml
  tnep train qm7b_dipole/ --engine snes
  tnep train qm7b_dipole/ --restarts 4 --patience 15
  tnep train nepmodel_full nepmodel_split*        # folders made by calorine's setup_training
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "config",
        type=Path,
        nargs="+",
        help="configuration (TOML), or GPUMD folder with nep.in and train.xyz; several folders are trained together",
    )
    parser.add_argument("-o", "--output", help="output directory, instead of the one in the configuration")
    parser.add_argument(
        "--restart",
        action="store_true",
        help="start from scratch: discard the results of a previous run in the output directory",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress lines")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="processes on this machine that share every step of one model (default: 1)",
    )
    group = parser.add_argument_group("only for a GPUMD folder")
    group.add_argument("--engine", choices=("gradient", "snes"), help="default: gradient")
    group.add_argument("--threads", type=int, help="number of threads (default: one for each 2,000 atoms of a step)")
    group.add_argument("--device", help="cpu, cuda, cuda:1, ..., or auto (default: cpu)")
    group.add_argument("--memory", type=float, help="largest size in GB of the moments in memory (default: 4)")
    group.add_argument(
        "--scratch",
        metavar="DIR",
        help="folder of the temporary file for moments beyond --memory (default: the system's)",
    )
    group = parser.add_argument_group("only for a GPUMD folder and --engine gradient")
    group.add_argument("--steps", type=int, help="first-order steps, and as many of L-BFGS (default: 300)")
    group.add_argument(
        "--patience",
        type=int,
        metavar="ROWS",
        help="switch to L-BFGS, and later stop, after this number of rows of loss.out without a smaller loss on "
        "test.xyz (default: never)",
    )
    group.add_argument(
        "--restarts", type=int, metavar="N", help="number of starts; the best one continues (default: 1)"
    )
    group.add_argument("--start", metavar="NEP", help="nep.txt to start from, like 'start' in [model]")
    group.add_argument("--precision", choices=("float64", "float32"), help="of the moments (default: float64)")


def run(args):
    """Train, with progress on stderr, and print the path of the results on stdout."""
    level = logging.ERROR if not _reports() else logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=level)
    if args.processes < 1:
        raise InputError(f"--processes must be at least 1, got {args.processes}")
    several = args.processes if "WORLD_SIZE" not in os.environ else int(os.environ["WORLD_SIZE"])
    if several > 1 and any(path.is_dir() for path in args.config) and (args.engine != "snes" or len(args.config) > 1):
        raise InputError(
            "several processes train a configuration, or one GPUMD folder with --engine snes; leave them out"
        )
    if args.processes > 1 and "WORLD_SIZE" not in os.environ:
        from ..training.common.launch import launched

        with launched(args.processes, args.argv):
            return _attempt(args)
    return _attempt(args)


def _reports() -> bool:
    """Return whether this process reports: of several only the first does."""
    return os.environ.get("RANK", "0") == "0"


def _attempt(args):
    from ..training.common.loop import Interrupted

    paths = list(args.config)
    try:
        return _train(args)
    except Interrupted as error:
        print(f"tnep train: {error}: the same command, without --restart, resumes", file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        if any(path.exists() for place in _places(paths, args.output) for path in place.glob("**/*checkpoint.pt")):
            print("the same command, without --restart, resumes from the last checkpoint", file=sys.stderr)
        else:
            print("nothing has been saved yet: the same command starts from scratch", file=sys.stderr)
        raise


def _places(paths, output):
    """Return the directories that a command trains in; an empty list if the configuration does not say one."""
    if output is not None or not paths[0].is_file():
        return [Path(output)] if output is not None else paths
    from ..training.common.config import read_tables

    directory = read_tables(paths[0]).get("output", {}).get("directory")
    return [paths[0].parent / directory] if isinstance(directory, str) else []


def _train(args):
    for path in args.config:
        if not path.exists():
            raise InputError(f"{path} does not exist: give a configuration, or a folder with nep.in and train.xyz")
    options = {
        "engine": args.engine,
        "steps": args.steps,
        "precision": args.precision,
        "threads": args.threads,
        "device": args.device,
        "memory_gb": args.memory,
        "start": args.start,
        "patience": args.patience,
        "restarts": args.restarts,
        "scratch": args.scratch,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if all(path.is_dir() for path in args.config):
        _run_directories(args, given)
        return
    if len(args.config) > 1:
        raise InputError("give one configuration, or one or more GPUMD folders")
    (args.config,) = args.config
    if given:
        names = ", ".join("--memory" if name == "memory_gb" else f"--{name}" for name in given)
        raise InputError(f"{names} is for GPUMD folders; a configuration has its own keys ([optimizer], [model])")
    from ..training.run import train

    folder = train(args.config, args.output, args.restart)
    if not _reports():
        return
    print(f"results in {folder}")
    args.numbers["runs"] = [_numbers(path.parent) for path in sorted(folder.rglob("results.json"))]


def _numbers(folder):
    """Return steps, time and errors of a training run, as in its ``results.json``."""
    path = folder / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    return {"folder": folder} | {name: known[name] for name in ("steps", "seconds", "errors") if name in known}


def _run_directories(args, given):
    if args.output is not None:
        raise InputError("--output is for configurations only: results of a GPUMD folder are written to that folder")
    by_gradient = {"steps", "patience", "restarts", "precision", "start"}
    if args.engine == "snes" and by_gradient & set(given):
        raise InputError(
            "--steps, --patience, --restarts, --precision and --start are for --engine gradient: use "
            "'generation', and 'fine_tune' with a nep.txt and its nep.restart, in nep.in"
        )
    from ..training.gpumd.folder import RunOptions
    from ..training.gpumd.run import run_directories

    for path in run_directories(args.config, RunOptions(restart=args.restart, **given)):
        print(path)
        args.numbers.setdefault("runs", []).append(_numbers(path))
