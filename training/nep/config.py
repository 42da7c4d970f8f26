"""Configuration of the training of NEP and TNEP models.

Every table of the file is one dataclass here, every key one field, and the field's documentation is the key's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_parameters import EXTRA_BLOCKS
from tnep_calc.io.gpumd.nep_txt import read_nep

from ..common.bounds import check_bounds
from ..common.config import (
    BaseConfig,
    BaseDataConfig,
    BaseOutputConfig,
    EnsembleConfig,
    load,
    parse_tables,
)
from .architecture import with_architecture
from .rules import BOUNDS, TARGETS, check_config, check_loss

_LR_OF_START = 1e-3
"""Default learning rate of fine-tuning; a larger one moves the parameters so far that the start is forgotten."""


@dataclass(frozen=True)
class DataConfig(BaseDataConfig):
    """Table ``[data]``; the best model on the validation structures is kept (see ``output.keep_best``).

    Attributes
    ----------
    files, validation_fraction, test_fraction, seed, fold_dipole, keys
        The same for every training, see :class:`tnep_calc.training.common.config.BaseDataConfig`.
    allow_missing : bool, default false
        Accept structures that lack fitted labels: they are trained on the labels they have, and those without any are
        left out.  If false, a missing label is an error.  The splits are drawn before structures are left out.
    """

    allow_missing: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """Table ``[model]``; the names and limits are those of GPUMD's ``nep.in``.

    Attributes
    ----------
    kind : str
        ``"potential"``, ``"dipole"`` or ``"polarizability"``.
    species : tuple of str
        Chemical symbols; their order is the order in ``nep.txt``.
    radial_cutoff, angular_cutoff : float or tuple of float, default 5.0 and 4.0, in Å
        The angular cutoff must not be the larger one.  A list has a number per species; the cutoff of a pair is the
        mean of those of its two species.
    n_max : tuple of 2 int, default [4, 4]
        Radial and angular ``n_max`` (the number of descriptor functions is one more).
    basis_size : tuple of 2 int, default [8, 8]
        Radial and angular size of the Chebyshev basis (the number of functions is one more).
    l_max : tuple of int, default [4, 2, 0]
        Largest l of the 3-body terms (1 to 8), then up to six switches (0 = off) of the 4- and 5-body blocks.
    neurons : int, default 30
        Neurons of the hidden layer.
    seed : int, default 0
        Seed of the initial parameters.
    initial : str, default "random"
        Initial parameters: ``"random"``, or ``"linear"`` for potentials: the least-squares fit of an energy that is
        linear in the descriptor, by the first neuron and one radial component; all others contribute 0.  It reaches
        small errors where the energy is nearly linear, as for small displacements from one crystal.  Steps are only
        done if ``[optimizer]`` has `steps` or `lbfgs_steps`; the weight decay then pulls towards this fit instead of 0.
    start : str, default ""
        A ``nep.txt`` to start from (fine-tuning), relative to the configuration.  It fixes all keys above except the
        seed, so they may be left out; ``species`` may select some of its species.  The weight decay then pulls
        towards the parameters of this file instead of 0.
    freeze_descriptor : bool, default false
        Keep the descriptor coefficients of `start`, and train the networks only.
    """

    kind: str
    species: tuple[str, ...]
    radial_cutoff: float | tuple[float, ...] = 5.0
    angular_cutoff: float | tuple[float, ...] = 4.0
    n_max: tuple[int, ...] = (4, 4)
    basis_size: tuple[int, ...] = (8, 8)
    l_max: tuple[int, ...] = (4, 2, 0)
    neurons: int = 30
    seed: int = 0
    initial: str = "random"
    start: str = ""
    freeze_descriptor: bool = False

    @property
    def radial_cutoffs(self) -> tuple[float, ...]:
        """Radial cutoff of each species."""
        return _per_species(self.radial_cutoff, self.species)

    @property
    def angular_cutoffs(self) -> tuple[float, ...]:
        """Angular cutoff of each species."""
        return _per_species(self.angular_cutoff, self.species)

    @property
    def is_fitted(self) -> bool:
        """Whether the initial parameters are those of a fit, so that training must not move them far."""
        return bool(self.start) or self.initial == "linear"

    @property
    def extra(self) -> tuple[bool, ...]:
        """Which of the optional descriptor blocks (``EXTRA_BLOCKS``) are on."""
        flags = [bool(flag) for flag in self.l_max[1:]]
        return tuple(flags + [False] * (len(EXTRA_BLOCKS) - len(flags)))


def _per_species(value, species):
    return value if isinstance(value, tuple) else (value,) * len(species)


@dataclass(frozen=True)
class LossConfig:
    """Table ``[loss]``: weights of the mean squared errors, each error divided by the spread of its label.

    A label is fitted if its weight is positive, and then every structure must have it (but see
    ``data.allow_missing``).  Keys of another kind of model are refused unless they are 0.  Energies, virials, dipoles
    and polarizabilities enter per atom.  If a structure has a ``weight``, its squared errors are multiplied by the
    square of that weight.

    Attributes
    ----------
    energy, forces, virial : float, default 1.0, 1.0, 0.1
        For a potential.
    dipole, born_charges, atomic_dipole : float, default 1.0, 0.0, 0.0
        For a dipole model; ``atomic_dipole`` are the contributions of the atoms.
    polarizability, atomic_polarizability : float, default 1.0, 0.0
        For a polarizability model.
    shear : float, default 1.0
        Factor on the errors of off-diagonal components of virials and polarizabilities; squared errors get its square.
    species_weights : tuple of float, default []
        Factor on squared force errors of each species, in the order of ``model.species``; [] = 1.
    force_delta : float, default 0.0, in eV/Å
        Squared errors of a force F are divided by ``1 + |F| / force_delta``; 0 = no division.
    weight_decay : float, default 1e-6
        Weight of the mean square of all network weights and descriptor coefficients, in units of their initial
        spread.  Larger values keep the network closer to a linear function of the descriptor.
    """

    energy: float = 1.0
    forces: float = 1.0
    virial: float = 0.1
    dipole: float = 1.0
    born_charges: float = 0.0
    atomic_dipole: float = 0.0
    polarizability: float = 1.0
    atomic_polarizability: float = 0.0
    shear: float = 1.0
    species_weights: tuple[float, ...] = ()
    force_delta: float = 0.0
    weight_decay: float = 1e-6

    def weights(self, kind: str) -> dict[str, float]:
        """Return the positive weights of the labels that a model of this kind has."""
        return {name: getattr(self, name) for name in TARGETS[kind] if getattr(self, name) > 0}


@dataclass(frozen=True)
class OptimizerConfig:
    """Table ``[optimizer]``: first-order steps, then L-BFGS on all structures at once.

    Attributes
    ----------
    method : str, default "adam"
        Method of the first-order steps, ``"adam"`` or ``"soap"``.  SOAP is Adam in the eigenbasis of Shampoo's
        preconditioner.  With hundreds of structures it reaches the same error in fewer steps, and finally a smaller
        error.  With some tens of structures Adam gives smoother models.
    steps : int, default 300, with ``model.initial = "linear"`` 0
        Number of first-order steps.  `steps` and `lbfgs_steps` of an existing run may be raised; the run then resumes.
        Before L-BFGS it resumes with the learning rate of the longer schedule at its step.  If it has reached L-BFGS,
        it stays in L-BFGS up to the new total.
    batch : int, default 0
        Structures per first-order step, drawn again in every epoch; 0 = all of them.
    lr : float, default 0.02, with ``model.start`` or ``model.initial = "linear"`` 0.001
        Largest learning rate.  It rises linearly over the first tenth of the steps, and falls as a half cosine to a
        hundredth.
    lbfgs_steps : int, default 300, with ``model.initial = "linear"`` 0
        Iterations of L-BFGS with a strong Wolfe line search (each needs one or two evaluations).
    lbfgs_history : int, default 50
        Number of pairs of steps and gradients that L-BFGS keeps.
    restarts : int, default 1
        Number of models with different initial parameters.  They are trained together for `restart_steps` steps; then
        only the one with the smallest validation loss is kept (training loss if there are no validation data).
    restart_steps : int, default 50
        Steps before this choice; they come before `steps`.
    patience : int, default 0
        After this many reports without a smaller validation loss, training switches to L-BFGS, starting from the best
        parameters; if it is already in L-BFGS, or none is configured, it stops.  0 = all steps.
    precision : str, default "float64"
        Storage and arithmetic of the moments, ``"float64"`` or ``"float32"`` (half the memory, twice the speed).
    threads : int, default 0
        Threads of torch; 0: one for each 2,000 atoms of a step, at least one, and at most ``OMP_NUM_THREADS`` or the
        number of cores.
        A resumed run is bit for bit the same only with the same number.
    device : str, default "cpu"
        Where the steps are computed: ``"cpu"``; ``"cuda"``, a GPU, or one by its number, ``"cuda:1"``; ``"auto"``, a
        GPU if there is one (the log says which).  Moments are computed on the CPU.  The order of sums on a GPU varies,
        so its results are not bit for bit reproducible.  A run may be resumed on another device.
    memory_gb : float, default 4.0
        Largest size in GB of the precomputed moments in memory (of the GPU, if one is used).  What exceeds it is
        streamed from a temporary file, or recomputed in every step if the disk is full.
    scratch : str, default ""
        Folder of the temporary file, relative to the configuration; "" = the system's folder for temporary files.
    """

    method: str = "adam"
    steps: int = 300
    batch: int = 0
    lr: float = 0.02
    lbfgs_steps: int = 300
    lbfgs_history: int = 50
    restarts: int = 1
    restart_steps: int = 50
    patience: int = 0
    precision: str = "float64"
    threads: int = 0
    device: str = "cpu"
    memory_gb: float = 4.0
    scratch: str = ""


@dataclass(frozen=True)
class OutputConfig(BaseOutputConfig):
    """Table ``[output]``.

    Attributes
    ----------
    directory, report_interval, checkpoint_interval
        The same for every training, see :class:`tnep_calc.training.common.config.BaseOutputConfig`; the intervals
        count steps.
    keep_best : bool, default true
        Keep the parameters with the smallest validation loss of all reports instead of the last ones.
    """

    keep_best: bool = True


@dataclass(frozen=True)
class TrainingConfig(BaseConfig):
    """A whole configuration file.

    Attributes
    ----------
    data, model, loss, optimizer, output, ensemble
        The tables; ``[loss]``, ``[optimizer]`` and ``[ensemble]`` may be left out.
    base : Path
        Folder where relative paths start.
    """

    data: DataConfig
    model: ModelConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    output: OutputConfig

    @property
    def start(self) -> Path | None:
        """Path of the file with the initial parameters; None if they are random."""
        return self.base / self.model.start if self.model.start else None

    @property
    def scratch(self) -> Path | None:
        """Path of the folder for the temporary file; None = the system's folder."""
        return self.base / self.optimizer.scratch if self.optimizer.scratch else None

    def content(self) -> dict[str, Any]:
        """Return every setting that affects the result as plain values: no paths, memory, threads or device."""
        content = super().content()
        del content["optimizer"]["scratch"]
        content["model"]["start"] = Path(self.model.start).name
        content["output"] = {"report_interval": self.output.report_interval, "keep_best": self.output.keep_best}
        return content


