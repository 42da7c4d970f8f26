"""Dipole, polarizability and current along a stored trajectory, for every model of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from ..errors import InputError
from ..io.series.mode_series import ModeSeries
from ..io.series.timeseries import Sampled, TimeSeries
from ..io.structures.trajectory import Trajectory
from ..spectra.modes import ModeProjection
from .parts import measure_frames
from .tnep import TNEPCalculator

QUANTITIES = {"dipole": "dipole", "polarizability": "susceptibility"}
"""Quantities of a time series, and the keyword of the calculator whose model gives them."""


def evaluate_trajectory(
    frames: Iterable[Atoms],
    calculator: TNEPCalculator,
    interval: float | None = None,
    temperature: float | None = None,
    source: dict[str, str] | None = None,
    command: str = "",
    isolated: bool = False,
    current: bool = False,
    *,
    modes: ModeProjection | None = None,
    folder: Path | None = None,
    key: str = "",
    restart: bool = False,
    comm: Any = None,
    log: Callable[[str], None] = print,
) -> list[TimeSeries]:
    """Evaluate the models of a calculator on the frames of a trajectory.

    Parameters
    ----------
    frames : iterable of ase.Atoms, or Trajectory
        Frames of the same atoms at equal intervals of time.  A
        :class:`tnep_calc.io.structures.trajectory.Trajectory` stores its interval and its gaps.
    calculator : TNEPCalculator
        With models of the dipole, the polarizability, or both; ensembles must have equally many members.
    interval : float, in fs, optional
        Time between frames; required unless `frames` is a ``Trajectory``.
    temperature : float, optional, in K
    source : dict, optional
        Provenance of the values, see :class:`tnep_calc.io.series.timeseries.Sampled`.
    command : str
        Command line that is stored in the series.
    isolated : bool, default False
        Whether the atoms are a molecule or a cluster; otherwise the frames must have a cell.
    current : bool
        Whether to also compute the current ``sum_j Z_j . v_j`` (e·Å/fs) of the cell and of every species, from the
        Born charges and the velocities of every frame.
    modes : ModeProjection, optional
        Phonon modes to project every frame on: coordinates, and mode velocities if all frames have velocities.
    folder, key, restart, comm, log
        Folder for finished parts, from which a killed run resumes, and MPI ranks that share the frames: see
        :func:`.parts.measure_frames`.

    Returns
    -------
    list of TimeSeries
        One for each member.  The volume is the average over the frames, with its relative spread.  The cell is that of
        the first frame, or of every frame if it varies.

    Raises
    ------
    InputError
        If there is no model of the dipole or the polarizability, the numbers of members differ, there are no frames,
        the interval is missing or not positive, a frame has no cell (unless `isolated`) or other atoms than the first,
        or the current is requested and a frame has no velocities.
    """
    names = [name for name in QUANTITIES if name in calculator.implemented_properties]
    if not names:
        raise InputError("a time series needs a model of the dipole or of the polarizability")
    if interval is not None and not (np.isfinite(interval) and interval > 0):
        raise InputError(f"the interval between frames must be a positive number of fs, got {interval}")
    measure = _Measure(calculator, names, isolated, current, modes)
    found = measure_frames(frames, measure, folder, key, restart, comm, log)
    counts = {found[name].shape[1] for name in names}
    if len(counts - {1}) > 1:
        raise InputError(f"all ensembles must have the same number of members, got {sorted(counts)}")
    trajectory = frames if isinstance(frames, Trajectory) else None
    if trajectory is None and interval is None:
        raise InputError("the interval between frames is not known: give interval=, in fs")
    dt = trajectory.dt if trajectory is not None else float(interval)  # type: ignore[arg-type]
    starts = tuple(trajectory.starts) if trajectory is not None else (0,)
    cells = found["cell"]
    volumes = np.abs(np.linalg.det(cells))
    fixed = bool((cells == cells[0]).all())
    known = volumes[0] > 0
    projected = None if modes is None else _mode_series(modes, found, dt, starts)
    result = []
    for member in range(max(counts)):

        def of(name, member=member):
            array = found[name]
            return array[:, min(member, array.shape[1] - 1)]

        sampled = {name: Sampled(of(name), dt, starts, provenance=dict(source or {})) for name in names}
        parts = {}
        if current:
            parts = {symbol: of("current")[:, k] for k, symbol in enumerate(measure.species)}
            sampled["current"] = Sampled(
                np.sum(list(parts.values()), axis=0), dt, starts, provenance=dict(source or {})
            )
        result.append(
            TimeSeries(
                temperature=temperature,
                volume=float(np.mean(volumes)) if known else None,
                cell=(cells[0] if fixed else cells) if known else None,
                command=command,
                current_parts=parts,
                volume_spread=float(np.std(volumes) / np.mean(volumes)) if known and not fixed else 0.0,
                modes=projected,
                **sampled,
            )
        )
    return result


def _mode_series(modes: ModeProjection, found: dict[str, np.ndarray], dt: float, starts: tuple[int, ...]) -> ModeSeries:
    """Return the series of the modes; without velocities if a frame has none."""
    rates = found["mode_velocities"]
    return ModeSeries(
        found["mode_coordinates"],
        modes.wavenumbers,
        modes.sets,
        modes.labels,
        dt,
        starts,
        None if np.isnan(rates).any() else rates,
        modes.charges,
        modes.raman,
        modes.source,
    )


class _Measure:
    """Arrays of one frame: quantities of every member, currents of the species, cell, and mode coordinates."""

    def __init__(
        self,
        calculator: TNEPCalculator,
        names: list[str],
        isolated: bool,
        current: bool,
        modes: ModeProjection | None = None,
    ):
        self.calculator, self.names, self.isolated, self.current = calculator, names, isolated, current
        self.modes = modes
        self.numbers: np.ndarray | None = None
        self.species: tuple[str, ...] = ()

    def __call__(self, index: int, atoms: Atoms) -> dict[str, np.ndarray]:
        """Return arrays of shape (members, ...), and the cell, shape (3, 3)."""
        found = {name: np.array(self.calculator.get_members(name, atoms)) for name in self.names}
        if self.current:
            found["current"] = self._currents(index, atoms)
        if self.modes is not None:
            found["mode_coordinates"] = self.modes.coordinates(atoms.positions, atoms.cell.array)
            found["mode_velocities"] = np.full_like(found["mode_coordinates"], np.nan)
            if atoms.has("momenta"):
                found["mode_velocities"] = self.modes.rates(atoms.get_velocities() * units.fs)
        return {**found, "cell": atoms.cell.array.copy()}

    def check(self, index: int, atoms: Atoms) -> None:
        """Raise InputError if a frame has no cell (unless `isolated`), or other atoms than the first."""
        if self.numbers is None:
            self.numbers = atoms.numbers
            self.species = tuple(dict.fromkeys(atoms.get_chemical_symbols()))
        if not self.isolated and atoms.cell.rank == 0:
            raise InputError(
                f"frame {index} has no cell, so a crystal would be treated as a cluster: give a structure with the "
                "cell (--structure), or state that the atoms are a molecule or a cluster (--isolated)"
            )
        if not np.array_equal(atoms.numbers, self.numbers):
            raise InputError(f"frame {index} has other atoms than frame 0: a time series must come from one simulation")

    def _currents(self, index: int, atoms: Atoms) -> np.ndarray:
        """Return the currents ``sum_j Z_j . v_j`` of the species in e·Å/fs, shape (members, species, 3)."""
        if not atoms.has("momenta"):
            raise InputError(f"frame {index} has no velocities, which the current needs: write them in the simulation")
        velocities = atoms.get_velocities() * units.fs
        charges = self.calculator.get_members("born_effective_charges", atoms)
        of_atoms = np.einsum("mjab,jb->mja", charges, velocities)
        symbols = np.array(atoms.get_chemical_symbols())
        return np.stack([of_atoms[:, symbols == symbol].sum(axis=1) for symbol in self.species], axis=1)
