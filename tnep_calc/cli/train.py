"""``tnep train``: configuration, or GPUMD training folder -> trained model."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from ..errors import InputError

EPILOG = """\
The configuration is a TOML file. This one trains a potential; everything but files, kind, species and directory has
a default:

  [data]
  files = ["bn8.extxyz"]          # extended xyz: energy, forces, stress or virial, dipole, born_charges,
  validation_fraction = 0.1       #   polarizability or epsilon_inf, whichever the model needs
  test_fraction = 0.1
  seed = 0
  allow_missing = false           # true: uses structures with the labels they have, and leaves out those without any

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
  virial = 0.1                    # a dipole model has: dipole, born_charges; a polarizability model: polarizability

  [optimizer]
  steps = 300                     # also: batch (structures per step), lr, restarts, patience, and method:
                                  # "soap" instead of "adam" for hundreds of structures
  lbfgs_steps = 300
  precision = "float64"           # "float32": half the memory, twice the speed
  device = "cpu"                  # "cuda": a GPU, also "cuda:1"; "auto": a GPU if there is one
  memory_gb = 4.0                 # of the precomputed moments; what is more is streamed from a temporary file

  [output]
  directory = "energy"            # gets nep.txt, model.pt, log.csv, results.json, loss.png, parity.png

  [ensemble]                      # optional: several models with error bars, in energy/member1, energy/member2, ...
  n_splits = 5
  method = "bagging"              # or "kfold"
  train_fraction = 0.9            # of bagging; a member is validated on what it does not train on

Relative paths start at the folder of the configuration. A run that was killed resumes from its last checkpoint when
it is started again the same way, and gives the same numbers, bit by bit, as one that was not. There is a checkpoint
every 30 s, and when Ctrl-C or SIGTERM stops the run after the step that is being done. One training at a time runs in
a directory.

A run that is finished, or was stopped, can be made longer: raise epochs, steps or lbfgs_steps, or --steps or
'generation' of a GPUMD folder, and start it again. Until L-BFGS begins, the learning rate is the one that the longer
schedule has at the step where the run is: after all of 300 epochs, with 600 asked for, half of the largest one, which
falls again to 1 %. A run that is in L-BFGS stays there, up to the new total of steps. One that patience has ended is
over. All other settings of the model, the loss and the data must stay as they were.

kind = "enthalpy" trains one electric enthalpy H(R, E) on whatever labels the structures have. Its own keys:

  [model]
  kind = "enthalpy"
  species = ["Si", "O"]
  cutoff = 6.0                    # in A
  channels = 16                   # also: n_radial, hidden, zbl, hyperpolarizability
  [loss]                          # weights; defaults: energy 0.5, forces 6, virial 0.3, dipole 0.15,
  virial = 0.0                    #   born_charges 4, polarizability 0.3
  [optimizer]
  epochs = 300                    # also: batch, lr, average, polarizability, precision, device, threads, memory_gb
  [ensemble]                      # as above; with train_fraction = 1.0 the members differ in their seed only
  n_splits = 4
  train_fraction = 1.0

A folder instead of a configuration is taken as one of GPUMD's program nep: nep.in and train.xyz, optionally test.xyz.
It gets the files of that program while it runs (nep.txt, loss.out, *_train.out, *_test.out; nep.restart with --engine
snes), and 'prediction 1' evaluates an existing nep.txt. Keywords of nep.in are honoured, or refused with the reason;
a line names those that have no meaning for the model or the engine. --restart starts from scratch: loss.out and
nep.restart are moved to *.old first.

--engine gradient (default) fits all structures of train.xyz by Adam and L-BFGS; from 300 structures on by SOAP instead
of Adam, with 64 structures per step if nep.in has no 'batch'. 'generation' is the largest number of steps,
'output_interval' (20 if not given) and 'save_potential' count steps, and the weight decay is 1e-6 times the mean of
lambda_1 and lambda_2 over the default that GPUMD has for them: 0 and 0 give none. Where the species have different
constants nep.txt has one neuron more than nep.in. --restarts 4 goes on with the best of 4 starts after 50 steps.
--patience 15 goes on to L-BFGS, and there stops, after 15 rows of loss.out without a smaller loss on test.xyz, and
keeps the best model: errors on test.xyz are a little too small then.
--engine snes is GPUMD's evolution strategy, which goes on from nep.restart if that is there.

Fine-tuning: start = "nep.txt" in [model], or --start or the keyword fine_tune for a GPUMD folder, begins with the
parameters of a model, of which some species may be left out, and with a learning rate of 0.001 instead of 0.02;
--engine snes needs fine_tune, as it takes the means and widths of the nep.restart that is named there.

examples:
  tnep train energy.toml
  tnep predict bn8.extxyz --energy energy/model.pt
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
        help="start from scratch: discard what a previous run has left in the output directory",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress lines")
    group = parser.add_argument_group("only for a GPUMD folder")
    group.add_argument("--engine", choices=("gradient", "snes"), help="default: gradient")
    group.add_argument("--threads", type=int, help="threads; default: 1")
    group.add_argument("--device", help="where it computes: cpu, cuda, cuda:1, ..., or auto; default: cpu")
    group.add_argument("--memory", type=float, help="largest size of the moments in memory in GB; default: 4")
    group.add_argument(
        "--scratch",
        metavar="DIR",
        help="folder of the temporary file for more moments than --memory (default: the system's)",
    )
    group = parser.add_argument_group("only for a GPUMD folder and --engine gradient")
    group.add_argument("--steps", type=int, help="steps of first order, and as many of L-BFGS (default: 300)")
    group.add_argument(
        "--patience",
        type=int,
        metavar="ROWS",
        help="leave the first steps, then L-BFGS, after so many rows of loss.out without a smaller loss "
        "on test.xyz (default: never)",
    )
    group.add_argument("--restarts", type=int, metavar="N", help="starts, the best of which goes on (default: 1)")
    group.add_argument("--start", metavar="NEP", help="nep.txt to start from, as model.start does")
    group.add_argument("--precision", choices=("float64", "float32"), help="of the moments; default: float64")


def run(args):
    """Train, with progress on stderr and the place of the results on stdout."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING if args.quiet else logging.INFO)
    from ..training.common.loop import Interrupted

    paths = list(args.config)
    try:
        return _train(args)
    except Interrupted as error:
        print(f"tnep train: {error}: the same command, without --restart, resumes", file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        if any(path.exists() for place in _places(paths, args.output) for path in place.glob("**/*checkpoint.pt")):
            print("the same command, without --restart, goes on from the last checkpoint", file=sys.stderr)
        else:
            print("nothing has been saved yet: the same command starts from scratch", file=sys.stderr)
        raise


def _places(paths, output):
    """Return the directories that a command trains in; of a configuration that is wrong, none."""
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

    print(f"results in {train(args.config, args.output, args.restart)}")


def _run_directories(args, given):
    if args.output is not None:
        raise InputError("a GPUMD folder gets its results itself: --output is for configurations only")
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
