"""From what the user gives to a model that is ready to be called, for the calculator."""

from __future__ import annotations

import logging

import torch

from .. import ops
from ..artifact import Artifact, artifact_from_nep, in_precision, is_artifact, load_artifact
from ..conventions import HYPERPOLARIZABILITY
from ..errors import InputError
from ..families import KINDS, ROLES, kinds_of
from ..io.gpumd.nep_txt import NepParameters, read_nep

log = logging.getLogger(__name__)


def load_model(source, role: str, device: torch.device, dtype: str | None, unit: str | None) -> Artifact:
    """Return the model of one role on a device, checked for its kind, and log which path it runs on.

    Parameters
    ----------
    source : str, path, NepParameters or Artifact
    role : str
        An argument of the calculator, see :data:`tnep_calc.families.ROLES`.
    device : torch.device
    dtype, unit : str or None
        Type of the arithmetic, and unit in which the model of a ``nep.txt`` was trained.

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
        model = load_artifact(source, str(device))
    else:
        model = artifact_from_nep(read_nep(source), dtype or "float64", unit)
    known = model.metadata
    if known.kind not in KINDS:
        raise InputError(f"{role}= got a model of the unknown kind '{known.kind}'; known kinds: {', '.join(KINDS)}")
    if role not in KINDS[known.kind].roles:
        wanted = [kind for kind in kinds_of(role) if KINDS[kind].family == known.family] or kinds_of(role)
        if {known.family, role} & {"enthalpy", "radnet"}:
            right = " or ".join(f"{name}=" for name in KINDS[known.kind].roles)
            raise InputError(f"{role}= got a model of kind '{known.kind}': pass it as {right}")
        raise InputError(
            f"{role}= needs a {wanted[0]} model, got a {known.kind} model; for a nep.txt of before mid-2023, "
            f"which does not tell its kind, pass read_nep(path, model_type='{wanted[0]}')"
        )
    lacking = [name for name, asked in ROLES[role].quantities.items() if asked is None and name not in known.quantities]
    if lacking:
        raise InputError(
            f"{role}= needs a model of the {' and the '.join(lacking)}, which this {known.kind} model was "
            "not trained for: see its model.targets"
        )
    precision = dtype or (known.dtype if known.family == "nep" or isinstance(source, Artifact) else "float64")
    if known.dtype != precision:
        try:
            model = in_precision(model, precision)
        except InputError as error:
            raise InputError(f"{role}: {error}") from error
        known = model.metadata
    from_nep = isinstance(source, NepParameters) or (not isinstance(source, Artifact) and not is_artifact(source))
    if unit is not None and not from_nep:
        raise InputError(f"{role}: an artifact knows its unit; '{unit}' is only for a nep.txt")
    path = "native kernels" if _runs_natively(known.family, device) else "plain torch"
    if path == "native kernels" and is_of_third_order(model):
        path = "native kernels at zero field, plain torch in a field (third order)"
    log.info("%s: %s model, %s, %s on %s", role, known.family, known.dtype, path, device)
    return Artifact(model.module.to(device), known)


def _runs_natively(family: str, device: torch.device) -> bool:
    if family == "radnet" or not ops.load():
        return False
    on_gpu = family == "nep" and device.type == "cuda"
    return device.type == "cpu" or (on_gpu and torch.ops.tnep.nep_available(torch.empty(0, device=device)))


def is_of_third_order(model: Artifact) -> bool:
    """Tell whether an enthalpy model has a term of third order in the field."""
    return HYPERPOLARIZABILITY in model.metadata.quantities
