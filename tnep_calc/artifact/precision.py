"""Convert a model to another precision, so that one file serves both single and double precision."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib import import_module

import torch

from ..errors import InputError
from ..families import KINDS, Kind
from .archive import Artifact
from .metadata import DTYPES, check_dtype


def in_precision(artifact: Artifact, dtype: str) -> Artifact:
    """Return a model with its arithmetic in another type and the same weights (rounded for float32).

    Parameters
    ----------
    artifact : Artifact
        The model, which is not changed; it is returned as it is if it has this dtype already.
    dtype : {"float64", "float32"}

    Raises
    ------
    InputError
        If the model cannot be converted, see the ``converter`` of its row in :data:`tnep_calc.families.KINDS`.
    """
    check_dtype(dtype)
    meta = artifact.metadata
    if meta.dtype == dtype:
        return artifact
    module, function = (KINDS[meta.kind].converter if meta.kind in KINDS else Kind.converter).split(".")
    return getattr(import_module(f"{__package__}.{module}"), function)(artifact, dtype)


def in_double(artifact: Artifact, dtype: str) -> Artifact:
    """Return a copy of a scripted model with all float32 tensors and all ``dtype`` attributes changed to float64.

    Raises
    ------
    InputError
        For float32: a model in float64 cannot be converted.
    """
    if dtype == "float32":
        meta = artifact.metadata
        raise InputError(f"a {meta.kind} model in {meta.dtype} cannot be converted; train with precision = '{dtype}'")
    converted = copy.deepcopy(artifact)
    for module in converted.module.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.dtype == torch.float32:
                tensor.data = tensor.data.double()
        if getattr(module, "dtype", None) is not None:
            module.dtype = DTYPES["float64"]  # type: ignore[assignment]
    return Artifact(converted.module, replace(converted.metadata, dtype="float64"))
