"""The exported model file: TorchScript with metadata.  Only this module saves and loads TorchScript.

An artifact is a TorchScript archive (a zip file) with an additional member, ``extra/tnep_calc.json``.  It states the
kind of the model, its quantities and their units.  ASE and LAMMPS read the same file, so the user need not repeat what
is stored in it.
"""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
import zlib
from dataclasses import asdict, dataclass, replace

import torch

from ..errors import DataFileError, MissingFileError, ModelFileError
from ..io.files import atomic_output, check_members, regular_size
from .code import check_code
from .metadata import METADATA_FILE, Metadata


@dataclass(frozen=True)
class Artifact:
    """A model that is ready to be called, with its metadata.

    Attributes
    ----------
    module : torch.nn.Module
        Called as described in ``tnep_calc.models``.
    metadata : Metadata
    """

    module: torch.nn.Module
    metadata: Metadata

    def __reduce__(self):
        """Pickle and deepcopy a scripted model through the bytes of its archive."""
        if not isinstance(self.module, torch.jit.ScriptModule):
            return Artifact, (self.module, self.metadata)
        buffer = io.BytesIO()
        torch.jit.save(self.module, buffer)
        device = next((str(tensor.device) for tensor in self.module.buffers()), "cpu")
        return _from_bytes, (buffer.getvalue(), self.metadata, device)

    def __call__(self, species, centers, offsets, neighbors, vectors, quantities, field=None):
        """Return the requested quantities by name; arguments and results as in ``tnep_calc.models``."""
        # Without the profiling executor there are no slow first calls, and later calls are faster.
        with torch.enable_grad(), torch.jit.optimized_execution(False):
            return self.module(species, centers, offsets, neighbors, vectors, quantities, field)


def _from_bytes(data, metadata, device):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return Artifact(torch.jit.load(io.BytesIO(data), map_location=device).eval(), metadata)


def save_artifact(artifact: Artifact, path) -> None:
    """Script a model in memory and write it with its metadata; the file is written atomically.

    The file has the weights of the model in memory, ``metadata.weights``; where these are float64, single precision is
    made from them by whoever loads the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        method = getattr(type(artifact.module), "from_positions", None)
        if method is not None:
            torch.jit.export(method)  # so that the script keeps this method as well as forward
        scripted = torch.jit.script(artifact.module)
        buffer = io.BytesIO()
        extra = {METADATA_FILE: json.dumps(asdict(artifact.metadata), indent=1)}
        torch.jit.save(scripted, buffer, _extra_files=extra)
    with atomic_output(path, force=True) as temporary:
        temporary.write_bytes(buffer.getvalue())


def save_exact(exact: Artifact, dtype: str, path) -> Metadata:
    """Write a model whose weights are float64, so that the file serves both precisions; return its metadata.

    Parameters
    ----------
    exact : Artifact
        Model in float64, in memory.
    dtype : {"float64", "float32"}
        Type of the arithmetic for those who ask for none.
    path : path
    """
    metadata = replace(exact.metadata, dtype=dtype)
    save_artifact(replace(exact, metadata=metadata), path)
    return metadata


def is_artifact(path) -> bool:
    """Return whether a file starts like an artifact (a zip archive) rather than like a ``nep.txt``.

    Raises
    ------
    ModelFileError
        If the file is missing or cannot be read.
    """
    try:
        regular_size(path)
        with open(path, "rb") as file:
            return file.read(2) == b"PK"
    except DataFileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise MissingFileError(f"{path}: cannot be read: there is no such file") from error
        raise ModelFileError(str(error)) from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_metadata(path) -> Metadata:
    """Return the metadata of an artifact without loading the model.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not an artifact, of a newer format, or contains code that does more than
        calculate (see ``artifact.code``).
    """
    if not is_artifact(path):
        raise ModelFileError(f"{path}: not an artifact (expected a TorchScript archive written by 'tnep export')")
    try:
        check_members(path)
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = [n for n in archive.namelist() if n.endswith(f"extra/{METADATA_FILE}")]
            text = archive.read(names[0]).decode() if names and broken is None else ""
            if names and broken is None:
                check_code(archive, path)
    except ModelFileError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        words = (str(error).splitlines() or [""])[0][:200]
        raise ModelFileError(f"{path}: truncated or damaged archive ({words}): copy or export it again") from error
    if broken is not None:
        raise ModelFileError(f"{path}: damaged archive (checksum of {broken}): copy or export it again")
    if not names:
        raise ModelFileError(
            f"{path}: an archive without {METADATA_FILE}, so not written by tnep_calc: use 'tnep export' on the nep.txt"
        )
    return Metadata.from_json(text, path)


def load_stored(path, device: str = "cpu") -> Artifact:
    """Load an artifact in the type of its weights, from which `precision` makes both types of the arithmetic.

    Parameters
    ----------
    path : str or path
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.

    Returns
    -------
    Artifact
        The ``dtype`` of its metadata is the one that the file was exported with.

    Raises
    ------
    ModelFileError
        If `read_metadata` refuses the file, or this version of torch cannot load it.
    """
    metadata = read_metadata(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, LookupError, ValueError, TypeError, StopIteration) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelFileError(
            f"{path}: written with torch {metadata.torch_version}, cannot be loaded by torch {torch.__version__} "
            f"({reason}): export the model again with this torch"
        ) from error
    return Artifact(module.eval(), metadata)