_TABLES = {
    "data": DataConfig,
    "model": ModelConfig,
    "loss": LossConfig,
    "optimizer": OptimizerConfig,
    "output": OutputConfig,
    "ensemble": EnsembleConfig,
}


def load_config(path: str | Path, output: str | None = None) -> TrainingConfig:
    """Read a configuration file.

    Parameters
    ----------
    path : path
        TOML file.
    output : str, optional
        Replaces ``output.directory``; a relative path starts at the current folder.

    Raises
    ------
    DataFileError
        If the file cannot be read or is not TOML.
    InputError
        If a table or key is unknown or missing, or a value is of the wrong type or out of range.
    """
    return load(path, output, _parse_for_files)


def parse_config(tables: Mapping[str, Any], base: str | Path = ".") -> TrainingConfig:
    """Return the configuration from nested mappings (as TOML gives); see :func:`load_config` for the errors."""
    model, optimizer = tables.get("model"), tables.get("optimizer", {})
    if isinstance(model, Mapping) and isinstance(model.get("start"), str) and model["start"]:
        tables = {**tables, "model": with_architecture(model, Path(base))}
        if isinstance(optimizer, Mapping):
            tables["optimizer"] = {"lr": _LR_OF_START, **optimizer}
    elif isinstance(model, Mapping) and model.get("initial") == "linear" and isinstance(optimizer, Mapping):
        tables = {**tables, "optimizer": {"lr": _LR_OF_START, "steps": 0, "lbfgs_steps": 0, **optimizer}}
    config = TrainingConfig(**parse_tables(_TABLES, tables), base=Path(base))
    check_bounds(config, BOUNDS)
    check_config(config)
    check_loss(config.model.kind, tables.get("loss", {}))
    return config


def _parse_for_files(tables, base):
    config = parse_config(tables, base)
    if config.start is not None and read_nep(config.start, config.model.kind).zbl is not None:
        raise InputError(
            f"model.start: {config.start} has a ZBL repulsion, which only training in a GPUMD folder keeps"
        )
    return config
