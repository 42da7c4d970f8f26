"""``tnep report``: write an HTML page about a training run."""

from __future__ import annotations

from pathlib import Path

EPILOG = """\
The page (HTML with embedded figures) has the loss on training and held-out data, parity plots by groups of components
(i = j and i != j of tensors) with RMSE, MAE and R2, and all settings. A folder is the output directory of 'tnep train',
also of an ensemble, or a GPUMD training folder, trained by tnep or by GPUMD. Several folders are shown as members of an
ensemble: loss curves in grey with their mean in colour, and the points of all test sets in one plot.

example:
  tnep report polarizability/
  tnep report nepmodel_split* -o splits.html
"""


def add_arguments(parser):
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder where training has finished")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.html", help="page (default: report.html in the folder)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the page")


def run(args):
    """Write the page and print its path."""
    from ..training.results.report import write_report

    print(write_report(args.folders, args.output, args.force))
