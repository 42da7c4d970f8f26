"""Output files of GPUMD's ``nep`` program: ``loss.out``, ``nep.restart`` and the tables of predictions and targets.

Columns, units and number formats are those of GPUMD 5.6 (https://gpumd.org/nep/output_files), so that scripts written
for GPUMD also read these files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...conventions import GPUMD_ORDER, to_six
from ...errors import DataFileError, InputError
from ...units import EV_PER_A3_TO_GPA
from ..files import atomic_output, read_text
from .xyz import GpumdFrame

MISSING = -1e6
"""Value in the columns of a missing target."""

N_ERRORS = {"potential": 6, "dipole": 2, "polarizability": 2}
"""Number of RMSE columns of ``loss.out``.

For a potential they are energy, force and virial of the training set, then of the test set; for other models, training
and test set.
"""


def loss_row(generation: int, total: float, l1: float, l2: float, errors: Sequence[float]) -> str:
    r"""Return a row of ``loss.out``.

    Parameters
    ----------
    generation : int
        Generation or step.
    total, l1, l2 : float
        Total loss, and the L1 and L2 regularisation that it contains.
    errors : sequence of float, length 2 or 6
        RMSE of training and test set (dipole, polarizability), or RMSE of energy (eV/atom), force (eV/Å) and virial
        (eV/atom) of the training set, then of the test set.

    Examples
    --------
    >>> loss_row(100, 0.01468, 0.00029, 0.00036, [0.01403, 0.01383])
    '100     0.01468    0.00029    0.00036    0.01403      0.01383      \n'
    """
    if len(errors) not in N_ERRORS.values():
        raise InputError(f"a row of loss.out has 2 or 6 errors, got {len(errors)}")
    head = "".join(f"{value:<11.5f}" for value in (total, l1, l2))
    return f"{generation:<8d}{head}{''.join(f'{value:<13.5f}' for value in errors)}\n"


def append_row(path: str | Path, row: str) -> None:
    """Append a row to ``loss.out`` and close the file, so that other programs see the row at once."""
    with open(path, "a", encoding="ascii") as file:
        file.write(row)


def parity_tables(
    kind: str, frames: Sequence[GpumdFrame], predictions: dict[str, np.ndarray], atomic: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the tables of predictions and targets that GPUMD writes, by the stem of their file name.

    Parameters
    ----------
    kind : {"potential", "dipole", "polarizability"}
    frames : sequence of GpumdFrame
    predictions : dict of ndarray
        Totals ``energy`` (n_frames,), ``virial`` (n_frames, 3, 3), ``dipole`` (n_frames, 3) or ``polarizability``
        (n_frames, 3, 3), and ``forces`` (n_atoms, 3); with `atomic`, ``dipoles`` (n_atoms, 3) or ``polarizabilities``
        (n_atoms, 3, 3).
    atomic : bool, default False
        Tabulate atomic dipoles or polarizabilities instead of totals.

    Returns
    -------
    dict of (ndarray, ndarray)
        Prediction and target, each of shape (rows, columns), for ``energy`` (eV/atom), ``force`` (eV/Å), ``virial``
        (eV/atom) and ``stress`` (GPa, positive under compression), or for ``dipole`` or ``polarizability`` (total per
        number of atoms, or atomic).  Tensors have the columns xx yy zz xy yz zx.  A missing target is ``MISSING``.
    """
    structures = [frame.structure for frame in frames]
    counts = np.array([len(frame) for frame in frames], dtype=float)

    def per_atom(values, targets, width):
        scaled = [
            np.full(width, MISSING) if t is None else np.ravel(t) / n for t, n in zip(targets, counts, strict=True)
        ]
        return values.reshape(len(counts), -1) / counts[:, None], np.array(scaled)

    def sixes(tensors):
        return [None if t is None else to_six(t, GPUMD_ORDER) for t in tensors]

    def of_atoms(values, targets):
        width = values.shape[1]
        return values, np.concatenate(
            [np.full((len(s), width), MISSING) if t is None else t for s, t in zip(structures, targets, strict=True)]
        )

    if kind == "potential":
        virial = per_atom(to_six(predictions["virial"], GPUMD_ORDER), sixes(s.virial for s in structures), 6)
        factor = (counts / np.array([s.volume for s in structures]) * EV_PER_A3_TO_GPA)[:, None]
        target = np.where(virial[1] == MISSING, MISSING, virial[1] * factor)
        return {
            "energy": per_atom(predictions["energy"], [s.energy for s in structures], 1),
            "force": of_atoms(predictions["forces"], [s.forces for s in structures]),
            "virial": virial,
            "stress": (virial[0] * factor, target),
        }
    if kind == "dipole":
        if atomic:
            return {kind: of_atoms(predictions["dipoles"], [frame.atomic_dipole for frame in frames])}
        return {kind: per_atom(predictions["dipole"], [s.dipole for s in structures], 3)}
    if atomic:
        values = to_six(predictions["polarizabilities"], GPUMD_ORDER)
        return {kind: of_atoms(values, [frame.atomic_polarizability for frame in frames])}
    values = to_six(predictions["polarizability"], GPUMD_ORDER)
    return {kind: per_atom(values, sixes(s.polarizability for s in structures), 6)}


