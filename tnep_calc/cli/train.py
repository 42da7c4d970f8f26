"""``tnep train``: configuration -> trained model."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

EPILOG = """\
The configuration is a TOML file. This one trains a potential; everything but files, kind, species and directory has
a default:

  [data]
  files = ["bn8.extxyz"]          # extended xyz: energy, forces, stress or virial, dipole, born_charges,
  validation_fraction = 0.1       #   polarizability or epsilon_inf, whichever the model needs
  test_fraction = 0.1
  seed = 0

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
  adam_steps = 300
  lbfgs_steps = 300

  [output]
  directory = "energy"            # gets nep.txt, model.pt, log.csv, results.json, loss.png, parity.png

Relative paths start at the folder of the configuration. A run that was killed goes on from its last checkpoint when
it is started again the same way, and gives the same numbers, bit by bit, as one that was not.

example:
  tnep train energy.toml
  tnep predict bn8.extxyz --energy energy/model.pt
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("config", type=Path, help="configuration (TOML)")
    parser.add_argument("-o", "--output", help="output directory, instead of the one in the configuration")
    parser.add_argument(
        "--restart", action="store_true", help="discard what a former run has left in the output directory"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress lines")


def run(args):
    """Train, with progress on stderr and the place of the results on stdout."""
    from ..training.config import load_config
    from ..training.outputs import run_training

    config = load_config(args.config, args.output)
    logging.basicConfig(
        stream=sys.stderr, format="%(message)s", level=logging.WARNING if args.quiet else logging.INFO
    )
    run_training(config, args.restart)
    print(f"results in {config.directory}")
