"""Fit of a polynomial potential of pypolymlp to displaced supercells, with progress, and resumed after a kill.

Nearly all time of a fit goes into pypolymlp's normal equations, which are sums over supercells.  They are computed in
small batches here, and stored from time to time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.content import read_arrays
from ...io.displaced_supercells import SupercellData
from ...io.files import atomic_output
from ...progress import Progress
from .polymlp import polymlp_parameters, require_pypolymlp, same_print_options

log = logging.getLogger(__name__)

STAGES = ("train", "test")
"""The normal equations of the training supercells are summed first, then those of the test supercells."""
SUMS = ("xtx", "xty", "weights", "xe_sum", "xe_sq_sum", "y_sq_norm", "total_n_data")
"""Attributes of pypolymlp's ``PolymlpDataXY`` that are stored."""
SAVE_INTERVAL = 30.0
"""Time between two checkpoints in seconds. One has some hundred MB with phono3py's default parameters."""
PER_THREAD = 4
"""Number of supercells for each thread in one batch."""


def train_polymlp(data: SupercellData, train, test, path, parameters: Mapping[str, Any] | None = None) -> Any:
    """Fit a polynomial potential with pypolymlp, as phono3py does, and write it to a file.

    The regularisation with the smallest error on the test supercells is chosen, so that this error is slightly too
    small.  The normal equations are stored beside the file until the fit is complete (``checkpoints``).

    Parameters
    ----------
    data : SupercellData
    train, test : sequence of int
        Indices of the supercells for the fit, and for the choice of the regularisation.
    path : path
        File to write, usually ``polymlp.yaml``.
    parameters : mapping, optional
        Parameters of pypolymlp by name (:func:`.polymlp.polymlp_parameters`).

    Returns
    -------
    Pypolymlp

    Raises
    ------
    InputError
        If a parameter is unknown or the fit is singular.
    DataFileError
        If a stored file is damaged.
    MissingComponentError
        If pypolymlp is not installed.
    """
    require_pypolymlp()
    options = polymlp_parameters(parameters or {})
    files, batch = checkpoints(path), PER_THREAD * _threads()
    key = _key(data, train, test, options, batch)
    try:
        with same_print_options(), _summed(files, key, len(train), len(test)):
            potential = _prepared(data, list(train), list(test), options).fit(batch_size=batch)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"pypolymlp cannot fit these {len(train)} supercells: {error}") from error
    with atomic_output(path, force=True) as temporary:
        potential.save_mlp(filename=str(temporary))
    for file in files.values():
        file.unlink(missing_ok=True)
    return potential


def checkpoints(path) -> dict[str, Path]:
    """Return the files of the normal equations of a potential file, by the names of ``STAGES``.

    Examples
    --------
    >>> [file.name for file in checkpoints("polymlp.yaml").values()]
    ['polymlp-train.npz', 'polymlp-test.npz']
    """
    path = Path(path)
    return {stage: path.with_name(f"{path.stem}-{stage}.npz") for stage in STAGES}


def _threads() -> int:
    """Return the number of threads that pypolymlp uses."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(asked) if asked.isdigit() and int(asked) else os.cpu_count() or 1


def _key(data: SupercellData, train, test, options, batch: int) -> str:
    """Return a hash of everything that the normal equations depend on."""
    from pypolymlp import __version__

    which, cell = [*train, *test], data.supercell
    digest = hashlib.sha256(repr((options, len(train), len(test), batch, __version__, cell.symbols)).encode())
    arrays = (cell.cell, cell.positions, data.displacements[which], data.forces[which], data.energies[which])
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _prepared(data: SupercellData, train, test, options):
    """Return a ``Pypolymlp`` object with parameters and supercells."""
    from pypolymlp.mlp_dev.pypolymlp import Pypolymlp
    from pypolymlp.utils.phonopy_utils import phonopy_cell_to_structure

    energies = options["atom_energies"] or {}
    elements = tuple(dict.fromkeys(data.supercell.symbols))
    potential = Pypolymlp()
    potential.set_params(
        elements=elements,
        atomic_energy=tuple(energies[element] if energies else 0.0 for element in elements),
        **{name: value for name, value in options.items() if name != "atom_energies"},
    )
    # pypolymlp's arrays have the shape (supercells, 3, atoms)
    rows = [
        array
        for which in (train, test)
        for array in (
            data.displacements[which].transpose(0, 2, 1),
            data.forces[which].transpose(0, 2, 1),
            data.energies[which],
        )
    ]
    potential.set_datasets_displacements(*rows, phonopy_cell_to_structure(data.supercell))
    return potential


@contextlib.contextmanager
def _summed(files: Mapping[str, Path], key: str, train: int, test: int) -> Iterator[None]:
    """Let pypolymlp start from stored normal equations, and store them, while it fits.

    pypolymlp 0.22 has no option for this, so that its function for one batch is replaced within the block.
    """
    from pypolymlp.mlp_dev.core import data_sequential

    compute = data_sequential._compute_products_single_batch
    data_sequential._compute_products_single_batch = _Sums(compute, files, key, train, test)
    try:
        yield
    finally:
        data_sequential._compute_products_single_batch = compute


class _Sums:
    """pypolymlp's function that adds one batch to the normal equations, which are stored and resumed."""

    def __init__(self, compute: Callable, files: Mapping[str, Path], key: str, train: int, test: int):
        self.compute, self.files, self.key, self.train = compute, files, key, train
        self.previous = {stage: _read(file, key) for stage, file in files.items()}
        self.batches, self.done = dict.fromkeys(STAGES, 0), dict.fromkeys(STAGES, 0)
        before = sum(int(stored["supercells"]) for stored in self.previous.values() if stored)
        self.progress = Progress(log, "supercells in the fit", train + test, before)
        self.saved = time.monotonic()

    def __call__(self, sums, params, batch, **options):
        """Return the sums with one more batch; those of a previous run have all its batches."""
        stage = "train" if options["scales"] is None else "test"
        self.batches[stage] += 1
        self.done[stage] += len(batch.structures)
        sums = self._with(sums, params, batch, stage, options)
        if stage == "train" and self.done[stage] == self.train:
            log.info("solving the normal equations with each regularisation")
        return sums

    def _with(self, sums, params, batch, stage, options):
        """Return the sums with one more batch, which are stored from time to time, or those of a previous run."""
        stored = self.previous[stage]
        if stored and self.batches[stage] <= stored["batches"]:
            for name in SUMS:
                if name in stored:
                    setattr(sums, name, stored[name])
            return sums
        sums = self.compute(sums, params, batch, **options)
        self.progress.advance(len(batch.structures))
        if time.monotonic() - self.saved > SAVE_INTERVAL:
            content: dict[str, Any] = {name: getattr(sums, name) for name in SUMS if getattr(sums, name) is not None}
            content |= {"key": self.key, "batches": self.batches[stage], "supercells": self.done[stage]}
            with atomic_output(self.files[stage], force=True) as temporary:
                np.savez(temporary, **content)
            self.saved = time.monotonic()
        return sums


def _read(file: Path, key: str) -> dict[str, Any] | None:
    """Return the stored sums; None if there are none, or they belong to other supercells or parameters."""
    if not file.exists():
        return None
    stored: dict[str, Any] = read_arrays(file)
    return stored if str(stored.pop("key", "")) == key else None