def write_parity(folder: str | Path, split: str, tables: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[Path]:
    """Write ``<name>_<split>.out`` for each table, with the columns of the prediction, then those of the target.

    Numbers have six digits.  Rows are in the order of the structures.  Existing files are replaced.

    Returns
    -------
    list of Path
        The files written.
    """
    paths = []
    for name, (prediction, target) in tables.items():
        path = Path(folder) / f"{name}_{split}.out"
        write_table(path, np.hstack([prediction, target]))
        paths.append(path)
    return paths


def write_table(path: str | Path, rows: np.ndarray) -> None:
    """Write rows of numbers (shape (rows, columns)) with six digits; the file appears complete or not at all."""
    text = "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in rows.tolist())
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(text, encoding="ascii")


def table_errors(tables: dict[str, tuple[np.ndarray, np.ndarray]], atomic: bool = False) -> dict[str, float]:
    """Return the RMSE of each table as GPUMD defines it for ``loss.out``, without missing targets.

    With `atomic`, the sum of squares is divided by six times the number of atoms, also for dipoles, as in GPUMD.
    """
    errors = {}
    for name, (prediction, target) in tables.items():
        known = target[:, 0] != MISSING
        count = known.sum() * (6 if atomic else target.shape[1])
        squares = float(((prediction - target)[known] ** 2).sum())
        errors[name] = (squares / count) ** 0.5 if count else 0.0
    return errors


def write_restart(path: str | Path, mu: np.ndarray, sigma: np.ndarray) -> None:
    """Write ``nep.restart``: mean `mu` and width `sigma`, shape (n_parameters,), of the search distribution."""
    text = "".join(f"{m:15.7e} {s:15.7e}\n" for m, s in zip(mu.tolist(), sigma.tolist(), strict=True))
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(text, encoding="ascii")


def read_restart(path: str | Path, n_parameters: int, owner: str = "nep.in") -> tuple[np.ndarray, np.ndarray]:
    """Read ``nep.restart``.

    Parameters
    ----------
    path : str or path
    n_parameters : int
        Number of rows expected.
    owner : str, default "nep.in"
        File that determines this number, for the message.

    Returns
    -------
    mu, sigma : ndarray, shape (n_parameters,)

    Raises
    ------
    DataFileError
        If the file cannot be read, has another number of rows, numbers that are not finite, or negative widths.  A
        width of 0 is allowed; it keeps a parameter fixed.
    """
    path = Path(path)
    text = read_text(path)
    try:
        values = np.array([[float(word) for word in line.split()] for line in text.splitlines()])
    except ValueError as error:
        raise DataFileError(f"{path}: cannot be read as a nep.restart of two columns ({error})") from error
    if values.shape != (n_parameters, 2):
        raise DataFileError(
            f"{path}: {owner} needs {n_parameters} rows of mean and width, found an array of shape {values.shape}: "
            f"remove the file, or use the {Path(owner).name} that it belongs to"
        )
    if not np.isfinite(values).all() or (values[:, 1] < 0).any():
        raise DataFileError(f"{path}: means must be finite, and widths finite and not negative")
    return values[:, 0], values[:, 1]
