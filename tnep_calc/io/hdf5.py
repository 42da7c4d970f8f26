"""HDF5: datasets are checked before they are read, and files are written so that a full disk is an ordinary error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataFileError
from .files import EXPANSION, SMALL, atomic_output, check_readable, reading
from .trial import tried

IN_MEMORY = 1 << 29
"""Size in bytes (512 MiB) up to which a file is made in memory and then written as a whole."""
_OVERHEAD = 1 << 20  # bytes of a file besides its numbers, at most


@contextmanager
def hdf5_output(path, force: bool, size: int) -> Iterator[Any]:
    """Provide an open HDF5 file, which appears at `path` complete or not at all.

    The HDF5 library may crash when it cannot write, e.g. on a full disk.  Therefore files of ordinary size are made in
    memory, and the space for larger ones is reserved first.

    Parameters
    ----------
    path : path
    force : bool
        Overwrite an existing file.
    size : int
        Number of bytes of the datasets.

    Yields
    ------
    h5py.File
        Links and attributes keep their order.

    Raises
    ------
    InputError
        As :func:`tnep_calc.io.files.check_output`.
    OSError
        If the file cannot be written.
    """
    import h5py

    with atomic_output(path, force) as temporary:
        if size <= IN_MEMORY:
            with h5py.File(temporary, "w", driver="core", backing_store=False, track_order=True) as file:
                yield file
                file.flush()
                image = file.id.get_file_image()
            temporary.write_bytes(image)
            return
        with open(temporary, "wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size + _OVERHEAD)
        with h5py.File(temporary, "w", track_order=True) as file:
            yield file


def check_rows(data, path, size: int | None = None) -> Any:
    """Return a dataset of numbers after checking its declared size.

    Parameters
    ----------
    data : h5py.Dataset
    path : path
        File, for the message.
    size : int, optional
        Size of the file in bytes (default: that of `path`).

    Raises
    ------
    DataFileError
        If the dataset is not an array of numbers, or declares more of them than its file can contain.
    """
    if not hasattr(data, "dtype") or data.dtype.kind not in "fiu":
        raise DataFileError(f"{path}: '{data.name}' must be an array of numbers")
    _check_size(data, path, size)
    return data


def _check_size(data, path, size=None):
    size = Path(path).stat().st_size if size is None else size
    declared = data.size * data.dtype.itemsize
    most = max(SMALL, EXPANSION * size if data.chunks else size)
    if declared > most:
        raise DataFileError(
            f"{path}: '{data.name}' declares {data.shape} numbers, more than a file of {size} bytes can contain"
        )


def read_dataset(data, path, size: int | None = None) -> np.ndarray:
    """Return the numbers of a dataset in memory, after :func:`check_rows`."""
    return np.asarray(check_rows(data, path, size)[()])


def check_hdf5(path) -> None:
    """Check a file that another library will read: all its datasets are read first, in a child process.

    Raises
    ------
    DataFileError
        If the file is missing or damaged, the HDF5 library hangs or crashes, or a dataset declares more values than the
        file can contain.
    """
    import h5py

    def read_one(_, item):
        if isinstance(item, h5py.Dataset):
            _check_size(item, path)
            item[()]

    def read():
        with h5py.File(path, "r") as file:
            file.visititems(read_one)

    with reading(path, "a file of HDF5"):
        tried(check_readable(path), "the HDF5 library", read)
