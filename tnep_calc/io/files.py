"""Writing without half-written or overwritten files, and what an output says about its inputs."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DataFileError, InputError

COMPRESSED = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
"""Suffixes of compressed files that readers unpack."""


def read_bytes(path) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``, ``.bz2`` or ``.xz``.

    Raises
    ------
    DataFileError
        If the file is missing, cannot be read, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise DataFileError(f"{path}: no such file")
    try:
        return COMPRESSED.get(path.suffix.lower(), bytes)(path.read_bytes())
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataFileError(f"{path}: cannot be read ({error})") from error


def read_text(path) -> str:
    """Return the text of a file, unpacked as by :func:`read_bytes`; DataFileError if it is not text."""
    return text_of(path, read_bytes(path))


def text_of(path, data: bytes) -> str:
    """Return the content of a file as text; DataFileError if it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path}: is not a text file ({error})") from error


def check_output(path, force: bool = False) -> Path:
    """Return the path of a file to be written; raise InputError if it exists and `force` is not set."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first")
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
