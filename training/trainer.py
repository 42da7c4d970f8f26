"""The training loop: Adam, then L-BFGS, on all training structures at once; checkpoints and exact resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.errors import InputError
from tnep_calc.io.dataset import LabelledStructure, read_dataset
from tnep_calc.io.nep_txt import NepParameters

from .checkpoint import fingerprint, load_checkpoint, save_checkpoint
from .config import TrainingConfig
from .initial import decay_weights, initialise
from .model import NepOnMoments, Scaling
from .moments import Moments, build_moments
from .objective import (
    WITH_CONSTANTS,
    Labels,
    Objective,
    Weighting,
    check_labels,
    make_labels,
    site_constants,
    spreads,
)
from .pool import MomentPool

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
_LBFGS_CHUNK = 10  # iterations between two looks at the clock; part of what makes a resumed run exact
_FIELD = {"potential": "strain", "dipole": "dipole", "polarizability": "strain"}
_DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Part:
    """Structures of one split with their labels and moments."""

    structures: list[LabelledStructure]
    labels: Labels
    moments: Moments


def read_structures(config: TrainingConfig) -> list[LabelledStructure]:
    """Read the data files of a configuration; every structure must have the labels that are fitted, unless allowed."""
    required = [] if config.data.allow_missing else list(config.loss.weights(config.model.kind))
    return read_dataset(config.data_files, config.data.keys, require=required)


def split_indices(n: int, config: TrainingConfig) -> dict[str, np.ndarray]:
    """Return the sorted structure indices of each split, drawn with ``data.seed``."""
    order = np.random.default_rng(config.data.seed).permutation(n)
    n_test, n_validation = (round(f * n) for f in (config.data.test_fraction, config.data.validation_fraction))
    if n - n_test - n_validation < 1:
        raise InputError(f"{n} structures are too few for these fractions: none is left to train on")
    limits = np.split(order, [n_test, n_test + n_validation])
    return dict(zip(("test", "validation", "train"), map(np.sort, limits), strict=True))


def moment_options(config: TrainingConfig) -> dict[str, Any]:
    """Return the arguments of :func:`tnep_calc.training.moments.build_moments` that a configuration asks for."""
    kind, weights = config.model.kind, config.loss.weights(config.model.kind)
    return {
        "field": None if kind == "potential" and "virial" not in weights else _FIELD[kind],
        "gradient": "forces" in weights or "born_charges" in weights,
        "dtype": _DTYPES[config.optimizer.precision],
    }


class Trainer:
    """One training run.

    Parameters
    ----------
    config : TrainingConfig
    structures : list of LabelledStructure, optional
        Instead of reading the files of the configuration.
    indices : mapping of str to array of int, optional
        Structures of each split, instead of drawing them by the fractions of the configuration.
    pool : MomentPool, optional
        Takes the moments from there instead of computing them.

    Attributes
    ----------
    parts : dict of Part
        The splits that have structures.
    vector : Tensor, shape (n_parameters,)
        Current parameters.
    history : list of dict
        Rows of ``log.csv``: step, loss, learning rate, and RMSE of each label on training and validation data.
    """

    def __init__(
        self, config: TrainingConfig, structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None, pool: MomentPool | None = None,
    ):  # fmt: skip
        torch.set_num_threads(config.optimizer.threads)
        self.config = config
        self.weights = config.loss.weights(config.model.kind)
        if structures is None:
            structures = read_structures(config)
        check_labels(structures, list(self.weights), config.data.allow_missing)
        self.fingerprint = fingerprint(config, structures)
        self.indices = dict(indices) if indices is not None else split_indices(len(structures), config)
        self.dtype = _DTYPES[config.optimizer.precision]
        self.model = NepOnMoments(config.model, self.dtype)
        self.parts = self._build_parts(structures, pool)
        train = self.parts["train"].labels
        site = torch.zeros(len(config.model.species), dtype=torch.float64)
        if (name := next((name for name in WITH_CONSTANTS if name in self.weights), None)) is not None:
            site = site_constants(train, name, len(site))
        decay = config.loss.weight_decay * decay_weights(self.model).to(torch.float64)
        self.objective = Objective(self.weights, spreads(train, site), decay)
        self.vector = initialise(
            self.model, self.parts["train"].moments, train, self.objective.spreads, config.model.seed
        ).requires_grad_(True)
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {"step": 0, "loss": math.inf, "vector": self.vector.detach().clone()}
        self.seconds = 0.0
        self._optimizer: torch.optim.Optimizer | None = None

    def _build_parts(self, structures, pool):
        options = moment_options(self.config)
        parts, left = {}, self.config.optimizer.memory_gb
        for name in SPLITS:
            chosen = [structures[k] for k in self.indices[name]]
            if not chosen:
                continue
            if pool is not None:
                moments = pool.select(chosen)
            else:
                moments = build_moments(chosen, self.model.basis, memory_gb=left, **options)
                left -= moments.gigabytes
            loss = self.config.loss
            weighting = Weighting(loss.shear, loss.species_weights, loss.force_delta)
            labels = make_labels(
                chosen, list(self.weights), self.config.model.species, self.config.data.fold_dipole, weighting
            )
            parts[name] = Part(chosen, labels, moments)
        return parts

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        return self.config.optimizer.adam_steps + self.config.optimizer.lbfgs_steps

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.total_steps

    @property
    def max_neighbors(self) -> tuple[int, int]:
        """Largest radial and angular numbers of neighbours in the data."""
        radial, angular = zip(*(part.moments.max_neighbors for part in self.parts.values()), strict=True)
        return max(radial), max(angular)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, on_report: Callable[[Trainer], None] | None = None, checkpoint: Path | None = None) -> None:
        """Train to the end, from wherever the state is.

        Parameters
        ----------
        on_report : callable, optional
            Called with this object after each new row of ``history``.
        checkpoint : path, optional
            File to keep the state in.
        """
        out, start = self.config.output, time.monotonic() - self.seconds
        if not self.history:
            self._report(on_report, start)
        while not self.finished:
            before = self.step
            self._advance()
            self.seconds = time.monotonic() - start
            if self.finished or before // out.report_interval != self.step // out.report_interval:
                self._report(on_report, start)
            if checkpoint is not None and (
                self.finished or before // out.checkpoint_interval != self.step // out.checkpoint_interval
            ):
                save_checkpoint(checkpoint, self.state())

    def _advance(self):
        """Do one step of Adam, or a few iterations of L-BFGS."""
        options = self.config.optimizer
        if self.step < options.adam_steps:
            optimizer = self._optimizer_of(torch.optim.Adam, betas=(0.9, 0.99))
            optimizer.param_groups[0]["lr"] = self.learning_rate(self.step)
            self._check_finite(float(self._gradient()))
            optimizer.step()
            self.step += 1
            return
        optimizer = self._optimizer_of(
            torch.optim.LBFGS, max_iter=_LBFGS_CHUNK, max_eval=10 * _LBFGS_CHUNK, history_size=options.lbfgs_history,
            tolerance_grad=0.0, tolerance_change=0.0, line_search_fn="strong_wolfe",
        )  # fmt: skip
        group = optimizer.param_groups[0]
        group["max_iter"] = min(_LBFGS_CHUNK, self.total_steps - self.step)
        before = self.vector.detach().clone()
        optimizer.step(self._gradient)
        self.step += group["max_iter"]
        if torch.equal(before, self.vector.detach()):
            log.info("L-BFGS has converged after %d steps: no step lowers the loss any more", self.step)
            self.step = self.total_steps

    def _optimizer_of(self, cls, **options):
        if not isinstance(self._optimizer, cls):
            self._optimizer = cls([self.vector], **options)
        return self._optimizer

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of Adam: linear rise over a tenth of the steps, then half a cosine to 1 %."""
        done = step / self.config.optimizer.adam_steps
        return self.config.optimizer.adam_lr * min(1.0, 10 * done + 0.01) * (0.505 + 0.495 * math.cos(math.pi * done))

    def _gradient(self):
        self.vector.grad = None
        part = self.parts["train"]
        loss = self.objective.loss(
            self.objective.terms(part.labels, self.model.predict(self.vector, part.moments, list(self.weights))),
            self.vector,
        )
        loss.backward()
        return loss.detach()

    def _check_finite(self, loss):
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is not finite after {self.step} steps: lower optimizer.adam_lr, or check the labels"
            )

    # -- looking ---------------------------------------------------------------------------------------------------

    def evaluate(self, name: str, vector: Tensor | None = None) -> dict[str, Tensor]:
        """Return the predictions for a split, without gradients."""
        with torch.no_grad():
            vector = self.vector if vector is None else vector
            return self.model.predict(vector, self.parts[name].moments, list(self.weights))

    def _report(self, on_report, start):
        row: dict[str, Any] = {"step": self.step, "stage": "adam" if self.step < self.config.optimizer.adam_steps
                               else "lbfgs"}  # fmt: skip
        losses = {}
        for name in ("train", "validation"):
            if name in self.parts:
                with torch.no_grad():
                    labels, predictions = self.parts[name].labels, self.evaluate(name)
                    losses[name] = float(self.objective.loss(self.objective.terms(labels, predictions)))
                    terms = self.objective.terms(labels, predictions, weighted=False)
                self._check_finite(losses[name])
                row[f"loss_{name}"] = losses[name]
                for label, term in terms.items():
                    row[f"rmse_{label}_{name}"] = float(term) ** 0.5 * self.objective.spreads[label]
        self.history.append(row)
        watched = losses.get("validation", losses["train"])
        if watched < self.best["loss"]:
            self.best = {"step": self.step, "loss": watched, "vector": self.vector.detach().clone()}
        self.seconds = time.monotonic() - start
        if on_report is not None:
            on_report(self)

    def result(self) -> tuple[Tensor, int]:
        """Return the parameters to keep and their step: the best on validation data if there are any, else the last."""
        if self.config.output.keep_best and "validation" in self.parts:
            return self.best["vector"], self.best["step"]
        return self.vector.detach(), self.step

    def parameters(self) -> NepParameters:
        """Return the result as the parameters of a ``nep.txt``."""
        return self.model.to_nep(self.result()[0], self.max_neighbors)

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on exactly as if nothing had happened."""
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "vector": self.vector.detach(),
            "scaling": asdict(self.model.scaling),
            "optimizer": None if self._optimizer is None else self._optimizer.state_dict(),
            "best": self.best,
            "history": self.history,
        }

    def restore(self, path: Path) -> None:
        """Take up the state of a checkpoint.

        Raises
        ------
        DataFileError
            If the file cannot be used.
        InputError
            If it belongs to another configuration or other data.
        """
        state = load_checkpoint(path)
        for what, value in self.fingerprint.items():
            if state["fingerprint"].get(what) != value:
                raise InputError(
                    f"{path} was written with another {what}: use another output directory, or --restart to discard it"
                )
        self.model.scaling = Scaling(**state["scaling"])
        with torch.no_grad():
            self.vector.copy_(state["vector"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.history = state["best"], state["history"]
        self._optimizer = None
        if state["optimizer"] is not None and not self.finished:
            cls = torch.optim.Adam if "betas" in state["optimizer"]["param_groups"][0] else torch.optim.LBFGS
            self._optimizer = cls([self.vector])
            self._optimizer.load_state_dict(state["optimizer"])
