"""Dipole, polarizability and current along a stored trajectory, for every model of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms, units

from ..errors import InputError
from ..io.series.timeseries import Sampled, TimeSeries
from ..io.structures.trajectory import Trajectory
from .tnep import TNEPCalculator

QUANTITIES = {"dipole": "dipole", "polarizability": "susceptibility"}
"""Quantities of a time series, and the argument of the calculator that gives them."""


def evaluate_trajectory(
    frames: Iterable[Atoms],
    calculator: TNEPCalculator,
    interval: float | None = None,
    temperature: float | None = None,
    source: dict[str, str] | None = None,
    command: str = "",
    isolated: bool = False,
    current: bool = False,
) -> list[TimeSeries]:
    """Evaluate the models of a calculator on the frames of a trajectory.

    Parameters
    ----------
    frames : iterable of ase.Atoms, or Trajectory
        All with the same atoms, equally far apart in time; a :class:`tnep_calc.io.structures.trajectory.Trajectory`
        knows its interval and its gaps.
    calculator : TNEPCalculator
        With models of the dipole, the polarizability, or both; ensembles must have equally many members.
    interval : float, in fs, optional
        Time between frames, where these do not know it.
    isolated : bool, default False
        Whether the atoms are a molecule or a cluster; without it frames must have a cell.
    temperature : float, optional, in K
    source : dict, optional
        Provenance of the values, see :class:`tnep_calc.io.series.timeseries.Sampled`.
    command : str
        Kept in the series.
    current : bool
        Whether the current ``sum_j Z_j . v_j``, with the Born charges of every frame and its velocities, is given as
        well, for the cell and for every species.

    Returns
    -------
    list of TimeSeries
        One for each member.  Volume (average, with its spread along the run) and cell (of every frame where they
        differ) are those of the frames.

    Raises
    ------
    InputError
        If there is no model for either, the numbers of members differ, the interval is not positive, the frames do
        not have the same atoms, or the current is wanted of frames without velocities.
    """
    names = [name for name in QUANTITIES if name in calculator.implemented_properties]
    if not names:
        raise InputError("a time series needs a model of the dipole or of the polarizability")
    if interval is not None and not (np.isfinite(interval) and interval > 0):
        raise InputError(f"the interval between frames must be a positive number of fs, got {interval}")
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
    charges: list[np.ndarray] = []
    cells, numbers = [], None
    for k, atoms in enumerate(frames):
        if numbers is None:
            numbers = atoms.numbers
        if not isolated and atoms.cell.rank == 0:
            raise InputError(
                f"frame {k} has no cell, so a crystal would be treated as a cluster: give a structure with the cell "
                "(--structure), or say that the atoms are a molecule or a cluster (--isolated)"
            )
        if not np.array_equal(atoms.numbers, numbers):
            raise InputError(f"frame {k} has other atoms than frame 0: a time series needs one simulation")
        for name in names:
            values[name].append(calculator.get_members(name, atoms))
        if current:
            charges.append(_currents(k, atoms, calculator))
        cells.append(atoms.cell.array.copy())
    counts = {len(values[name][0]) for name in names if values[name]}
    if not counts:
        raise InputError("the trajectory has no frames")
    if len(counts - {1}) > 1:
        raise InputError(f"ensembles of one trajectory need equally many members, got {sorted(counts)}")
    trajectory = frames if isinstance(frames, Trajectory) else None
    if trajectory is None and interval is None:
        raise InputError("the interval between frames is needed")
    dt = trajectory.dt if trajectory is not None else float(interval)  # type: ignore[arg-type]
    starts = tuple(trajectory.starts) if trajectory is not None else (0,)
    volumes = [abs(np.linalg.det(cell)) for cell in cells]
    fixed = all(np.array_equal(cell, cells[0]) for cell in cells)
    known = volumes[0] > 0
    result = []
    for member in range(max(counts)):
        sampled = {
            name: Sampled(
                np.array([v[min(member, len(v) - 1)] for v in values[name]]), dt, starts, provenance=dict(source or {})
            )
            for name in names
        }
        parts = {}
        if current:
            atomic = np.array([row[min(member, len(row) - 1)] for row in charges])
            symbols = np.array(atoms.get_chemical_symbols())
            parts = {str(symbol): atomic[:, symbols == symbol].sum(axis=1) for symbol in dict.fromkeys(symbols)}
            sampled["current"] = Sampled(sum(parts.values()), dt, starts, provenance=dict(source or {}))
        result.append(
            TimeSeries(
                temperature=temperature,
                volume=float(np.mean(volumes)) if known else None,
                cell=(cells[0] if fixed else np.array(cells)) if known else None,
                command=command,
                current_parts=parts,
                volume_spread=float(np.std(volumes) / np.mean(volumes)) if known and not fixed else 0.0,
                **sampled,
            )
        )
    return result


def _currents(frame: int, atoms: Atoms, calculator: TNEPCalculator) -> np.ndarray:
    """Return ``Z_j . v_j`` of every atom in e·Å/fs as each member gives it, shape (members, atoms, 3)."""
    if not atoms.has("momenta"):
        raise InputError(f"frame {frame} has no velocities, which the current needs: let the program write them")
    velocities = atoms.get_velocities() * units.fs
    return np.einsum("mjab,jb->mja", calculator.get_members("born_effective_charges", atoms), velocities)
