"""Lattice thermal conductivity and linewidths from force constants, by phono3py.

The methods are the relaxation-time approximation, and the direct solution of the linearized Boltzmann equation
(L. Chaput, Phys. Rev. Lett. 110, 265506 (2013)), both with the tetrahedron method.  phono3py does the calculation.
This module adds progress, resuming, and tables.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...io.content import read_arrays
from ...io.files import atomic_output
from ...io.hdf5 import check_hdf5
from ...progress import Progress
from ...units import THZ_TO_INV_CM

if TYPE_CHECKING:
    from phono3py import Phono3py

log = logging.getLogger(__name__)

METHODS = ("rta", "direct")
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Order of the components of kappa, as in phono3py."""
REPRODUCIBLE = {"average_degenerate_weights": True, "exclude_gamma_acoustic": True}
"""Options of phono3py's ``init_phph_interaction``, where they are off by default.

Without them kappa depends on the arbitrary eigenvectors of degenerate modes.  For Si on a 4 x 4 x 4 mesh, it then
differs by 0.3 % between force constants that are equal to 1e-13.
"""
BATCH = 4
"""Number of grid points between two lines of progress, and the largest number that a killed run loses."""
DEGENERATE = 1e-4
"""Largest difference (THz) of the frequencies of degenerate modes."""
UNSTABLE = -0.05
"""Frequency (THz; imaginary ones are negative) below which a warning is logged."""


