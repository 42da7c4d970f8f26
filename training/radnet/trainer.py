"""The training loop of the radnet family: Adam, a learning rate that falls on plateaus, early stopping, resume."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.errors import InputError
from tnep_calc.models.radnet.sites import RadnetShape, RadnetSites
from tnep_calc.progress import tracked
from tnep_calc.structures import LabelledStructure

from ..common import processes
from ..common.epochs import EpochTrainer
from ..common.labels import site_constants, spreads
from ..common.splits import SPLITS
from .config import RadnetConfig
from .data import Edges, Pool, make_pool, read_structures
from .initial import initialise
from .prediction import predict
from .symmetry import random_operations

_BRANCHES_OPEN = 0.05  # of the epochs: until then a folded dipole does not count where there are Born charges
_SMALLER = 1e-3  # relative: a loss that is smaller by less has not become smaller, for plateaus and early stopping
log = logging.getLogger(__name__)

_AT_ONCE = 64  # structures that are evaluated together for a report
_DERIVATIVES = {"born_charges": 3, "polarizability_gradient": 6}  # labels that a step compares along one direction


class RadnetTrainer(EpochTrainer):
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

    STATEFUL = ("sites", "average", "result", "optimizer", "schedule")
    config: RadnetConfig
    pool: Pool
    sites: RadnetSites
    average: RadnetSites

    def __init__(
        self,
        config: RadnetConfig,
        structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None,
        pool: Pool | None = None,
    ):
        super().__init__(config, config.loss.weights(config.model.targets), structures, indices, read_structures)
        opt, model = config.optimizer, config.model
        self.pool = make_pool(config, self.structures) if pool is None else pool
        train = self.indices["train"]
        self.n_train = len(train)
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
        self.best, self.since_best = math.inf, 0
        self.begin_pass()

    def _parts(self):
        return [(name, self.indices[name]) for name in SPLITS if len(self.indices[name])]

    @property
    def stopped(self) -> bool:
        """Whether the loss has not become smaller for too many reports."""
        return 0 < self.config.optimizer.early_stopping <= self.since_best

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the training was stopped early."""
        return self.stopped or super().finished

    # -- steps -----------------------------------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Draw the order of the training structures; all that is random depends on seed and epoch alone."""
        self._rng = np.random.default_rng([self.config.model.seed, self.epoch])
        self._order = self._rng.permutation(self.n_train)

    def train_on(self, chosen: np.ndarray) -> None:
        """Do one step on a batch of training structures, each turned by an operation of its own."""
        rng = self._rng
        crystals = [self.pool.crystals[self.indices["train"][k]] for k in chosen]
        operations = torch.from_numpy(random_operations(crystals, self.config.data.augmentation, rng))
        directions = {}
        for name in (name for name in _DERIVATIVES if name in self.weights):
            drawn = torch.from_numpy(rng.standard_normal((len(chosen), 1, _DERIVATIVES[name])))
            directions[name] = torch.nn.functional.normalize(drawn, dim=2).to(self.device)
        known = self.labels["train"].select(chosen.tolist()).known
        counts = {name: int(known[name].sum()) for name in self.weights}
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        if own := processes.own_places(len(chosen)):
            along = {name: drawn[own] for name, drawn in directions.items()}
            loss = loss + self._loss(chosen[own], operations.to(self.device)[own], along, counts)
        total = loss.detach().clone()
        processes.add_up(total)
        if not torch.isfinite(total):
            raise InputError(f"the loss is not finite in step {self.step}: lower optimizer.lr")
        self.optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        processes.add_up_gradients(self.sites.parameters())
        if any(counts[name] for name in self._current_weights()):  # else no structure has a label that counts
            self.optimizer.step()
        self.step += 1
        self.update_average()

    def _loss(
        self, chosen: np.ndarray, operations: Tensor, directions: Mapping[str, Tensor], counts: Mapping[str, int]
    ) -> Tensor:
        """Return what some training structures add to the loss of a batch with `counts` known rows of each label."""
        labels = self.labels["train"].select(chosen.tolist())
        structures = Edges.joined([self.edges["train"][k] for k in chosen])
        found = predict(self.sites, structures, operations, directions, True)
        for name, along in directions.items():
            components = "aij" if name == "born_charges" else "aji"
            target = torch.einsum(f"adi,{components}->adj", along[structures.atoms], labels.targets[name])
            found[name] = found[name].double() - target
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        for name, weight in self._current_weights().items():
            error = found[name] if name in directions else labels.error(name, found[name])
            share = labels.weights[name][:, :1].reshape(-1, *[1] * (error.ndim - 1))
            if counts[name]:
                mean = (share * error.square()).sum() / (counts[name] * error[0].numel())
                loss = loss + weight / self.spreads[name] ** 2 * mean
        return loss

    def _current_weights(self) -> dict[str, float]:
        """Weights of the labels; without the dipole while Born charges have not yet told its branch."""
        waits = self.epoch < _BRANCHES_OPEN * self.config.optimizer.epochs and self.dipole_can_wait()
        return {name: weight for name, weight in self.weights.items() if not (waits and name == "dipole")}

    # -- reports ---------------------------------------------------------------------------------------------------

    def evaluate(self, split: str, sites: RadnetSites | None = None) -> dict[str, Tensor]:
        """Return the predictions of a split in the shapes of its labels, on the CPU; by default those of the result."""
        sites = self.result if sites is None else sites
        parts = []
        starts = range(0, len(self.edges[split]), _AT_ONCE)
        for first in tracked(starts, log, "parts of the structures predicted", len(starts)):
            some = Edges.joined(self.edges[split][first : first + _AT_ONCE])
            axes = {
                name: torch.eye(n, dtype=torch.float64, device=self.device).expand(some.count, n, n)
                for name, n in _DERIVATIVES.items()
                if name in self.pool.labels.targets
            }
            found = predict(sites, some, None, axes)
            if "polarizability_gradient" in found:  # from [atom, component, displacement] to the order of the label
                found["polarizability_gradient"] = found["polarizability_gradient"].transpose(1, 2)
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
        """Return the state of the base class, that of the random numbers, and how long ago the loss was smallest."""
        state = super().state()
        kept = {k: v for k, v in state["schedule"].items() if isinstance(v, (int, float, list))}
        random = json.dumps(self._rng.bit_generator.state)
        return state | {"schedule": kept, "random": random, "best": self.best, "since_best": self.since_best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        super().load_state(state)
        self._rng.bit_generator.state = json.loads(state["random"])
        self.best, self.since_best = state["best"], state["since_best"]
