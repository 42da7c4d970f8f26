"""Configuration of a radnet training: the tables ``[data]`` and ``[output]`` of every training, and its own."""

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

LABELS = {"dipole": ("dipole", "born_charges"), "polarizability": ("polarizability", "polarizability_gradient")}
"""What a model of each target is trained on."""
ARCHITECTURES = ("compact", "paper")
NORMALISATIONS = ("common", "component")
AUGMENTATIONS = ("point_group", "rotations", "none")


@dataclass(frozen=True)
class RadnetDataConfig(BaseDataConfig):
    """Table ``[data]``: that of every training, and the augmentation.

    Attributes
    ----------
    augmentation : {"point_group", "rotations", "none"}, default "point_group"
        Each structure is turned anew in every step, and its labels along.  ``"point_group"``: by a random operation of
        its crystal's point group, which spglib finds from the mean of the structures with the same symbols;
        ``"rotations"``: by a random rotation or rotation-inversion, for liquids, molecules and MD at any orientation.
    symprec : float, default 0.1, in Å
        Tolerance of spglib.
    """

    augmentation: str = "point_group"
    symprec: float = 0.1


@dataclass(frozen=True)
class RadnetModelConfig:
    """Table ``[model]``.

    Attributes
    ----------
    kind : str
        ``"radnet"``.
    species : tuple of str
        Chemical symbols.
    targets : tuple of str, default ("dipole", "polarizability")
        What the model gives; each has networks of its own.
    architecture : {"compact", "paper"}, default "compact"
        ``"compact"``: one convolution with stride 2 and one hidden layer, for each species of the centre; ``"paper"``:
        the eleven convolutions of the published code, which also has ``points = 15``.
    cutoff : float, default 4.0, in Å
        Neighbours count less and less from half of it on, and nothing from here on.
    points : int, default 7
        Grid points along an edge of the cube of voxels.
    width : float, default 4.0, in Å
        Edge of the cube.
    sigma : float, default 0.6, in Å
        Width of the Gaussians that represent the neighbours.
    filters, hidden : int, defaults 8 and 32
        Channels of the convolution and neurons of the hidden layer of the compact architecture.
    normalisation : {"common", "component"}, default "common"
        One scale for all components of a target, or one for each of them as in the paper.
    seed : int, default 0
        Seed of the initial parameters, of the order of the structures and of the augmentation.
    """

    kind: str
    species: tuple[str, ...]
    targets: tuple[str, ...] = ("dipole", "polarizability")
    architecture: str = "compact"
    cutoff: float = 4.0
    points: int = 7
    width: float = 4.0
    sigma: float = 0.6
    filters: int = 8
    hidden: int = 32
    normalisation: str = "common"
    seed: int = 0


@dataclass(frozen=True)
class RadnetLossConfig:
    """Table ``[loss]``: weights of the mean squared errors, each relative to the squared spread of its label.

    A label of weight 0 is not fitted, and structures may lack labels.

    Attributes
    ----------
    dipole, born_charges, polarizability : float, default 1.0
        A folded dipole joins after the first steps where there are Born charges: before, it would pull the model to
        wrong branches.
    polarizability_gradient : float, default 0.0
        Derivatives of the polarizability with respect to the positions.
    weight_decay : float, default 1e-4
        Decoupled decay of the parameters per unit of learning rate.
    """

    dipole: float = 1.0
    born_charges: float = 1.0
    polarizability: float = 1.0
    polarizability_gradient: float = 0.0
    weight_decay: float = 1e-4

    def weights(self, targets: tuple[str, ...]) -> dict[str, float]:
        """Return the positive weights by label."""
        names = [name for target in targets for name in LABELS.get(target, ())]
        return {name: getattr(self, name) for name in names if getattr(self, name) > 0}


