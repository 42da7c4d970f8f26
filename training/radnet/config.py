"""Configuration of a radnet training: the tables ``[data]`` and ``[output]`` of every training, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..common.config import (
    BaseConfig,
    BaseDataConfig,
    BaseOutputConfig,
    EnsembleConfig,
    check,
    common_rules,
    load,
    parse_tables,
)

LABELS = {"dipole": ("dipole", "born_charges"), "polarizability": ("polarizability",)}
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
    weight_decay : float, default 1e-4
        Decoupled decay of the parameters per unit of learning rate.
    """

    dipole: float = 1.0
    born_charges: float = 1.0
    polarizability: float = 1.0
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
    threads : int, default 1
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
    threads: int = 1
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
        (m.kind == "radnet", f"model.kind must be 'radnet' here, got '{m.kind}'"),
        (len(m.species) > 0 and len(set(m.species)) == len(m.species), "model.species must be different symbols"),
        (
            len(m.targets) > 0 and len(set(m.targets)) == len(m.targets) and set(m.targets) <= set(LABELS),
            f"model.targets must be {' or '.join(LABELS)} or both, got {', '.join(m.targets) or 'none'}",
        ),
        one_of("model.architecture", m.architecture, ARCHITECTURES),
        one_of("model.normalisation", m.normalisation, NORMALISATIONS),
        one_of("data.augmentation", d.augmentation, AUGMENTATIONS),
        (min(m.cutoff, m.width, m.sigma, d.symprec) > 0, "cutoff, width, sigma and symprec must be positive"),
        (m.points >= 3, f"model.points must be at least 3, got {m.points}"),
        (m.filters >= 1 and m.hidden >= 1, "filters and hidden must be at least 1"),
        (min(asdict(loss).values()) >= 0, "weights in [loss] must not be negative"),
        (bool(loss.weights(m.targets)), "[loss] needs a positive weight of a label of model.targets"),
        (opt.epochs >= 1 and opt.batch >= 1 and opt.threads >= 1, "epochs, batch and threads must be at least 1"),
        (opt.lr > 0 and 0 < opt.min_lr <= opt.lr, "lr must be positive, and min_lr positive and not larger"),
        (opt.patience >= 0 and opt.early_stopping >= 0, "patience and early_stopping must not be negative"),
        (0 < opt.factor < 1, "optimizer.factor must be between 0 and 1"),
        (0 <= opt.average < 1, "optimizer.average must be in [0, 1)"),
        one_of("optimizer.precision", opt.precision, ("float32", "float64")),
    ]
    check(rules)
    return config


def one_of(key: str, value: str, known: tuple[str, ...]) -> tuple[bool, str]:
    """Return the rule that a value is one of some words."""
    return value in known, f"{key} must be {' or '.join(repr(word) for word in known)}, got '{value}'"


def load_radnet_config(path: str | Path, output: str | None = None) -> RadnetConfig:
    """Read a configuration file; arguments and errors as :func:`tnep_calc.training.nep.config.load_config`."""
    return load(path, output, parse_radnet_config)