@dataclass(frozen=True)
class Conductivity:
    """Lattice thermal conductivity of a crystal, and the contributions of its modes.

    Attributes
    ----------
    method : str
        ``"rta"`` or ``"direct"``.
    mesh : ndarray of int, shape (3,)
        Numbers of grid points.
    temperatures : ndarray, shape (n_temperatures,), in K
    kappa : ndarray, shape (n_temperatures, 6), in W/(m K)
        Components xx, yy, zz, yz, xz, xy.
    frequencies : ndarray, shape (n_points, n_modes), in THz
        Frequencies at the irreducible grid points.
    weights : ndarray of int, shape (n_points,)
        Number of equivalent grid points of each irreducible one.
    mode_kappa : ndarray, shape (n_temperatures, n_points, n_modes, 6), in W/(m K)
        Contributions of the modes, summed over equivalent grid points. Their sum is `kappa`.
    widths : ndarray, shape (n_temperatures, n_points, n_modes), in THz
        Full widths at half maximum, ``2 Gamma``, of phonon-phonon and, if included, isotope scattering.
    """

    method: str
    mesh: np.ndarray
    temperatures: np.ndarray
    kappa: np.ndarray
    frequencies: np.ndarray
    weights: np.ndarray
    mode_kappa: np.ndarray
    widths: np.ndarray

    def cumulative(self, temperature: float, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
        """Return the cumulative conductivity, the contribution of all modes up to a frequency.

        Returns
        -------
        frequencies : ndarray, shape (points,), in THz
        sums : ndarray, shape (points,), in W/(m K)
            Contribution to the mean of xx, yy and zz.

        Raises
        ------
        InputError
            If there is no such temperature.
        """
        of_mode = self.mode_kappa[self._index(temperature), ..., :3].mean(axis=-1).ravel()
        at = np.linspace(0, self.frequencies.max() * 1.001, points)
        order = np.argsort(self.frequencies.ravel())
        sums = np.concatenate([[0.0], np.cumsum(of_mode[order])])
        return at, sums[np.searchsorted(self.frequencies.ravel()[order], at, side="right")]

    def at_gamma(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Return frequencies and full widths at half maximum at Gamma, both in cm^-1, shape (n_modes,).

        The frequencies are those without the non-analytic term, because q has no direction at Gamma.  Widths of
        degenerate modes, which differ slightly in the tetrahedron method, are averaged.
        """
        # Gamma is the first grid point of phono3py's meshes
        frequencies, widths = self.frequencies[0], self.widths[self._index(temperature), 0].copy()
        first = 0
        for k in range(1, len(widths) + 1):
            if k == len(widths) or frequencies[k] - frequencies[first] > DEGENERATE:
                widths[first:k] = widths[first:k].mean()
                first = k
        return frequencies * THZ_TO_INV_CM, widths * THZ_TO_INV_CM

    def _index(self, temperature):
        near = int(np.abs(self.temperatures - temperature).argmin())
        if abs(self.temperatures[near] - temperature) > 1e-6:
            raise InputError(f"no conductivity at {temperature:g} K; there are {_listed(self.temperatures)} K")
        return near


def _listed(numbers) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def thermal_conductivity(
    phono3py: Phono3py,
    mesh,
    temperatures=(300.0,),
    method: str = "rta",
    isotopes: bool = False,
    boundary: float | None = None,
    folder=None,
) -> Conductivity:
    """Return the lattice thermal conductivity.

    Parameters
    ----------
    phono3py : Phono3py
        With fc2 and fc3, and with ``nac_params`` for the non-analytic term.
    mesh : sequence of three int, or float
        Numbers of grid points, or a length in Å; a larger length is a denser mesh.
    temperatures : sequence of float, in K
    method : {"rta", "direct"}
        Relaxation-time approximation or direct solution.
    isotopes : bool, default False
        Whether to add scattering by the natural distribution of isotopes.
    boundary : float, optional, in micrometres
        Mean free path of boundary scattering. Default: no boundary scattering.
    folder : path, optional
        Folder for phono3py's file ``kappa-m*.hdf5``. Finished grid points are stored in it until the end, so that a
        killed run resumes. In the direct solution these are the rows of the collision matrix, which take as much
        space as phono3py needs memory for it.

    Returns
    -------
    Conductivity

    Raises
    ------
    InputError
        If an option is unknown or out of range, or force constants are missing.

    Notes
    -----
    The integration weights of degenerate bands are averaged, and the acoustic modes at Gamma are exactly zero
    (``REPRODUCIBLE``), so that equal force constants give equal conductivities.  The command ``phono3py`` does the same
    with ``--average-degenerate-weights`` and ``--exclude-gamma-acoustic``.

    phono3py reads and writes its files in the current folder, so that this function changes it while it runs.
    """
    temperatures = checked_temperatures(temperatures)
    if method not in METHODS:
        raise InputError(f"the method must be {' or '.join(METHODS)}, got '{method}'")
    if phono3py.fc2 is None or phono3py.fc3 is None:
        raise InputError("the conductivity needs second- and third-order force constants")
    if boundary is not None and not boundary > 0:
        raise InputError(f"the mean free path of boundary scattering must be positive, got {boundary:g}")
    phono3py.mesh_numbers = checked_mesh(mesh)
    phono3py.init_phph_interaction(**REPRODUCIBLE)
    options: dict[str, Any] = {
        "temperatures": temperatures,
        "is_isotope": isotopes,
        "boundary_mfp": boundary,
        "is_LBTE": method == "direct",
        "log_level": 0,
    }
    points = _irreducible_points(phono3py)
    log.info(
        "%s, mesh %s: %d irreducible grid points",
        "direct solution" if method == "direct" else "relaxation-time approximation",
        " x ".join(map(str, phono3py.mesh_numbers)),
        len(points),
    )
    if method == "direct":
        _direct(phono3py, points, options, None if folder is None else Path(folder).resolve())
    elif folder is None:
        phono3py.run_thermal_conductivity(**options)
    else:
        _by_grid_points(phono3py, points, options, Path(folder).resolve())
    result = _result(phono3py, method)
    if result.frequencies.min() < UNSTABLE:
        log.warning(
            "the lowest frequency is imaginary, %.3g THz: is the structure relaxed with this potential?",
            result.frequencies.min(),
        )
    return result


def checked_temperatures(temperatures) -> np.ndarray:
    """Return temperatures in K as an array, shape (n,); InputError if there are none or one is not positive."""
    found = np.atleast_1d(np.asarray(temperatures, dtype=float))
    if not (len(found) and np.isfinite(found).all() and (found > 0).all()):
        raise InputError(f"temperatures must be positive, got {_listed(found)} K")
    return found


def checked_mesh(mesh):
    """Return a mesh (ndarray of three int) or the length of one (float); InputError if it is neither."""
    numbers = np.atleast_1d(np.asarray(mesh))
    if numbers.size == 1 and numbers.dtype.kind == "f" and numbers[0] > 0:
        return float(numbers[0])
    if numbers.size != 3 or numbers.dtype.kind not in "iu" or (numbers < 1).any():
        raise InputError(f"a mesh is three positive integers, or one length in Å, got {np.asarray(mesh).tolist()}")
    return numbers


def _irreducible_points(phono3py) -> np.ndarray:
    from phonopy.phonon.grid import get_ir_grid_points

    return np.array(phono3py.grid.grg2bzg[get_ir_grid_points(phono3py.grid)[0]])


def _direct(phono3py, points, options, folder: Path | None) -> None:
    """Solve the Boltzmann equation directly, with the rows of the collision matrix stored in files until the end."""
    if folder is None:
        with _rows_of({int(point): None for point in points}):
            phono3py.run_thermal_conductivity(**options)
        return
    scratch = folder / f".collisions-{_key(phono3py, options)[:16]}"
    scratch.mkdir(exist_ok=True)
    files = {int(point): scratch / f"row-{point}.npz" for point in points}
    with contextlib.chdir(folder), _rows_of(files):
        phono3py.run_thermal_conductivity(**options, write_kappa=True)
    for file in files.values():
        file.unlink()
    scratch.rmdir()


@contextlib.contextmanager
def _rows_of(files: Mapping[int, Path | None]) -> Iterator[None]:
    """Log the progress of phono3py's rows of the collision matrix, and take those from files that are there.

    phono3py 4.10 computes all rows or none, so that its function for one row is replaced within the block.

    Parameters
    ----------
    files : mapping of int to path or None
        File of the row of each grid point, in phono3py's order; None: rows are not stored.
    """
    from phono3py.conductivity.lbte_collision_solver import LBTECollisionResult, LBTECollisionSolver

    compute, last = LBTECollisionSolver.compute, list(files)[-1]
    before = {file for file in files.values() if file is not None and file.exists()}
    progress = Progress(log, "grid points", len(files), len(before))

    def row(solver, grid_point):
        file = files[grid_point]
        if file in before:
            stored = read_arrays(file, ("gamma", "row"))
            result = LBTECollisionResult(stored["gamma"], stored["row"])
        else:
            result = compute(solver, grid_point)
            if file is not None:
                with atomic_output(file) as temporary:
                    np.savez(temporary, gamma=result.gamma, row=result.collision_row)
            progress.advance()
        if grid_point == last:
            log.info("solving the Boltzmann equation")
        return result

    LBTECollisionSolver.compute = row  # type: ignore[method-assign]
    try:
        yield
    finally:
        LBTECollisionSolver.compute = compute  # type: ignore[method-assign]


def _by_grid_points(phono3py, points, options, folder: Path) -> None:
    """Compute the linewidths in batches of grid points, store each point in a file, and combine them at the end."""
    key = _key(phono3py, options)
    scratch = folder / f".linewidths-{key[:16]}"
    scratch.mkdir(exist_ok=True)
    mesh = "".join(map(str, phono3py.mesh_numbers))
    files = {int(point): scratch / f"kappa-m{mesh}-g{point}.hdf5" for point in points}
    missing = [point for point, file in files.items() if not file.exists()]
    for file in files.values():
        if file.exists():
            check_hdf5(file)
    progress = Progress(log, "grid points", len(points), len(points) - len(missing))
    with contextlib.chdir(scratch):
        for k in range(0, len(missing), BATCH):
            batch = missing[k : k + BATCH]
            # phono3py's writes are not atomic, so that the files of a batch are moved when all are complete
            with _batch_folder(scratch, files, batch):
                phono3py.run_thermal_conductivity(**options, grid_points=batch, write_gamma=True)
            progress.advance(len(batch))
        phono3py.run_thermal_conductivity(**options, read_gamma=True, write_kappa=True)
    for file in scratch.glob("kappa-*.hdf5"):
        if file in files.values():
            file.unlink()
        else:
            file.replace(folder / file.name)
    scratch.rmdir()


@contextlib.contextmanager
def _batch_folder(scratch: Path, files, batch):
    """Work in a separate folder, and move the files of the batch to their places if the block succeeds."""
    own = scratch / "batch"
    own.mkdir(exist_ok=True)
    with contextlib.chdir(own):
        yield
    for point in batch:
        (own / files[point].name).replace(files[point])
    for left in own.iterdir():
        left.unlink()
    own.rmdir()


def _key(phono3py, options) -> str:
    """Return a hash of everything that the linewidths depend on."""
    digest = hashlib.sha256()
    arrays = [
        phono3py.fc2,
        phono3py.fc3,
        phono3py.mesh_numbers,
        options["temperatures"],
        phono3py.primitive.cell,
        phono3py.masses,
    ]
    if phono3py.nac_params is not None:
        arrays += [phono3py.nac_params["born"], phono3py.nac_params["dielectric"]]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((options["is_isotope"], options["boundary_mfp"])).encode())
    return digest.hexdigest()


def _result(phono3py, method) -> Conductivity:
    found = phono3py.thermal_conductivity
    widths = 2 * found.gamma[0]
    if found.gamma_isotope is not None:
        widths = widths + 2 * found.gamma_isotope[0]
    mesh = np.array(phono3py.mesh_numbers)
    return Conductivity(
        method,
        mesh,
        np.array(found.temperatures),
        np.array(found.kappa[0]),
        np.array(found.frequencies),
        np.array(found.grid_weights),
        np.array(found.mode_kappa[0]) / mesh.prod(),
        widths,
    )
