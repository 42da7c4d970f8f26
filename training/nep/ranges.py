"""Ranges of the numbers in the configuration of a NEP or TNEP training."""

from __future__ import annotations

from ..common.bounds import COMMON, SHARED, WEIGHT, Bounds

RANGES = {
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
}
"""Ranges of all numbers but the weights of the labels, by ``TABLE.KEY``."""
