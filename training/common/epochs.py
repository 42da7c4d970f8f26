"""Base of the trainers that pass over their structures in epochs: splits, batches, averaged parameters, resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from tnep_calc.device import resolve
from tnep_calc.errors import InputError
from tnep_calc.structures import LabelledStructure
from tnep_calc.threads import atoms_of_batch, set_threads

from . import processes
from .checkpoint import fingerprint, load_matching, save_checkpoint
from .config import BaseConfig
from .loop import run_steps
from .memory import memory_errors_explained
from .splits import split_indices

ADVICE = "take fewer structures or a smaller cutoff"
"""What to do when the memory is full."""


class EpochTrainer:
    """One training run in epochs: each is a pass over the training structures in batches, in a new random order.

    A family derives its trainer from this class.  Its ``__init__`` calls this one, prepares its data, sets `pool`,
    `n_train`, `sites`, `average` and `optimizer`, and ends with :meth:`begin_pass`.  The family also defines
    :meth:`begin_pass`, :meth:`train_on` and :meth:`report`.

    Parameters
    ----------
    config : BaseConfig
        ``optimizer`` has ``epochs``, ``batch``, ``average``, ``threads`` and ``device``.
    weights : dict of str to float
        Positive weights of the fitted labels.
    structures : sequence of LabelledStructure or None
        None: they are read with `read`.
    indices : mapping of str to array of int or None
        Structures of each split; None: they are drawn by the fractions of the configuration.
    read : callable
        Reads and checks the structures of the configuration.

    Attributes
    ----------
    structures, training_structures : sequence of LabelledStructure
        All of them, and those to train on.
    indices : dict of str to array of int
    fingerprint : dict of str to str
        Hashes of the configuration and the data, see :func:`tnep_calc.training.common.checkpoint.fingerprint`.
    device : torch.device
    threads : int
        Threads of torch that the run uses.
    pool : object
        All structures as the family prepares them; the trainers of an ensemble share it.
    n_train : int
        Number of training structures.
    sites : Module
        The model that is stepped.
    average : Module
        Moving average of its parameters.
    optimizer : Optimizer
    step : int
        Steps done.
    seconds : float
        Time of the run, of previous parts too.
    history : list of dict
        A row for each report.

    Raises
    ------
    InputError
        If there is no such device, or no structure has one of the fitted labels.
    """

    STATEFUL: tuple[str, ...] = ("sites", "average", "optimizer")
    """Attributes with a ``state_dict`` that belong to the state of a run."""

    pool: Any
    n_train: int
    sites: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.Optimizer
    _order: np.ndarray

    def __init__(
        self,
        config: BaseConfig,
        weights: dict[str, float],
        structures: Sequence[LabelledStructure] | None,
        indices: Mapping[str, np.ndarray] | None,
        read: Callable[[Any], Sequence[LabelledStructure]],
    ):
        self.config, self.weights = config, weights
        self.device = resolve(config.optimizer.device)
        self.structures = read(config) if structures is None else structures
        missing = [name for name in weights if all(getattr(s, name) is None for s in self.structures)]
        if missing:
            off = ", ".join(f"loss.{name} = 0" for name in missing)
            raise InputError(f"no structure has {', '.join(missing)}: set {off}, or give data.keys")
        self.fingerprint = fingerprint(config, self.structures)
        self.indices = dict(indices) if indices is not None else split_indices(self.structures, config)
        self.training_structures = [self.structures[k] for k in self.indices["train"]]
        self.threads = set_threads(
            config.optimizer.threads,
            atoms_of_batch(self.training_structures, config.optimizer.batch) / processes.size(),
        )
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, Any]] = []

    # -- what a family defines -------------------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Draw ``_order``, the order of the training structures; all that is random depends on seed and epoch alone."""
        raise NotImplementedError

    def train_on(self, chosen: np.ndarray) -> None:
        """Do one step on a batch of training structures, given as indices among those of the split.

        Of several processes, each computes the terms of :func:`..processes.own_places`.  Losses are added up by
        :func:`..processes.add_up`, and gradients by :func:`..processes.add_up_gradients`.
        """
        raise NotImplementedError

    def report(self) -> None:
        """Add a row to the history: ``epoch``, ``seconds`` and the errors of the training and validation structures."""
        raise NotImplementedError

    # -- progress --------------------------------------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of one pass."""
        return math.ceil(self.n_train / self.config.optimizer.batch)

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        return self.config.optimizer.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Number of whole passes that are done."""
        return self.step // self.steps_per_epoch

    @property
    def progress(self) -> str:
        """Epochs that are done, for the log."""
        return f"{self.step / self.steps_per_epoch:.4g} of {self.config.optimizer.epochs} epochs"

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.step >= self.total_steps

    @property
    def report_due(self) -> bool:
        """Whether a report is due before the next step: never, as the first one follows the first epochs."""
        return False

    # -- running ---------------------------------------------------------------------------------------------------

    @memory_errors_explained(ADVICE)
    def run(self, on_report: Callable[[Self], None] | None = None, checkpoint: Path | None = None) -> None:
        """Train to the end from the current state; the intervals of ``[output]`` count epochs.

        Parameters
        ----------
        on_report : callable, optional
            Called with the trainer after each report.
        checkpoint : path, optional
            File to keep the state in.

        Raises
        ------
        InputError
            If the memory is too small, or the loss is not finite.
        Interrupted
            After SIGINT or SIGTERM, see :func:`tnep_calc.training.common.loop.run_steps`.
        """
        out, length = self.config.output, self.steps_per_epoch
        save = None if checkpoint is None else lambda: save_checkpoint(checkpoint, self.state())
        run_steps(self, length * out.report_interval, length * out.checkpoint_interval, on_report, save)

    def advance(self) -> None:
        """Do one step: the next batch of the pass over the training structures."""
        place, batch = self.step % self.steps_per_epoch, self.config.optimizer.batch
        if place == 0:
            self.begin_pass()
        self.train_on(self._order[place * batch : (place + 1) * batch])

    def update_average(self) -> None:
        """Move the average towards the current parameters; the first steps count more than the decay says."""
        with torch.no_grad():
            decay = min(self.config.optimizer.average, (1 + self.step) / (10 + self.step))
            for mean, parameter in zip(self.average.parameters(), self.sites.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)

    def dipole_can_wait(self) -> bool:
        """Whether Born charges can teach the model the branch of dipoles that are known only up to a quantum."""
        return {"dipole", "born_charges"} <= set(self.weights) and self.config.data.fold_dipole

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all that is needed to resume exactly as if nothing had happened, on this device or another."""
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            **{name: getattr(self, name).state_dict() for name in self.STATEFUL},
        }

    def restore(self, path: Path) -> None:
        """Load a checkpoint; see :func:`tnep_calc.training.common.checkpoint.load_matching` for the errors."""
        self.load_state(load_matching(path, self.fingerprint))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        for name in self.STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self.begin_pass()
