"""The same weights in another arithmetic: one file serves single and double precision."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from ..errors import InputError
from .archive import Artifact
from .enthalpy import artifact_from_enthalpy, members_of
from .metadata import DTYPES, check_dtype


def in_precision(artifact: Artifact, dtype: str) -> Artifact:
    """Return a model with its arithmetic in another type; the weights are the same numbers (float32: rounded).

    Parameters
    ----------
    artifact : Artifact
        It is not changed.
    dtype : {"float64", "float32"}

    Raises
    ------
    InputError
        If the model's family cannot be converted: NEP models are exported again from their ``nep.txt``, and radnet
        models of float64 cannot be had in float32.
    """
    check_dtype(dtype)
    meta = artifact.metadata
    if meta.dtype == dtype:
        return artifact
    if meta.family == "enthalpy":
        members = members_of(artifact)
        zbl = float(artifact.module.plain.zbl_radius)  # type: ignore[union-attr,arg-type]
        radial = members[0].shape_.n_radial
        return artifact_from_enthalpy(members, meta.species, meta.cutoff, radial, zbl, dtype, dict(meta.provenance))
    if meta.family == "nep":
        origin = meta.provenance.get("source")
        where = f"the nep.txt that it was made from ({origin})" if origin else "the nep.txt next to it"
        raise InputError(f"the artifact was exported in {meta.dtype}: for {dtype} give {where}, or export that again")
    if dtype == "float32":
        raise InputError(f"a {meta.kind} model in {meta.dtype} cannot be converted; train with precision = '{dtype}'")
    return _in_double(artifact)


def _in_double(artifact):
    """Return a scripted model with all float32 tensors, and what it knows of its dtype, in float64."""
    converted = copy.deepcopy(artifact)
    for module in converted.module.modules():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.dtype == torch.float32:
                tensor.data = tensor.data.double()
        if getattr(module, "dtype", None) is not None:
            module.dtype = DTYPES["float64"]
    return Artifact(converted.module, replace(converted.metadata, dtype="float64"))
