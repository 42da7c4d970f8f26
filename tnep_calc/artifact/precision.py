"""Load a model in either precision, and convert a model to another one: one file serves both."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib import import_module

import torch

from ..families import KINDS
from .archive import Artifact, load_stored
from .metadata import DTYPES, check_dtype


def load_artifact(path, device: str = "cpu", dtype: str | None = None) -> Artifact:
    """Load an artifact from a file onto a device.

    Parameters
    ----------
    path : str or path
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.
    dtype : {"float64", "float32"}, optional
        Type of the arithmetic; None means the one that the file was exported with.

    Returns
    -------
    Artifact

    Raises
    ------
    ModelFileError
        If ``read_metadata`` refuses the file, or this version of torch cannot load it.
    InputError
        If dtype is unknown.
    """
    stored = load_stored(path, device)
    artifact = in_precision(stored, dtype or stored.metadata.dtype)
    return Artifact(artifact.module.to(device), artifact.metadata)


def in_precision(artifact: Artifact, dtype: str) -> Artifact:
    """Return a model with its arithmetic in another type and the same weights (rounded for float32).

    Parameters
    ----------
    artifact : Artifact
        The model, which is not changed; the result shares its module if the weights have this type already.
    dtype : {"float64", "float32"}

    Raises
    ------
    InputError
        If dtype is unknown, or the function that the row of the model in :data:`tnep_calc.families.KINDS` names refuses
        the model.
    """
    check_dtype(dtype)
    meta = artifact.metadata
    if meta.weights == dtype:
        return replace(artifact, metadata=replace(meta, dtype=dtype))
    if meta.kind in KINDS and KINDS[meta.kind].converter:
        module, function = KINDS[meta.kind].converter.split(".")
        return getattr(import_module(f"{__package__}.{module}"), function)(artifact, dtype)
    converted = copy.deepcopy(artifact)
    cast(converted.module, dtype)
    return replace(converted, metadata=replace(meta, dtype=dtype, weights=dtype))


def cast(module: torch.nn.Module, dtype: str) -> None:
    """Change the floating-point tensors of a model and its attributes ``dtype`` to another type, in place.

    The tensors that the model names in its list ``always_double`` are not changed.  The LAMMPS plugin does the same
    (``lammps_plugin/src/shared/precision.cpp``).

    Parameters
    ----------
    module : torch.nn.Module
        A model with the contract of ``tnep_calc.models``, scripted or not.
    dtype : {"float64", "float32"}
    """
    kept = set(getattr(module, "always_double", ()))
    for prefix, part in module.named_modules():
        for own in (part.named_parameters(recurse=False), part.named_buffers(recurse=False)):
            for name, tensor in own:
                if tensor.is_floating_point() and f"{prefix}.{name}".lstrip(".") not in kept:
                    tensor.data = tensor.data.to(DTYPES[dtype])
        if getattr(part, "dtype", None) is not None:
            part.dtype = DTYPES[dtype]  # type: ignore[assignment]