@dataclass(frozen=True)
class RadnetOptimizerConfig:
    """Table ``[optimizer]``: Adam on batches of structures, with a learning rate that falls on plateaus.

    The loss that is judged is that of the validation structures, or of the training structures without any.

    Attributes
    ----------
    epochs : int, default 1000
        Largest number of passes over the training structures.  It may be raised for a run that exists, which then
        resumes with the learning rate that it has.
    batch : int, default 8
        Structures per step.
    lr : float, default 5e-3
        Learning rate of the start.
    patience : int, default 3
        Reports without a smaller loss after which the learning rate is multiplied by `factor`.
    factor : float, default 0.5
    min_lr : float, default 1e-5
        Smallest learning rate.
    early_stopping : int, default 20
        Reports without a smaller loss after which the training ends; 0: never.
    average : float, default 0.99
        Decay of the moving average of the parameters; the result is the average of the report with the smallest loss.
    precision : str, default "float32"
    threads : int, default 0
        Threads of torch; 0: one for each 2,000 atoms of a step, at least one, and at most ``OMP_NUM_THREADS`` or the
        number of cores.
    device : str, default "cpu"
        ``"cpu"``, ``"cuda"`` (a GPU), ``"cuda:1"`` (the one of this number), or ``"auto"``: a GPU if there is one.
    """

    epochs: int = 1000
    batch: int = 8
    lr: float = 5e-3
    patience: int = 3
    factor: float = 0.5
    min_lr: float = 1e-5
    early_stopping: int = 20
    average: float = 0.99
    precision: str = "float32"
    threads: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class RadnetConfig(BaseConfig):
    """A whole configuration file; see the tables."""

    data: RadnetDataConfig
    model: RadnetModelConfig
    loss: RadnetLossConfig
    optimizer: RadnetOptimizerConfig


_TABLES: dict[str, Any] = {
    "data": RadnetDataConfig,
    "model": RadnetModelConfig,
    "loss": RadnetLossConfig,
    "optimizer": RadnetOptimizerConfig,
    "output": BaseOutputConfig,
    "ensemble": EnsembleConfig,
}


BOUNDS = {
    **COMMON,
    **EPOCHS,
    "data.symprec": Bounds(1e-6, 2, "usual: 0.01 to 0.3 Å"),
    "model.cutoff": Bounds(0.5, 30, "usual: 3 to 6 Å"),
    "model.points": Bounds(3, 101, "usual: 7 to 15"),
    "model.width": Bounds(0.5, 60, "usual: 3 to 8 Å"),
    "model.sigma": Bounds(0.01, 10, "usual: 0.3 to 1 Å"),
    "model.filters": Bounds(1, 1000, "usual: 4 to 32"),
    "model.hidden": Bounds(1, 10_000, "usual: 16 to 128"),
    **{f"loss.{name}": WEIGHT for names in LABELS.values() for name in names},
    "optimizer.patience": Bounds(0, 10**6, "usual: 3 to 10"),
    "optimizer.factor": Bounds(0.001, 0.999, "usual: 0.5"),
    "optimizer.min_lr": Bounds(1e-15, 1, "usual: 1e-5"),
    "optimizer.early_stopping": Bounds(0, 10**6, "usual: 0 (never) or 10 to 50"),
}
"""Ranges of all numbers of a configuration."""


def parse_radnet_config(tables: Mapping[str, Any], base: str | Path = ".") -> RadnetConfig:
    """Return the configuration from nested mappings (as TOML gives).

    Raises
    ------
    InputError
        If a table or key is unknown or missing, or a value is of the wrong type or out of range.
    """
    config = RadnetConfig(**parse_tables(_TABLES, tables), base=Path(base))
    d, m, opt, loss = config.data, config.model, config.optimizer, config.loss
    rules = [
        *common_rules(config),
        one_of("model.kind", m.kind, ("radnet",)),
        (
            len(m.targets) > 0 and len(set(m.targets)) == len(m.targets) and set(m.targets) <= set(LABELS),
            f"model.targets must be {' or '.join(LABELS)} or both, got {', '.join(m.targets) or 'none'}",
        ),
        one_of("model.architecture", m.architecture, ARCHITECTURES),
        one_of("model.normalisation", m.normalisation, NORMALISATIONS),
        one_of("data.augmentation", d.augmentation, AUGMENTATIONS),
        (bool(loss.weights(m.targets)), "[loss] needs a positive weight of a label of model.targets"),
        (opt.min_lr <= opt.lr, f"optimizer.min_lr must be at most optimizer.lr = {opt.lr:g}, got {opt.min_lr:g}"),
        one_of("optimizer.precision", opt.precision, ("float32", "float64")),
    ]
    check_bounds(config, BOUNDS)
    check(rules)
    return config


def load_radnet_config(path: str | Path, output: str | None = None) -> RadnetConfig:
    """Read a configuration file; arguments and errors as :func:`tnep_calc.training.nep.config.load_config`."""
    return load(path, output, parse_radnet_config)
