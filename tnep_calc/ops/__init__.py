"""Native kernels as torch operators in the namespace ``tnep``.

``load()`` registers the operators with torch; every module that calls or unpickles them calls it first.  The library
is ``tnep_calc/lib/libtnep_ops.so`` of the installed package, or the file that the environment variable
``TNEP_OPS_LIBRARY`` names.  If it is missing or was built for another torch, the operators are only declared, so that
exported models still load; ``torch.ops.tnep.native_available(params)`` is then False and models run on plain torch.
The outcome is logged once.

The environment variable ``TNEP_SIMD`` (``generic``, ``avx2``, ``avx512``) overrides the choice of instruction set.
"""

from __future__ import annotations

import ctypes
import logging
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

LIBRARY_VARIABLE = "TNEP_OPS_LIBRARY"
SCHEMAS = Path(__file__).resolve().parent / "schemas.inc"

_LIBRARY_NAME = "tnep_calc/lib/libtnep_ops.so"
_logger = logging.getLogger(__name__)
_status: Status | None = None
_declared: list[torch.library.Library] = []  # keeps the definitions made in Python alive


@dataclass(frozen=True)
class Status:
    """Outcome of loading the native library.

    Attributes
    ----------
    loaded : bool
        Whether the native library is loaded, so that models run on its kernels.
    path : str or None
        Path of the loaded library.
    detail : str
        Instruction set in use; or why the library was not loaded, and what to do.
    """

    loaded: bool
    path: str | None
    detail: str


def library_path() -> Path | None:
    """Return the path of the native library: from ``TNEP_OPS_LIBRARY``, else the installed one, else None."""
    override = os.environ.get(LIBRARY_VARIABLE)
    if override:
        return Path(override)
    try:
        path = Path(str(metadata.distribution("tnep_calc").locate_file(_LIBRARY_NAME)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None


def status() -> Status:
    """Load the operators unless they are loaded, and return the outcome."""
    global _status
    if _status is None:
        _status = _load()
        if _status.loaded:
            _logger.info("native kernels: %s (%s)", _status.path, _status.detail)
        else:
            _logger.warning("native kernels are not used, models run on plain torch: %s", _status.detail)
        from . import fakes

        fakes.register()
    return _status


def load() -> bool:
    """Register the operators of the namespace ``tnep`` with torch; return whether the native library is in use."""
    return status().loaded


def schemas() -> list[str]:
    """Return the schema of every operator."""
    lines = SCHEMAS.read_text().splitlines()[1:-1]
    return [line for line in lines if line and not line.startswith("#")]


def _load():
    path = library_path()
    if path is None:
        reason = f"{_LIBRARY_NAME} is not installed; build it with: pip install --no-build-isolation --no-deps ."
    elif not path.exists():
        reason = f"{LIBRARY_VARIABLE} names {path}, which does not exist"
    else:
        reason = _mismatch(path)
    if reason is None:
        try:
            torch.ops.load_library(path)
            return Status(True, str(path), _instruction_set(path))
        except OSError as error:
            reason = f"{path} cannot be loaded ({error}); rebuild it: pip install --no-build-isolation --no-deps ."
    library = torch.library.Library("tnep", "DEF")
    for schema in schemas():
        library.define(schema)
    for name in ("native_available", "nep_available"):
        library.impl(name, lambda params: False, "CompositeExplicitAutograd")
    _declared.append(library)
    return Status(False, None, reason)


def _mismatch(path):
    """Return why the library does not match the running torch or these schemas, or None; the file is not loaded."""
    data = path.read_bytes()
    marker = b"tnep built for torch "
    at = data.find(marker)
    built = data[at + len(marker) :].split(b"\0", 1)[0].decode("ascii", "replace") if at >= 0 else "unknown"
    running = torch.__version__.split("+")[0]
    rebuild = "rebuild it: pip install --no-build-isolation --no-deps ."
    if built != running:
        return f"{path} was built for torch {built}, torch {running} is running; {rebuild}"
    if any(schema.encode() not in data for schema in schemas()):
        return f"{path} was built from another version of tnep_calc; {rebuild}"
    return None


def _instruction_set(path):
    function = ctypes.CDLL(str(path)).tnep_instruction_set
    function.restype = ctypes.c_char_p
    return function().decode() or f"TNEP_SIMD={os.environ.get('TNEP_SIMD')} is not available on this processor"
