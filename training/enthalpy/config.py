"""Configuration of an enthalpy training: the tables ``[data]`` and ``[output]`` of every training, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.bounds import COMMON, EPOCHS, WEIGHT, Bounds, check_bounds
from ..common.config import (
    BaseConfig,
    BaseDataConfig,
    BaseOutputConfig,
    EnsembleConfig,
    check,
    common_rules,
    load,
    one_of,
    parse_tables,
)

LABELS = ("energy", "forces", "virial", "dipole", "born_charges", "polarizability")
"""Labels that an enthalpy can be trained on; they are the keys of ``[loss]``."""


@dataclass(frozen=True)
class EnthalpyModelConfig:
    """Table ``[model]``.

    Attributes
    ----------
    kind : str
        ``"enthalpy"``.
    species : tuple of str
        Chemical symbols.
    cutoff : float, default 6.0, in Å
    n_radial : int, default 10
        Radial functions per neighbour species.
    channels : int, default 16
        Channels of the contracted density.
    hidden : int, default 128
        Neurons of each of the two hidden layers.
    zbl : float, default 0.0, in Å
        Outer radius of a Ziegler-Biersack-Littmark repulsion (switched from half of it on); 0 is none.
    hyperpolarizability : bool, default false
        Whether the enthalpy has the term of third order in the field, ``- sum_i b_i:EEE / 6`` with b in e·Å^3/V^2: then
        the dipole ``p + a.E + b:EE / 2`` is not linear in the field.  Learned from structures with an
        ``electric_field``; the native kernels run such a model at zero field only.
    seed : int, default 0
        Seed of the initial parameters and of the order of the frames.
    """

    kind: str
    species: tuple[str, ...]
    cutoff: float = 6.0
    n_radial: int = 10
    channels: int = 16
    hidden: int = 128
    zbl: float = 0.0
    hyperpolarizability: bool = False
    seed: int = 0


@dataclass(frozen=True)
class EnthalpyLossConfig:
    """Table ``[loss]``: weights of the labels; frames may lack labels, and a label of weight 0 is not fitted.

    Each mean squared error is divided by its own running average, so that every label pulls with its weight whatever
    its unit and however small its error has become.

    Attributes
    ----------
    energy, forces, virial, dipole, born_charges, polarizability : float
        Defaults 0.5, 6, 0.3, 0.15, 4, 0.3.  Energy, virial and dipole enter per atom.  A folded dipole joins after the
        first steps where there are Born charges: before, it would pull the model to wrong branches.  The polarizability
        has a weight only where it is fitted by gradients (``optimizer.polarizability``); 0 leaves it out.
    weight_decay : float, default 0.02
        Decoupled decay of all matrices but the last layers, per unit of learning rate.
    """

    energy: float = 0.5
    forces: float = 6.0
    virial: float = 0.3
    dipole: float = 0.15
    born_charges: float = 4.0
    polarizability: float = 0.3
    weight_decay: float = 0.02

    def weights(self) -> dict[str, float]:
        """Return the positive weights by label."""
        return {name: getattr(self, name) for name in LABELS if getattr(self, name) > 0}


@dataclass(frozen=True)
class EnthalpyOptimizerConfig:
    """Table ``[optimizer]``: SOAP on small batches of frames, and an average of the parameters.

    Attributes
    ----------
    epochs : int, default 300
        Passes over the training frames.  It may be raised for a run that exists, which then resumes with the learning
        rate that the longer schedule has at its step: after all of 300 epochs, with 600 asked for, with half of `lr`,
        which falls again to a hundredth.
    batch : int, default 2
        Frames per step.
    lr : float, default 5e-3
        Largest learning rate; it rises over the first 2 % and falls as a half cosine to a hundredth.
    average : float, default 0.999
        Decay of the moving average of the parameters, which is the result.
    polarizability : {"auto", "ridge", "gradient"}, default "auto"
        ``"ridge"``: the last layer of the polarizability in closed form, on hidden layers that learn from the other
        labels (:mod:`tnep_calc.training.enthalpy.readout`), better with some tens of tensors; ``"gradient"``: as all
        other labels; ``"auto"``: ridge for up to 100 polarizabilities, except with structures in a field, a
        hyperpolarizability or no other labels.  The log says which.
    precision : str, default "float32"
    threads : int, default 0
        Threads of torch; 0: one for each 2,000 atoms of a step, at least one, and at most ``OMP_NUM_THREADS`` or the
        number of cores.
    device : str, default "cpu"
        ``"cpu"``, ``"cuda"`` (a GPU), ``"cuda:1"`` (the one of this number), or ``"auto"``: a GPU if there is one.  The
        log says which.  It must have room for the precomputed derivatives.  A resumed run may have another one; it is
        the same bit by bit only on the CPU.
    memory_gb : float, default 8.0
        Largest size of the precomputed derivatives.
    """

    epochs: int = 300
    batch: int = 2
    lr: float = 5e-3
    average: float = 0.999
    polarizability: str = "auto"
    precision: str = "float32"
    threads: int = 0
    device: str = "cpu"
    memory_gb: float = 8.0


@dataclass(frozen=True)
class EnthalpyConfig(BaseConfig):
    """A whole configuration file; see the tables."""

    model: EnthalpyModelConfig
    loss: EnthalpyLossConfig
    optimizer: EnthalpyOptimizerConfig


_TABLES: dict[str, Any] = {
    "data": BaseDataConfig,
    "model": EnthalpyModelConfig,
    "loss": EnthalpyLossConfig,
    "optimizer": EnthalpyOptimizerConfig,
    "output": BaseOutputConfig,
    "ensemble": EnsembleConfig,
}


BOUNDS = {
    **COMMON,
    **EPOCHS,
    "model.cutoff": Bounds(0.5, 30, "usual: 4 to 7 Å"),
    "model.n_radial": Bounds(2, 100, "usual: 8 to 12"),
    "model.channels": Bounds(2, 1000, "usual: 8 to 32"),
    "model.hidden": Bounds(2, 10_000, "usual: 32 to 256"),
    "model.zbl": Bounds(0, 10, "usual: 0 (none) or 1 to 2 Å"),
    **{f"loss.{name}": WEIGHT for name in LABELS},
    "optimizer.memory_gb": Bounds(1e-9, 1e6, "usual: half of the memory of the computer"),
}
"""Ranges of all numbers of a configuration."""


def parse_enthalpy_config(tables: Mapping[str, Any], base: str | Path = ".") -> EnthalpyConfig:
    """Return the configuration from nested mappings (as TOML gives).

    Raises
    ------
    InputError
        If a table or key is unknown or missing, or a value is of the wrong type or out of range.
    """
    config = EnthalpyConfig(**parse_tables(_TABLES, tables), base=Path(base))
    m, opt, loss = config.model, config.optimizer, config.loss
    rules = [
        *common_rules(config),
        one_of("model.kind", m.kind, ("enthalpy",)),
        (
            m.zbl < m.cutoff,
            f"model.zbl must be smaller than the cutoff of {m.cutoff:g} Å, got {m.zbl:g}",
        ),
        (bool(loss.weights()), f"[loss] needs a positive weight: {', '.join(LABELS)}"),
        one_of("optimizer.polarizability", opt.polarizability, ("auto", "ridge", "gradient")),
        one_of("optimizer.precision", opt.precision, ("float64", "float32")),
    ]
    check_bounds(config, BOUNDS)
    check(rules)
    return config


def load_enthalpy_config(path: str | Path, output: str | None = None) -> EnthalpyConfig:
    """Read a configuration file; arguments and errors as :func:`tnep_calc.training.nep.config.load_config`."""
    return load(path, output, parse_enthalpy_config)
