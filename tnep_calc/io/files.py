"""Safe reading and writing of files: size checks, clear errors for damaged files, atomic output, and checksums."""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import lzma
import os
import re
import socket
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import DataFileError, InputError, TnepError

EXPANSION = 300
"""Largest allowed ratio of decompressed to compressed size (for text, 5 to 50 are usual)."""
SMALL = 1 << 26
"""Decompressed size in bytes that is always allowed."""
_MEMORY_SHARE = 0.5  # largest file that is read as a whole, relative to the free memory

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open}
COMPRESSED = tuple(_OPENERS)
"""Suffixes of compressed files that readers decompress."""
UTF_8_MARK = b"\xef\xbb\xbf"
"""Byte order mark with which a text file in UTF-8 may start."""
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
DAMAGED = (
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
"""Exceptions that parsers raise on damaged files."""


@contextmanager
def reading(
    path, what: str, error: type[TnepError] = DataFileError, caught: tuple[type[Exception], ...] = DAMAGED
) -> Iterator[None]:
    """Turn any exception that a parser raises on a damaged file into an error of one line that names the file.

    Parameters
    ----------
    path : path
    what : str
        Expected content of the file, e.g. ``"a time series (HDF5)"``.
    error : type, default DataFileError
        Class of the error to raise. Errors of the package (``TnepError``) are not changed.
    caught : tuple of type, default DAMAGED
        Exceptions to turn into it; ``(Exception,)`` for a library that raises its own.

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
        raise error(f"{path}: needs more memory than is free; it may be damaged, or not {what}") from problem
    except caught as problem:
        words = (str(problem).strip().splitlines() or [""])[0][:200]
        raise error(f"{path}: damaged, or not {what} ({type(problem).__name__}: {words})") from problem


def files_matching(folder: Path, name: str) -> list[Path]:
    """Return the file of a name, or all files that match a pattern, sorted by name.

    Parameters
    ----------
    folder : path
        Where relative names start.
    name : str
        Name of a file; if there is none of this name, ``*``, ``?`` and ``[...]`` stand for any file that matches, and
        ``**`` for any folders.

    Raises
    ------
    DataFileError
        If no file matches a pattern.
    """
    if not glob.has_magic(name) or (folder / name).exists():
        return [folder / name]
    found = sorted(glob.glob(name, root_dir=folder, recursive=True))
    files = [folder / match for match in found if not (folder / match).is_dir()]
    if not files:
        raise DataFileError(f"{folder / name}: no file matches this pattern: correct the pattern, or name the files")
    return files


def check_readable(path) -> Path:
    """Return the path of a regular file that fits in memory.

    Raises
    ------
    DataFileError
        If the file is missing, is a folder, pipe, socket or device, or is larger than half of the free memory.
    """
    path, free = Path(path), _free_memory()
    if (size := regular_size(path)) > _MEMORY_SHARE * free:
        raise DataFileError(
            f"{path}: has {size / 1e9:.1f} GB, more than half of the free memory ({free / 1e9:.1f} GB): "
            "split it, or use a larger machine"
        )
    return path


def regular_size(path) -> int:
    """Return the size in bytes of a regular file.

    Raises
    ------
    DataFileError
        If the file is missing, or is a folder, pipe, socket or device.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        words = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise DataFileError(f"{path}: {words}") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
        raise DataFileError(f"{path}: is {kind}, expected a regular file")
    return status.st_size


def _free_memory():
    """Return the available memory in bytes, in which the file cache counts as free."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 1 << 34


@contextmanager
def open_stream(path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, decompressed if its name ends in ``.gz``, ``.bz2`` or ``.xz``.

    A byte order mark of UTF-8 at its start is skipped.

    Raises
    ------
    DataFileError
        If the file is missing, is not a regular file, cannot be read, is a damaged archive, or is text in UTF-16.
    """
    path = check_readable(path)
    opener = _OPENERS.get(path.suffix.lower())
    with reading(path, f"a {path.suffix} archive" if opener else "a readable file"):
        with (opener or open)(path, "rb") as stream:
            start = stream.read(len(UTF_8_MARK))
            if start.startswith(_UTF_16_MARKS):
                raise DataFileError(f"{path}: is text in UTF-16, expected UTF-8: save it in this encoding")
            if start != UTF_8_MARK:
                stream.seek(0)
            yield stream


def most_bytes(path) -> int:
    """Return the largest number of bytes that a file may have when it is decompressed."""
    return max(SMALL, EXPANSION * Path(path).stat().st_size)


def check_expansion(path) -> None:
    """Raise ``DataFileError`` if a compressed file is damaged or unpacks to more than :func:`most_bytes`."""
    if Path(path).suffix.lower() not in _OPENERS:
        return
    with open_stream(path) as stream:
        left = most_bytes(path)
        while block := stream.read(1 << 22):
            left -= len(block)
            if left < 0:
                raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")


def check_members(path, what: str = "a zip archive") -> None:
    """Raise ``DataFileError`` if a file is no zip archive (of `what`), or unpacks to more than :func:`most_bytes`."""
    with reading(path, what), zipfile.ZipFile(check_readable(path)) as archive:
        if sum(member.file_size for member in archive.infolist()) > most_bytes(path):
            raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")


def read_bytes(path) -> bytes:
    """Return the content of a file as :func:`open_stream` gives it.

    Raises
    ------
    DataFileError
        If the file is missing, is not a regular file, cannot be read, is damaged, or is both more than ``EXPANSION``
        times as large and more than ``SMALL`` bytes when decompressed.
    """
    path = check_readable(path)
    with open_stream(path) as stream:
        if path.suffix.lower() not in _OPENERS:
            return stream.read()
        most = most_bytes(path)
        data = stream.read(most + 1)
        if len(data) > most:
            raise DataFileError(f"{path}: unpacks to more than {EXPANSION} times its size, so it is not read")
        return data


def read_text(path) -> str:
    """Return the text (UTF-8) of a file, decompressed as in :func:`read_bytes`; DataFileError if it is not text."""
    return text_of(path, read_bytes(path))


def text_of(path, data: bytes) -> str:
    """Return `data`, the content of the file `path`, as text (UTF-8); DataFileError if it is not text."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path}: is not a text file ({error})") from error


def check_output(path, force: bool = False, inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """Return the path of a file to be written.

    Parameters
    ----------
    path : path
    force : bool, default False
        Whether an existing file may be overwritten.
    inputs : iterable of path
        Files that are read, none of which may be the output.

    Raises
    ------
    InputError
        If the file exists and `force` is not set, its folder does not exist, or the path is not a regular file or is
        an input (also through a link).
    """
    path = Path(path)
    for source in inputs:
        if (
            path.resolve() == Path(source).resolve()
            or path.exists()
            and os.path.exists(source)
            and path.samefile(source)
        ):
            raise InputError(f"{path} is a file that is read; give another name for the output")
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
    """Provide a temporary file in the same folder, which is renamed to `path` if the block succeeds, else removed.

    The temporary name is ``.STEM.tnep-MACHINE-PROCESS-RANDOM.SUFFIX``; some writers choose the format by the suffix. A
    process that is killed leaves it behind; it is removed when the same output is written again on that machine.

    Raises
    ------
    InputError
        As :func:`check_output`.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_output(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("done")
    ...     (Path(folder) / "a.txt").read_text()
    'done'
    """
    path = check_output(path, force)
    _remove_left_behind(path)
    handle, name = tempfile.mkstemp(
        prefix=f"{_temporary_prefix(path)}{os.getpid()}-", suffix=path.suffix, dir=path.parent
    )
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


def _temporary_prefix(path: Path) -> str:
    """Return the start of the names of temporary files for an output on this machine, up to the process number."""
    machine = hashlib.sha256(socket.gethostname().encode(errors="replace")).hexdigest()[:6]
    return f".{path.stem[:50]}.tnep-{machine}-"


def _remove_left_behind(path: Path) -> None:
    """Remove temporary files of an output whose process on this machine was killed."""
    name = re.compile(re.escape(_temporary_prefix(path)) + r"(\d+)-\w+" + re.escape(path.suffix))
    for other in os.listdir(path.parent):
        found = name.fullmatch(other)
        if found and not _is_running(int(found[1])):
            (path.parent / other).unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        pass
    return True


def sha256(path) -> str:
    """Return the SHA-256 of a regular file (of its bytes, not decompressed), in hexadecimal; else DataFileError."""
    regular_size(path)
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
