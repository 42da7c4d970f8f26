"""Load the models that the user passes to the calculator."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch

from .. import ops
from ..artifact import Artifact, artifact_from_nep, in_precision, is_artifact
from ..artifact.archive import load_stored
from ..conventions import HYPERPOLARIZABILITY
from ..errors import InputError
from ..families import KINDS, ROLES, kinds_of
from ..io.gpumd.nep_parameters import NepParameters
from ..io.gpumd.nep_txt import read_nep

log = logging.getLogger(__name__)


def load_models(
    sources: Mapping[str, Any], units: Mapping[str, str | None], device: torch.device, dtype: str | None
) -> dict[str, tuple[Artifact, ...]]:
    """Return the models of a calculator by role, after checking that they can be used together.

    Parameters
    ----------
    sources : mapping
        Role -> the value of its keyword: a model, a list of models (an ensemble), or None.
    units : mapping
        Role -> unit in which the model of a ``nep.txt`` was trained, or None.
    device, dtype
        See `load_model`.

    Raises
    ------
    InputError
        If there is no model, a list is empty, or two models give the same properties; also those of `load_model`.
    """
    models = {
        role: tuple(load_model(member, role, device, dtype, units.get(role)) for member in _members(source, role))
        for role, source in sources.items()
        if source is not None
    }
    if not models:
        raise InputError(f"TNEPCalculator needs at least one model: {' or '.join(f'{name}=' for name in sources)}")
    if "enthalpy" in models and len(models) > 1:
        raise InputError("enthalpy= gives all properties: leave out energy=, dipole=, susceptibility= and radnet=")
    if "radnet" in models and {"dipole", "susceptibility"} & set(models):
        raise InputError("radnet= gives dipole and susceptibility: leave out dipole= and susceptibility=")
    return models


def _members(source, role):
    if not isinstance(source, (list, tuple)):
        return [source]
    if not source:
        raise InputError(f"{role}= got an empty list; give at least one model")
    return source


def load_model(source, role: str, device: torch.device, dtype: str | None, unit: str | None) -> Artifact:
    """Return the model of one role on a device, after checking its kind.

    Logs whether the model runs on the native kernels or on plain torch.

    Parameters
    ----------
    source : str, path, NepParameters or Artifact
    role : str
        Keyword of the calculator, see :data:`tnep_calc.families.ROLES`.
    device : torch.device
    dtype : str or None
        Type of the arithmetic, see `TNEPCalculator`.
    unit : str or None
        Unit in which the model of a ``nep.txt`` was trained; must be None for an artifact.

    Raises
    ------
    ModelFileError
        If the file cannot be used.
    InputError
        If the model is of another kind, or does not fit `dtype` or `unit`.
    """
    if isinstance(source, Artifact):
        model = source
    elif isinstance(source, NepParameters):
        model = artifact_from_nep(source, dtype or "float64", unit)
    elif is_artifact(source):
        model = load_stored(source, str(device))
    else:
        model = artifact_from_nep(read_nep(source), dtype or "float64", unit)
    known = model.metadata
    if known.kind not in KINDS:
        raise InputError(f"{role}= got a model of the unknown kind '{known.kind}'; known kinds: {', '.join(KINDS)}")
    if role not in KINDS[known.kind].roles:
        wanted = [kind for kind in kinds_of(role) if KINDS[kind].family == known.family]
        if not wanted:  # a model of everything at once, or a keyword for such models
            right = " or ".join(f"{name}=" for name in KINDS[known.kind].roles)
            raise InputError(f"{role}= got a model of kind '{known.kind}': pass it as {right}")
        raise InputError(
            f"{role}= needs a {wanted[0]} model, got a {known.kind} model; for a nep.txt from before mid-2023, "
            f"which does not state its kind, pass read_nep(path, model_type='{wanted[0]}')"
        )
    lacking = [name for name, asked in ROLES[role].quantities.items() if asked is None and name not in known.quantities]
    if lacking:
        raise InputError(
            f"{role}= needs a model of the {' and the '.join(lacking)}, which this {known.kind} model was "
            "not trained for: see its model.targets"
        )
    double = not isinstance(source, Artifact) and (known.weights == "float64" or KINDS[known.kind].double)
    try:
        model = in_precision(model, dtype or ("float64" if double else known.dtype))
    except InputError as error:
        raise InputError(f"{role}: {error}") from error
    known = model.metadata
    from_nep = isinstance(source, NepParameters) or (not isinstance(source, Artifact) and not is_artifact(source))
    if unit is not None and not from_nep:
        raise InputError(f"{role}: an artifact stores its unit; leave out '{unit}', which is only for a nep.txt")
    path = "native kernels" if _runs_natively(known.kind, device) else "plain torch"
    if path == "native kernels" and is_of_third_order(model):
        path = "native kernels at zero field, plain torch in a field (third order)"
    log.info("%s: %s model, %s, %s on %s", role, known.family, known.dtype, path, device)
    return Artifact(model.module.to(device), known)


def _runs_natively(kind: str, device: torch.device) -> bool:
    if device.type not in KINDS[kind].native or not ops.load():
        return False
    return device.type == "cpu" or bool(torch.ops.tnep.nep_available(torch.empty(0, device=device)))


def is_of_third_order(model: Artifact) -> bool:
    """Return whether a model is an enthalpy model with a term of third order in the field."""
    return HYPERPOLARIZABILITY in model.metadata.quantities
