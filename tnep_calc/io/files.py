"""Writing without half-written or overwritten files, and what an output says about its inputs."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import re
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataFileError, InputError, TnepError

EXPANSION = 300
"""Largest size of an unpacked file, as a multiple of the packed one (text packs to between a fifth and a fiftieth)."""
SMALL = 1 << 26
"""An unpacked file of so many bytes is always allowed."""
_MEMORY_SHARE = 0.5  # of the free memory: the largest file that is read as a whole

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
COMPRESSED = tuple(_OPENERS)
"""Suffixes of compressed files that readers unpack."""
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
    zipfile.BadZipFile,
    struct.error,
)


@contextmanager
def reading(path, what: str, error: type[TnepError] = DataFileError) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one line that names the file.

    Parameters
    ----------
    path : path
    what : str
        What the file should be, e.g. ``"a time series (HDF5)"``.
    error : type, default DataFileError
        The error to raise; errors of the package go through as they are.

    Examples
    --------
    >>> with reading("run.h5", "a time series"):
    ...     [][3]
    Traceback (most recent call last):
    tnep_calc.errors.DataFileError: run.h5: damaged, or not a time series (IndexError: list index out of range)
    """
    try:
        yield
    except TnepError:
        raise
    except MemoryError as problem:
        raise error(f"{path}: needs more memory than there is; it may be damaged, or not {what}") from problem
    except _DAMAGED as problem:
        words = (str(problem).strip().splitlines() or [""])[0][:200]
        raise error(f"{path}: damaged, or not {what} ({type(problem).__name__}: {words})") from problem


def check_readable(path) -> Path:
    """Return the path of a regular file that fits in memory; DataFileError for anything else (pipe, device, folder)."""
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        words = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise DataFileError(f"{path}: {words}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise DataFileError(f"{path}: is {kind}, expected a regular file")
    free = _free_memory()
    if status.st_size > _MEMORY_SHARE * free:
        raise DataFileError(
            f"{path}: has {status.st_size / 1e9:.1f} GB, more than half of the free memory ({free / 1e9:.1f} GB): "
            "split it, or use a larger machine"
        )
    return path


def _free_memory():
    """Return the memory that programs can still have, in bytes: the cache of files counts as free."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 1 << 34


def read_bytes(path) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``, ``.bz2`` or ``.xz``.

    Raises
    ------
    DataFileError
        If the file is missing, no regular file, cannot be read, is damaged, or unpacks to more than ``EXPANSION``
        times its size.
    """
    path = check_readable(path)
    opener = _OPENERS.get(path.suffix.lower())
    with reading(path, f"a {path.suffix} archive" if opener else "a readable file"):
        if opener is None:
            return path.read_bytes()
        most = max(SMALL, EXPANSION * path.stat().st_size)
        with opener(path, "rb") as stream:
            data = stream.read(most + 1)
        if len(data) > most:
            raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")
        return data


def read_text(path) -> str:
    """Return the text of a file, unpacked as by :func:`read_bytes`; DataFileError if it is not text."""
    return text_of(path, read_bytes(path))


def text_of(path, data: bytes) -> str:
    """Return the content of a file as text; DataFileError if it is none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path}: is not a text file ({error})") from error


def check_output(path, force: bool = False) -> Path:
    """Return the path of a file to be written; raise InputError if it exists and `force` is not set."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file, and would be replaced by one; give another name")
    if path.exists() and not force:
        raise InputError(f"{path} exists; give another name, or --force to overwrite it")
    return path


@contextmanager
def atomic_output(path, force: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`, renamed to it when the block ends well and removed when not.

    The temporary name keeps the suffix, as some writers choose the format by it.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_output(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("done")
    ...     (Path(folder) / "a.txt").read_text()
    'done'
    """
    path = check_output(path, force)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path) -> str:
    """Return the SHA-256 of a file as it lies on disk, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
