"""What the values of a NEP or TNEP training configuration must fulfil."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_parameters import KINDS

from ..common.bounds import COMMON, SHARED, WEIGHT, Bounds
from ..common.config import check, common_rules, one_of

TARGETS = {
    "potential": ("energy", "forces", "virial"),
    "dipole": ("dipole", "born_charges", "atomic_dipole"),
    "polarizability": ("polarizability", "atomic_polarizability"),
}
"""Labels that a model of each kind can be trained on; they are the keys of ``[loss]``."""
METHODS = ("adam", "soap")
BOUNDS = {
    **COMMON,
    **SHARED,
    "model.radial_cutoff": Bounds(0.5, 30, "usual: 4 to 8 Å"),
    "model.angular_cutoff": Bounds(0.5, 30, "usual: 3 to 6 Å"),
    "model.n_max": Bounds(0, 50, "usual: 4 to 8"),
    "model.basis_size": Bounds(1, 50, "usual: 8 to 12"),
    "model.l_max": Bounds(0, 8, "usual: 4, then switches 0 or 1 (2 for the 4-body block)"),
    "model.neurons": Bounds(1, 10_000, "usual: 10 to 100"),
    "loss.shear": Bounds(0, 1e3, "usual: 1"),
    "loss.species_weights": WEIGHT,
    "loss.force_delta": Bounds(0, 1e6, "usual: 0 (off) to 10 eV/Å"),
    "loss.weight_decay": Bounds(0, 1e6, "usual: 1e-9 to 1e-3"),
    "optimizer.steps": Bounds(0, 10**8, "usual: 300 to 10000"),
    "optimizer.batch": Bounds(0, 10**7, "usual: 0 (all structures) or 10 to 100"),
    "optimizer.lbfgs_steps": Bounds(0, 10**8, "usual: 0 to 2000"),
    "optimizer.lbfgs_history": Bounds(1, 10_000, "usual: 50"),
    "optimizer.restarts": Bounds(1, 1000, "usual: 1 to 8"),
    "optimizer.restart_steps": Bounds(1, 10**7, "usual: 50"),
    "optimizer.patience": Bounds(0, 10**7, "usual: 0 (all steps) or 5 to 50"),
    "optimizer.memory_gb": Bounds(1e-9, 1e6, "usual: half of the memory of the computer"),
    **{f"loss.{name}": WEIGHT for names in TARGETS.values() for name in names},
}
"""Ranges of all numbers of a configuration, by ``TABLE.KEY``."""


def check_config(config: Any) -> None:
    """Raise ``InputError`` for the first rule that a ``TrainingConfig`` violates."""
    m, loss, opt = config.model, config.loss, config.optimizer
    rules = [
        *common_rules(config),
        one_of("model.kind", m.kind, tuple(KINDS)),
        (
            len(m.radial_cutoffs) == len(m.angular_cutoffs) == len(m.species),
            "lists of cutoffs must have one number per species",
        ),
        (
            all(0 < a <= r for r, a in zip(m.radial_cutoffs, m.angular_cutoffs, strict=False)),
            "cutoffs must satisfy 0 < angular_cutoff <= radial_cutoff",
        ),
        (len(m.n_max) == 2, "model.n_max must be two integers, radial and angular"),
        (
            len(m.basis_size) == 2,
            "model.basis_size must be two integers, radial and angular",
        ),
        (1 <= len(m.l_max) <= 7 and 1 <= m.l_max[0] <= 8, "model.l_max must be l (1 to 8) and up to six switches"),
        one_of("model.initial", m.initial, ("random", "linear")),
        *_rules_of_linear(m),
        (
            m.is_fitted or not m.freeze_descriptor,
            "model.freeze_descriptor needs model.start or model.initial = 'linear', whose descriptor it keeps",
        ),
        (
            not m.is_fitted or opt.restarts == 1,
            "optimizer.restarts must be 1 with model.start or model.initial = 'linear', which give only one start",
        ),
        (len(loss.species_weights) in (0, len(m.species)), "loss.species_weights must have one number per species"),
        (
            opt.steps + opt.lbfgs_steps > 0 or m.initial == "linear",
            "steps and lbfgs_steps are both 0: nothing to train",
        ),
        (
            not opt.patience or config.data.validation_fraction > 0 or config.ensemble.n_splits > 1,
            "optimizer.patience needs validation data: set data.validation_fraction",
        ),
        one_of("optimizer.method", opt.method, METHODS),
        one_of("optimizer.precision", opt.precision, ("float64", "float32")),
    ]
    check(rules)
    if not loss.weights(m.kind):
        raise InputError(f"a {m.kind} model needs a positive weight in [loss]: {', '.join(TARGETS[m.kind])}")


def _rules_of_linear(m):
    """Return the rules of ``model.initial = "linear"``."""
    if m.initial != "linear":
        return []
    one = all(len(set(cutoffs)) == 1 for cutoffs in (m.radial_cutoffs, m.angular_cutoffs))
    return [
        (m.kind == "potential", f"model.initial = 'linear' is for potentials, not for model.kind = '{m.kind}'"),
        (not m.start, "model.start gives the initial parameters: remove model.initial"),
        (one, "model.initial = 'linear' needs one cutoff for all species"),
    ]


def check_loss(kind: str, given: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for a key of ``[loss]`` that does not apply to this kind of model."""
    fitted = {"potential": ("shear", "species_weights", "force_delta"), "polarizability": ("shear",)}
    known = (*TARGETS[kind], *fitted.get(kind, ()), "weight_decay")
    foreign = [key for key, value in given.items() if key not in known and value not in (0, [], ())]
    if foreign:
        raise InputError(
            f"loss.{foreign[0]} has no meaning for a {kind} model, whose keys are {', '.join(known)}: remove it"
        )
