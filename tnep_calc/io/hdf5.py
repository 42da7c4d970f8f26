"""Datasets of HDF5 whose declared size is compared with the file before memory is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataFileError
from .files import EXPANSION, SMALL


def check_rows(data, path, size: int | None = None) -> Any:
    """Return a dataset; DataFileError if it declares more numbers than its file can hold.

    Parameters
    ----------
    data : h5py.Dataset
    path : path
        Named in the message.
    size : int, optional
        Size of the file in bytes; None: that of `path`.
    """
    if not hasattr(data, "dtype") or data.dtype.kind not in "fiu":
        raise DataFileError(f"{path}: '{data.name}' must be an array of numbers")
    size = Path(path).stat().st_size if size is None else size
    declared = data.size * data.dtype.itemsize
    most = max(SMALL, EXPANSION * size if data.chunks else size)
    if declared > most:
        raise DataFileError(
            f"{path}: '{data.name}' declares {data.shape} numbers, more than a file of {size} bytes holds"
        )
    return data


def read_dataset(data, path, size: int | None = None) -> np.ndarray:
    """Return the numbers of a dataset whose size :func:`check_rows` accepts."""
    return np.asarray(check_rows(data, path, size)[()])
