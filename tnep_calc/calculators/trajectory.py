"""Dipole and polarizability along a stored trajectory, for every model of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms

from ..errors import InputError
from ..io.series.timeseries import Sampled, TimeSeries
from ..io.structures.trajectory import Trajectory
from .tnep import TNEPCalculator

QUANTITIES = {"dipole": "dipole", "polarizability": "susceptibility"}
"""Quantities of a time series, and the argument of the calculator that gives them."""


def evaluate_trajectory(
    frames: Iterable[Atoms], calculator: TNEPCalculator, interval: float | None = None,
    temperature: float | None = None,
    source: dict[str, str] | None = None, command: str = "", isolated: bool = False,
) -> list[TimeSeries]:  # fmt: skip
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

    Returns
    -------
    list of TimeSeries
        One for each member.  Volume (average) and, where all cells are equal, the cell are those of the frames.

    Raises
    ------
    InputError
        If there is no model for either, the numbers of members differ, the interval is not positive, or the frames do
        not have the same atoms.
    """
    names = [name for name in QUANTITIES if name in calculator.implemented_properties]
    if not names:
        raise InputError("a time series needs a model of the dipole or of the polarizability")
    if interval is not None and not (np.isfinite(interval) and interval > 0):
        raise InputError(f"the interval between frames must be a positive number of fs, got {interval}")
    values: dict[str, list[np.ndarray]] = {name: [] for name in names}
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
            name: Sampled(np.array([v[min(member, len(v) - 1)] for v in values[name]]), dt, starts,
                          provenance=dict(source or {}))
            for name in names
        }  # fmt: skip
        result.append(TimeSeries(
            temperature=temperature, volume=float(np.mean(volumes)) if known else None,
            cell=cells[0] if known and fixed else None, command=command, **sampled,
        ))  # fmt: skip
    return result
