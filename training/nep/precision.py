"""Compare predictions in single and in double precision at the end of a training with ``precision = "float32"``."""

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
"""Share of the RMSE above which rounding matters; added in quadrature, it changes the RMSE by half a per cent."""

T = TypeVar("T")


def sample(structures: Sequence[T]) -> list[T]:
    """Return at most 20 structures, evenly spaced in the sequence."""
    places = np.linspace(0, len(structures) - 1, min(_STRUCTURES, len(structures)))
    return [structures[k] for k in places.round().astype(int)]


def share(difference: Tensor, error: Tensor) -> float:
    """Return the root mean square of differences over that of errors; NaN where no error is known."""
    if not error.numel():
        return math.nan
    above, below = (float(x.double().square().mean().sqrt()) for x in (difference, error))
    return above / below if below else math.inf


def rounding(trainer: Trainer) -> dict[str, float]:
    """Return the rounding error of a single-precision result, by label; empty for a double-precision run.

    At most 20 training structures are predicted in both precisions, with the same moments and constants.

    Returns
    -------
    dict of str to float
        Root mean square of the differences between the precisions, divided by the RMSE on the same structures.
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
    """Log the rounding errors of single precision; if they are not negligible, as a warning with some advice."""
    known = {name: value for name, value in shares.items() if not math.isnan(value)}
    if known:
        words = ", ".join(f"{name} {100 * value:.2g} %" for name, value in known.items())
        bad = max(known.values()) > _NEGLIGIBLE
        log.log(
            logging.WARNING if bad else logging.INFO,
            "%sfloat32: rounding error relative to the RMSE: %s%s",
            name_in_log,
            words,
            f"; {advice}" if bad else "",
        )
