"""Training of one model: Adam or SOAP, then L-BFGS; several starts, early stopping, checkpoints and exact resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.device import chosen_device
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_parameters import NepParameters
from tnep_calc.structures import LabelledStructure
from tnep_calc.threads import atoms_of_batch, set_threads

from ..common import processes
from ..common.checkpoint import fingerprint, load_matching, save_checkpoint
from ..common.labels import check_labels, check_species
from ..common.loop import run_steps
from ..common.memory import memory_errors_explained
from ..common.optimizers import LBFGS_CHUNK, first_method, lbfgs, learning_rate
from ..common.splits import split_indices
from ..common.store import Storage
from .config import TrainingConfig
from .coverage import coverage_of, unseen_warnings
from .data import labelled, make_parts, read_structures
from .evaluation import Clock, errors_of, log_speed, predictions_of
from .loss import Objective, objective_of, set_gradient, share_of
from .model import NepOnMoments
from .parts import Block, Part
from .scaling import Scaling
from .shared_parts import MomentPool
from .start import SEED_STEP, initial_vector

log = logging.getLogger(__name__)

_OPEN = 0.3  # share of the first-order steps during which folded dipoles are left out, see `objective_now`


class Trainer:
    """One training run.

    Parameters
    ----------
    config : TrainingConfig
    structures : list of LabelledStructure, optional
        Default: those in the files of the configuration.
    indices : mapping of str to array of int, optional
        Structures of each split.  Default: drawn with the fractions of the configuration.
    pool : MomentPool, optional
        Source of the moments.  Default: they are computed.

    Attributes
    ----------
    parts : dict of Part
        The splits that have structures.
    vector : Tensor of float64, shape (n_parameters,) or (restarts, n_parameters)
        Current parameters; of all starts until one is chosen.
    device : torch.device
        Device of parameters and moments; predictions and results are returned on the CPU.
    clock : Clock
        Number and time of the gradients of this process; see :meth:`speed`.
    storage : Storage
        Where the moments are.
    frozen : int
        Number of parameters, from the first on, that are not trained.
    name_in_log : str
        Prefix of the log lines of this run; "" if it is trained alone.
    predicted : dict
        Predictions of the current parameters by split, if already computed.
    history : list of dict
        Rows of ``log.csv``: step, loss, learning rate, and RMSE of each label on training and validation data.
    choice_step : int
        Step at which one of several starts is chosen (0 with one start).
    switch : int
        Step at which L-BFGS takes over; a run that is in L-BFGS stays there when it is made longer.
    stops : list of int
        L-BFGS does several steps at a time, but always stops at multiples of these numbers.
    """

    @memory_errors_explained()
    def __init__(
        self,
        config: TrainingConfig,
        structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None,
        pool: MomentPool | None = None,
    ):
        self.device = chosen_device(config.optimizer.device) if pool is None else pool.storage.device
        self.config, self.name_in_log = config, ""
        self.weights = config.loss.weights(config.model.kind)
        if structures is None:
            structures = read_structures(config)
        check_species(structures, config.model.species)
        self.fingerprint = fingerprint(config, structures)
        if indices is None:
            indices = labelled(split_indices(structures, config), structures, config)
        self.indices = dict(indices)
        train_on = [structures[k] for k in self.indices["train"]]
        atoms = atoms_of_batch(train_on, config.optimizer.batch) / processes.size()
        self.threads = set_threads(config.optimizer.threads, atoms)
        used = [structures[k] for k in sorted(k for own in indices.values() for k in own)]
        check_labels(used, list(self.weights), config.data.allow_missing)
        self.dtype = DTYPES[config.optimizer.precision]
        self.model = NepOnMoments(config.model, self.dtype, self.device)
        if pool is None:
            o = config.optimizer
            self.storage = Storage(o.memory_gb, config.scratch, self.device, o.restarts)
            self.parts = make_parts(config, self.model.basis, structures, self.indices, self.storage)
        else:
            self.storage, self.parts = pool.storage, pool.parts(config, structures, self.indices)
        moments = {name: (block.load() for block in part.blocks) for name, part in self.parts.items()}
        seen = coverage_of(moments.pop("train"), len(config.model.species))
        for line in unseen_warnings(seen, moments, config.model.species):
            log.warning(line)
        self.objective = objective_of(config, self.model, self.parts["train"].labels)
        self.vector = initial_vector(config, self.model, self.parts, self.objective, seen).requires_grad_(True)
        if config.model.is_fitted:
            self.objective = replace(self.objective, center=self.vector.detach().clone())
        descriptor = sum(math.prod(self.model.shapes[name]) for name in ("c_radial", "c_angular"))  # they come first
        self.frozen = descriptor if config.model.freeze_descriptor else 0
        self.step = 0
        self.choice_step = config.optimizer.restart_steps if config.optimizer.restarts > 1 else 0
        self.switch = self.choice_step + config.optimizer.steps
        self.stops = [config.output.report_interval]
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"step": 0, "loss": math.inf, "vector": self._single(self.vector.detach())}
        self.seconds = 0.0
        self.clock = Clock()
        self.predicted: dict[str, dict[str, Tensor]] = {}
        self._optimizer: torch.optim.Optimizer | None = None

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        return self.choice_step + self.config.optimizer.steps + self.config.optimizer.lbfgs_steps

    @property
    def progress(self) -> str:
        """Number of steps done, as text for the log."""
        return f"{self.step} of {self.total_steps} steps"

    @property
    def report_due(self) -> bool:
        """Whether the initial parameters still have to be reported."""
        return not self.has_reported

    @property
    def has_reported(self) -> bool:
        """Whether there has been a report."""
        return bool(self.history)

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the validation loss has stopped falling in the last stage."""
        last = self.stage == "lbfgs" or not self.config.optimizer.lbfgs_steps
        return self.step >= self.total_steps or (last and self.out_of_patience)

    @property
    def out_of_patience(self) -> bool:
        """Whether this stage has had too many reports without a smaller validation loss."""
        patience, since = self.config.optimizer.patience, max(self.best["step"], self.choice_step)
        count = sum(row["stage"] == self.stage and row["step"] > since for row in self.history)
        return patience > 0 and "validation" in self.parts and count >= patience

    @property
    def max_neighbors(self) -> tuple[int, int]:
        """Largest radial and angular numbers of neighbours in the data."""
        radial, angular = zip(*(part.max_neighbors for part in self.parts.values()), strict=True)
        return max(radial), max(angular)

    # -- running ---------------------------------------------------------------------------------------------------

    @memory_errors_explained()
    def run(self, on_report: Callable[[Trainer], None] | None = None, checkpoint: Path | None = None) -> None:
        """Train from the current state to the end; see :func:`tnep_calc.training.common.loop.run_steps`.

        The state is saved in the file `checkpoint`, if given.
        """
        save = None if checkpoint is None else lambda: save_checkpoint(checkpoint, self.state())
        run_steps(self, self.config.output.report_interval, self.config.output.checkpoint_interval, on_report, save)
        log_speed(self.clock, self.speed())

    @property
    def stage(self) -> str:
        """Method of the next step: ``"restarts"`` (several starts), the first-order method, or ``"lbfgs"``."""
        if self.vector.ndim == 2:
            return "restarts"
        return self.config.optimizer.method if self.step < self.switch else "lbfgs"

    def advance(self) -> None:
        """Do one first-order step, or a few iterations of L-BFGS."""
        self.predicted = {}
        if self.out_of_patience:
            self.start_lbfgs()
        if self.stage == "lbfgs":
            self.lbfgs_step(self._gradient)
        else:
            self.first_order_step(lambda: self._gradient(self.batch(self.parts["train"])))

    def start_lbfgs(self) -> None:
        """Skip the remaining first-order steps: L-BFGS starts from the best parameters."""
        self._log("no smaller validation loss since step %d: L-BFGS starts from there", self.best["step"])
        self.vector = self.best["vector"].to(self.device, copy=True).requires_grad_(True)
        self.step = self.switch

    def first_order_step(self, gradient: Callable[[], float]) -> None:
        """Do one first-order step with a function that sets the gradient and returns the loss."""
        optimizer = self._first_optimizer()
        optimizer.param_groups[0]["lr"] = self.learning_rate(self.step)
        self._check_finite(gradient())
        optimizer.step()
        self.step += 1
        if self.vector.ndim == 2 and self.step >= self.choice_step:
            self._choose()

    def lbfgs_step(self, gradient: Callable[[], float]) -> None:
        """Do a few iterations of L-BFGS with a function that sets the gradient and returns the loss."""
        optimizer = self._optimizer_of(*lbfgs(self.config.optimizer.lbfgs_history))
        group = optimizer.param_groups[0]
        group["max_iter"] = min(LBFGS_CHUNK, self.total_steps - self.step, *(n - self.step % n for n in self.stops))
        before = self.vector.detach().clone()
        optimizer.step(gradient)
        self.step += group["max_iter"]
        if torch.equal(before, self.vector.detach()):
            self._log("L-BFGS has converged after %d steps: no step lowers the loss any more", self.step)
            self.step = self.total_steps

    def _first_optimizer(self):
        steps = self.choice_step if self.vector.ndim == 2 else self.config.optimizer.steps
        return self._optimizer_of(*first_method(self.config.optimizer.method, steps, self.model.blocks))

    def _optimizer_of(self, cls, options):
        if not isinstance(self._optimizer, cls):
            self._optimizer = cls([self.vector], **options)
        return self._optimizer

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a first-order step; those of several starts have a schedule of their own."""
        options, first = self.config.optimizer, self.choice_step
        done = step / first if step < first else (step - first) / options.steps
        return learning_rate(options.lr, done, 10 * done + 0.01)

    def batch(self, part: Part) -> list[Block]:
        """Return the batch of a part for the next first-order step; their order is drawn again in every epoch."""
        batches = part.batches
        epoch, place = divmod(self.step, len(batches))
        generator = torch.Generator().manual_seed(self.config.model.seed + SEED_STEP * epoch)  # on the CPU
        return batches[int(torch.randperm(len(batches), generator=generator, device="cpu")[place])]

    def _gradient(self, blocks: Sequence[Block] | None = None):
        """Set the gradient of the loss over some blocks (None: all), and return the loss, summed over the starts.

        The loss is returned as a number, so that a GPU has finished when the time is taken.
        """
        start, part = time.perf_counter(), self.parts["train"]
        if blocks is None:
            blocks = part.blocks
        total = float(set_gradient(self.vector, self.model, self.objective_now(), blocks, frozen=self.frozen).sum())
        self.clock.add(share_of(part, blocks), time.perf_counter() - start)
        return total

    def objective_now(self) -> Objective:
        """Return the current objective; at first without folded dipoles, which would favour wrong branches."""
        config = self.config
        early = self.stage != "lbfgs" and self.step < _OPEN * (self.choice_step or config.optimizer.steps)
        folded = {"dipole", "born_charges"} <= set(self.weights) and self.parts["train"].labels.fold is not None
        if config.model.is_fitted or not (early and folded):
            return self.objective
        return replace(self.objective, weights={k: w for k, w in self.weights.items() if k != "dipole"})

    def _choose(self):
        """Keep only the best of several starts."""
        best = int(torch.argmin(self._watched_losses()))
        self._log("start %d of %d is the best after %d steps", best + 1, len(self.vector), self.step)
        self.model.scaling = self.model.scaling.member(best)
        self.vector = self.vector.detach()[best].clone().requires_grad_(True)
        self._optimizer = None

    def _watched_losses(self):
        """Loss of each start on validation data, or on training data if there are none."""
        name = "validation" if "validation" in self.parts else "train"
        terms = self.objective.terms(self.parts[name].labels, self._predict(name, self.vector))
        return self.objective.loss(terms).nan_to_num(math.inf)

    def _single(self, values):
        """Return the first of several starts."""
        return (values[0] if values.ndim == 2 else values).clone()

    def _check_finite(self, loss):
        if not math.isfinite(loss):
            raise InputError(
                f"{self.name_in_log}the loss is not finite after {self.step} steps: lower optimizer.lr, "
                "or check the labels"
            )

    def _log(self, text, *values):
        log.info("%s" + text, self.name_in_log, *values)

    # -- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, name: str, vector: Tensor | None = None) -> dict[str, Tensor]:
        """Return the predictions for a split, without gradients, in the order of its structures.

        Parameters
        ----------
        name : {"train", "validation", "test"}
        vector : Tensor, shape (n_parameters,), optional
            Default: the current parameters (of the first of several starts).
        """
        if vector is None and name in self.predicted:
            return self.predicted[name]
        return self._predict(name, self.leader() if vector is None else vector.to(self.device))

    def leader(self) -> Tensor:
        """Return the current parameters (of the first of several starts)."""
        return self._single(self.vector.detach())

    def _predict(self, name, vector):
        return predictions_of(self.parts[name], self.model, vector, list(self.weights))

    def report(self) -> None:
        """Add a row to the history, and keep the best parameters."""
        row: dict[str, Any] = {"step": self.step, "stage": self.stage}
        losses = {}
        for name in ("train", "validation"):
            if name in self.parts:
                self.predicted[name] = self.evaluate(name)
                losses[name], errors = errors_of(self.objective, self.parts[name].labels, self.predicted[name])
                self._check_finite(losses[name])
                row[f"loss_{name}"] = losses[name]
                row |= {f"rmse_{label}_{name}": error for label, error in errors.items()}
        self.history.append(row)
        watched = losses.get("validation", losses["train"])
        if watched < self.best["loss"] and self.vector.ndim == 1:
            self.best = {"step": self.step, "loss": watched, "vector": self.vector.detach().clone()}
        if self.finished and self.step < self.total_steps:
            self._log("no smaller validation loss since step %d: stopping after %s", self.best["step"], self.progress)

    def speed(self) -> dict[str, float]:
        """Return :meth:`tnep_calc.training.nep.evaluation.Clock.speed` of gradients over all training structures."""
        return self.clock.speed(self.parts["train"], self.model, len(self.vector) if self.vector.ndim == 2 else 1)

    def result(self) -> tuple[Tensor, int]:
        """Return the parameters to keep and their step: the best on validation data if it has any, else the last."""
        if self.config.output.keep_best and "validation" in self.parts:
            if self.vector.ndim == 1 and self.best["step"] >= self.choice_step:
                return self.best["vector"].cpu(), self.best["step"]
        return self.leader().cpu(), self.step

    def parameters(self) -> NepParameters:
        """Return the result as the parameters of a ``nep.txt``."""
        model = self.model.with_scaling(self.model.scaling.member(0))
        return model.to_nep(self.result()[0], self.max_neighbors)

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "choice_step": self.choice_step,
            "switch": self.switch,
            "vector": self.vector.detach(),
            "scaling": asdict(self.model.scaling),
            "optimizer": None if self._optimizer is None else self._optimizer.state_dict(),
            "best": self.best,
            "history": self.history,
        }

    def restore(self, path: Path) -> None:
        """Load a checkpoint; see :func:`tnep_calc.training.common.checkpoint.load_matching` for the errors."""
        self.load_state(load_matching(path, self.fingerprint))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        self.model.scaling = Scaling(**state["scaling"])
        self.vector = state["vector"].to(self.device, copy=True).requires_grad_(True)
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.history = state["best"], state["history"]
        if self.vector.ndim == 1:  # the choice of a start is over, even if its length has changed
            self.choice_step = state["choice_step"]
            self.switch = self.choice_step + self.config.optimizer.steps
        if self.step > state["switch"]:
            self.switch = state["switch"]
        self._optimizer, self.predicted = None, {}
        if state["optimizer"] is not None and not self.finished:
            first = "betas" in state["optimizer"]["param_groups"][0]
            self._optimizer = self._first_optimizer() if first else torch.optim.LBFGS([self.vector])
            self._optimizer.load_state_dict(state["optimizer"])
