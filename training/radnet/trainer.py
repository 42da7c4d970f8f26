"""The training loop of the radnet family: Adam, a learning rate that falls on plateaus, early stopping, resume."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.device import resolve
from tnep_calc.errors import InputError
from tnep_calc.models.radnet.sites import RadnetShape, RadnetSites
from tnep_calc.structures import LabelledStructure

from ..common.checkpoint import fingerprint, load_matching, save_checkpoint
from ..common.labels import site_constants, spreads
from ..common.loop import run_steps
from ..common.splits import SPLITS, split_indices
from .config import RadnetConfig
from .data import Edges, Pool, make_pool, read_structures
from .initial import initialise
from .prediction import predict
from .symmetry import random_operations

_BRANCHES_OPEN = 0.05  # of the epochs: until then a folded dipole does not count where there are Born charges
_SMALLER = 1e-3  # relative: a loss that is smaller by less has not become smaller, for plateaus and early stopping
_AT_ONCE = 64  # structures that are evaluated together for a report


class RadnetTrainer:
    """One training run.

    Parameters
    ----------
    config : RadnetConfig
    structures : list of LabelledStructure, optional
        Instead of reading the files of the configuration.
    indices : mapping of str to array of int, optional
        Structures of each split, instead of drawing them by the fractions of the configuration.
    pool : Pool, optional
        All structures as tensors, from another run with the same model.

    Attributes
    ----------
    pool : Pool
    indices : dict of str to array of int
    sites : RadnetSites
        The model that is stepped.
    average : RadnetSites
        Moving average of its parameters.
    result : RadnetSites
        Average of the report with the smallest loss.
    history : list of dict
        A row per report: epoch, learning rate, loss and RMSE of each label.
    """

    def __init__(
        self,
        config: RadnetConfig,
        structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None,
        pool: Pool | None = None,
    ):
        torch.set_num_threads(config.optimizer.threads)
        self.config, opt, model = config, config.optimizer, config.model
        self.device = resolve(opt.device)
        self.weights = config.loss.weights(model.targets)
        structures = read_structures(config) if structures is None else structures
        missing = [name for name in self.weights if all(getattr(s, name) is None for s in structures)]
        if missing:
            off = ", ".join(f"loss.{name} = 0" for name in missing)
            raise InputError(f"no structure has {', '.join(missing)}: set {off}, or give data.keys")
        self.fingerprint = fingerprint(config, structures)
        self.indices = dict(indices) if indices is not None else split_indices(structures, config)
        self.pool = make_pool(config, structures) if pool is None else pool
        train = self.indices["train"]
        labels = self.pool.labels.select(train.tolist())
        for name in self.weights:
            if not labels.known[name].any():
                raise InputError(f"none of the {len(train)} structures to train on has the label '{name}'")
        self.labels = {name: self.pool.labels.select(k.tolist()).to(self.device) for name, k in self._parts()}
        constants = torch.zeros(len(model.species), dtype=torch.float64)
        if "polarizability" in labels.targets:
            constants = site_constants(labels, "polarizability", len(model.species))
        self.spreads = spreads(labels, constants)
        shape = RadnetShape(
            len(model.species),
            model.targets,
            model.architecture,
            model.cutoff,
            model.width,
            model.sigma,
            model.points,
            model.filters,
            model.hidden,
        )
        self.sites = RadnetSites(shape, DTYPES[opt.precision])
        own = [self.pool.crystals[k] for k in train]
        initialise(
            self.sites,
            [self.pool.edges[k] for k in train],
            labels,
            own,
            config.data.augmentation,
            model.normalisation,
            model.seed,
        )
        self.sites.to(self.device)
        self.edges = {name: [self.pool.edges[i].to(self.device) for i in k] for name, k in self._parts()}
        self.average, self.result = (copy.deepcopy(self.sites).requires_grad_(False) for _ in range(2))
        self.optimizer = torch.optim.AdamW(self.sites.parameters(), lr=opt.lr, weight_decay=config.loss.weight_decay)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=opt.factor, patience=opt.patience, min_lr=opt.min_lr, threshold=_SMALLER, eps=0.0
        )
        self.step, self.seconds = 0, 0.0
        self.best, self.since_best = math.inf, 0
        self._begin_pass()
        self.history: list[dict[str, Any]] = []

    def _parts(self):
        return [(name, self.indices[name]) for name in SPLITS if len(self.indices[name])]

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of one pass."""
        return math.ceil(len(self.edges["train"]) / self.config.optimizer.batch)

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
    def report_due(self) -> bool:
        """Whether a report is due before the next step: never, as the first one follows the first epochs."""
        return False

    @property
    def stopped(self) -> bool:
        """Whether the loss has not become smaller for too many reports."""
        return 0 < self.config.optimizer.early_stopping <= self.since_best

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the training was stopped early."""
        return self.stopped or self.step >= self.total_steps

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, on_report: Callable[[RadnetTrainer], None] | None = None, checkpoint: Path | None = None) -> None:
        """Train to the end, from wherever the state is; the intervals of ``[output]`` count epochs.

        Parameters
        ----------
        on_report : callable, optional
            Called with the trainer after each report.
        checkpoint : path, optional
            File to keep the state in.
        """
        out, length = self.config.output, self.steps_per_epoch
        save = None if checkpoint is None else lambda: save_checkpoint(checkpoint, self.state())
        run_steps(self, length * out.report_interval, length * out.checkpoint_interval, on_report, save)

    def _begin_pass(self):
        """Draw the order of the training structures; all that is random depends on seed and epoch alone."""
        self._rng = np.random.default_rng([self.config.model.seed, self.epoch])
        self._order = self._rng.permutation(len(self.edges["train"]))

    def advance(self) -> None:
        """Do one step: the next batch of the pass over the training structures."""
        place, batch = self.step % self.steps_per_epoch, self.config.optimizer.batch
        if place == 0:
            self._begin_pass()
        self._step(self._order[place * batch : (place + 1) * batch], self._rng)

    def _step(self, chosen: np.ndarray, rng: np.random.Generator):
        crystals = [self.pool.crystals[self.indices["train"][k]] for k in chosen]
        operations = torch.from_numpy(random_operations(crystals, self.config.data.augmentation, rng))
        drawn = torch.from_numpy(rng.standard_normal((len(chosen), 1, 3)))
        directions = torch.nn.functional.normalize(drawn, dim=2).to(self.device)
        labels = self.labels["train"].select(chosen.tolist())
        structures = Edges.joined([self.edges["train"][k] for k in chosen])
        born = "born_charges" in self.weights
        found = predict(self.sites, structures, operations.to(self.device), directions if born else None, True)
        if born:
            found["born_charges"] = found["born_charges"].double() - torch.einsum(
                "adi,aij->adj", directions[structures.atoms], labels.targets["born_charges"]
            )
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        for name, weight in self._current_weights().items():
            error = found[name] if name == "born_charges" else labels.error(name, found[name])
            share = labels.weights[name][:, :1].reshape(-1, *[1] * (error.ndim - 1))
            count = labels.known[name].sum()
            if count:
                mean = (share * error.square()).sum() / (count * error[0].numel())
                loss = loss + weight / self.spreads[name] ** 2 * mean
        if not torch.isfinite(loss):
            raise InputError(f"the loss is not finite in step {self.step}: lower optimizer.lr")
        self.optimizer.zero_grad()
        if loss.requires_grad:  # not if no structure of the batch has a label that counts
            loss.backward()
            self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            decay = min(self.config.optimizer.average, (1 + self.step) / (10 + self.step))
            for mean, parameter in zip(self.average.parameters(), self.sites.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)

    def _current_weights(self) -> dict[str, float]:
        """Weights of the labels; without the dipole while Born charges have not yet told its branch."""
        early = self.epoch < _BRANCHES_OPEN * self.config.optimizer.epochs
        waits = early and {"dipole", "born_charges"} <= set(self.weights) and self.config.data.fold_dipole
        return {name: weight for name, weight in self.weights.items() if not (waits and name == "dipole")}

    # -- reports ---------------------------------------------------------------------------------------------------

    def evaluate(self, split: str, sites: RadnetSites | None = None) -> dict[str, Tensor]:
        """Return the predictions of a split in the shapes of its labels, on the CPU; by default those of the result."""
        sites = self.result if sites is None else sites
        parts = []
        for first in range(0, len(self.edges[split]), _AT_ONCE):
            some = Edges.joined(self.edges[split][first : first + _AT_ONCE])
            axes = torch.eye(3, dtype=torch.float64, device=self.device).expand(some.count, 3, 3)
            born = "born_charges" in self.pool.labels.targets
            found = predict(sites, some, None, axes if born else None)
            parts.append({name: value.detach().double().cpu() for name, value in found.items()})
        names = [name for name in parts[0] if name in self.pool.labels.targets]
        return {name: torch.cat([part[name] for part in parts]) for name in names}

    def report(self) -> None:
        """Add a row to the history, and keep the parameters if they are the best so far."""
        row: dict[str, Any] = {"epoch": self.epoch, "seconds": self.seconds, "lr": self.optimizer.param_groups[0]["lr"]}
        losses = {}
        for split in ("train", "validation"):
            if split in self.edges:
                errors = self._errors(split)
                losses[split] = sum(
                    w * (errors[name] / self.spreads[name]) ** 2 for name, w in self.weights.items() if name in errors
                )
                row[f"loss_{split}"] = losses[split]
                row.update({f"rmse_{name}_{split}": value for name, value in errors.items()})
        self.history.append(row)
        judged = losses.get("validation", losses["train"])
        self.since_best = 0 if judged < self.schedule.best * (1 - _SMALLER) else self.since_best + 1
        if judged < self.best:
            self.best = judged
            self.result.load_state_dict(self.average.state_dict())
        self.schedule.step(judged)

    def _errors(self, split: str) -> dict[str, float]:
        """Return the RMSE of each label of the averaged model; of a split without it, nothing."""
        labels = self.pool.labels.select(self.indices[split].tolist())
        found = self.evaluate(split, self.average)
        return {
            name: float(labels.known_errors(name, value).square().mean().sqrt())
            for name, value in found.items()
            if labels.known[name].any()
        }

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return all that is needed to resume exactly as if nothing had happened, on this device or another."""
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "random": json.dumps(self._rng.bit_generator.state),
            "sites": self.sites.state_dict(),
            "average": self.average.state_dict(),
            "result": self.result.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if isinstance(v, (int, float, list))},
            "best": self.best,
            "since_best": self.since_best,
            "history": self.history,
        }

    def restore(self, path: Path) -> None:
        """Load the state of a checkpoint; errors as :meth:`tnep_calc.training.nep.trainer.Trainer.restore`."""
        state = load_matching(path, self.fingerprint)
        for name in ("sites", "average", "result", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]
        self._begin_pass()
        self._rng.bit_generator.state = json.loads(state["random"])
        self.best, self.since_best, self.history = state["best"], state["since_best"], state["history"]
