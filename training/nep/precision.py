"""How far predictions in single precision are from those in double precision: checked at the end of every training."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from .data import labels_of, moment_options
from .model import NepOnMoments
from .moments import build_moments
from .trainer import Trainer

log = logging.getLogger(__name__)

_STRUCTURES = 20
_NEGLIGIBLE = 0.1
"""Share of the RMSE: more, added in quadrature, would change it by more than half a per cent."""

T = TypeVar("T")


def sample(structures: Sequence[T]) -> list[T]:
    """Return the structures that are looked at, evenly from all."""
    places = np.linspace(0, len(structures) - 1, min(_STRUCTURES, len(structures)))
    return [structures[k] for k in places.round().astype(int)]


def share(difference: Tensor, error: Tensor) -> float:
    """Return the root mean square of differences over that of errors; NaN where no error is known."""
    if not error.numel():
        return math.nan
    above, below = (float(x.double().square().mean().sqrt()) for x in (difference, error))
    return above / below if below else math.inf


def rounding(trainer: Trainer) -> dict[str, float]:
    """Return what single precision adds to the errors of a result, by label; nothing in double precision.

    Structures that are trained on, at most 20, are predicted in both; all else (moments, constants) is the same.

    Returns
    -------
    dict of str to float
        Root mean square of the differences as a share of the RMSE on the same structures.
    """
    config, names = trainer.config, list(trainer.weights)
    if config.optimizer.precision == "float64":
        return {}
    exact = NepOnMoments(config.model, torch.float64)
    exact.scaling = trainer.model.scaling.member(0)
    single = trainer.model.with_scaling(exact.scaling)
    vector, _ = trainer.result()
    differences, errors = ({name: [] for name in names} for _ in range(2))  # type: ignore[var-annotated]
    options = moment_options(replace(config, optimizer=replace(config.optimizer, precision="float64")))
    for structure in sample(trainer.parts["train"].structures):
        labels = labels_of(config, [structure])
        moments = build_moments([structure], exact.basis, memory_gb=math.inf, **options)
        rounded = moments.with_arrays([array.to(single.dtype) for array in moments.arrays]).to(single.device)
        with torch.no_grad():
            found = exact.predict(vector, moments, names)
            other = single.predict(vector.to(single.device), rounded, names)
        for name in names:
            differences[name].append(labels.per_atom(name, other[name].cpu().double() - found[name]).flatten())
            errors[name].append(labels.known_errors(name, found[name]).flatten())
    return {name: share(torch.cat(differences[name]), torch.cat(errors[name])) for name in names}


def log_rounding(shares: Mapping[str, float], advice: str, name_in_log: str = "") -> None:
    """Log what single precision adds to the errors, as a warning with some advice if that is not negligible."""
    known = {name: value for name, value in shares.items() if not math.isnan(value)}
    if known:
        words = ", ".join(f"{name} {100 * value:.2g} %" for name, value in known.items())
        bad = max(known.values()) > _NEGLIGIBLE
        log.log(
            logging.WARNING if bad else logging.INFO,
            "%sfloat32: rounding is, of the RMSE, %s%s",
            name_in_log,
            words,
            f": {advice}" if bad else "",
        )
