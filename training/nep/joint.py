"""Train several models of one configuration together, each on its own structures.

All models step at the same time.  One batched evaluation over the blocks of all structures gives the gradients of all
models; each model counts only its own structures.  Every model has an optimizer of its own.  Where optimizers request
gradients themselves (line searches of L-BFGS), one evaluation serves all models that wait for a gradient.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from tnep_calc.structures import LabelledStructure

from ..common.checkpoint import load_matching
from ..common.labels import OF_STRUCTURES
from ..common.loop import run_steps
from ..common.memory import memory_errors_explained
from .config import TrainingConfig
from .evaluation import Clock, log_speed, predictions_of
from .lockstep import evaluate_in_lockstep
from .loss import Objective, set_gradient, share_of
from .model import NepOnMoments
from .parts import Block
from .scaling import Scaling
from .shared_parts import MomentPool
from .trainer import Trainer

log = logging.getLogger(__name__)


class JointTrainer:
    """Training runs whose steps are computed together.

    Parameters
    ----------
    members : sequence of Trainer
        Runs of one configuration (except for seed and directory) at the same step, with moments from the pool.
    pool : MomentPool

    Attributes
    ----------
    clock : Clock
        Number and time of the gradients of this process, of all models at once.
    """

    def __init__(self, members: Sequence[Trainer], pool: MomentPool):
        self.members, self.pool = list(members), pool
        self.config = self.members[0].config
        self.clock = Clock()
        rows = [pool.membership(member.parts["train"].structures) for member in self.members]
        self._membership = torch.stack(rows).to(pool.storage.device)
        self._rows = [self._rows_of(member) for member in self.members]
        self._stacked: tuple[tuple[int, ...], NepOnMoments, Objective] | None = None

    @classmethod
    def of(
        cls,
        configs: Sequence[TrainingConfig],
        structures: Sequence[LabelledStructure],
        indices: Sequence[Mapping[str, np.ndarray]],
    ) -> JointTrainer:
        """Return runs on splits of the same structures.

        Parameters
        ----------
        configs : sequence of TrainingConfig
        structures : sequence of LabelledStructure
        indices : sequence of mapping of str to array of int
            Structures of each split, for each run.
        """
        trained, evaluated = (
            [[structures[k] for name in names for k in own[name]] for own in indices]
            for names in (("train",), ("validation", "test"))
        )
        pool = MomentPool(configs[0], trained, evaluated)
        members = []
        for k, (config, own) in enumerate(zip(configs, indices, strict=True), start=1):
            log.info("member %d of %d: %s", k, len(configs), ", ".join(f"{len(v)} {name}" for name, v in own.items()))
            members.append(Trainer(config, structures, own, pool))
            members[-1].name_in_log = f"member {k}: "
        return cls(members, pool)

    # -- interface of the training loop ----------------------------------------------------------------------------

    @property
    def active(self) -> list[int]:
        """Indices of the members that are not finished."""
        return [k for k, member in enumerate(self.members) if not member.finished]

    @property
    def moving(self) -> list[int]:
        """Indices of the members that do the next step; L-BFGS waits until no member does first-order steps."""
        active = self.active
        first = [k for k in active if self.members[k].stage != "lbfgs" and not self.members[k].out_of_patience]
        return first or active

    @property
    def step(self) -> int:
        """Smallest step of the moving members; when all are finished, the largest step of any member."""
        moving = [self.members[k].step for k in self.moving]
        return min(moving) if moving else max(member.step for member in self.members)

    @property
    def finished(self) -> bool:
        """Whether all members are finished."""
        return not self.active

    @property
    def report_due(self) -> bool:
        """Whether the initial parameters still have to be reported."""
        return not self.has_reported

    @property
    def has_reported(self) -> bool:
        """Whether every member has reported at least once."""
        return all(member.has_reported for member in self.members)

    @property
    def progress(self) -> str:
        """Number of steps done, as text for the log."""
        return f"{self.step} of {self.total_steps} steps"

    @property
    def total_steps(self) -> int:
        """Number of steps of a run."""
        return self.members[0].total_steps

    @property
    def seconds(self) -> float:
        """Time of all members together; setting it gives each an equal share."""
        return sum(member.seconds for member in self.members)

    @seconds.setter
    def seconds(self, value: float):
        for member in self.members:
            member.seconds = value / len(self.members)

    @property
    def fingerprint(self) -> dict[str, str]:
        """Hashes of everything that affects the results, over all members."""
        names = {name for member in self.members for name in member.fingerprint}
        own = {name: [member.fingerprint.get(name, "") for member in self.members] for name in sorted(names)}
        return {name: hashlib.sha256(" ".join(values).encode()).hexdigest() for name, values in own.items()}

    @memory_errors_explained()
    def run(
        self, on_report: Callable[[JointTrainer], None] | None = None, save: Callable[[], None] | None = None
    ) -> None:
        """Train all members to the end; for the arguments see :func:`tnep_calc.training.common.loop.run_steps`."""
        run_steps(self, self.config.output.report_interval, self.config.output.checkpoint_interval, on_report, save)
        log_speed(self.clock, self.speed())

    def advance(self) -> None:
        """Do one first-order step, or a few iterations of L-BFGS, with all moving members."""
        moving = self.moving
        for member in self.members:
            member.predicted = {}
        for k in moving:
            if self.members[k].out_of_patience:
                self.members[k].start_lbfgs()
        first = self.members[moving[0]]
        if first.stage == "lbfgs":
            tasks = [self.members[k].lbfgs_step for k in moving]
            evaluate_in_lockstep(tasks, lambda waiting: self._gradients([moving[k] for k in waiting], None))
            return
        losses = self._gradients(moving, first.batch(self.pool.fitted))
        for k, loss in zip(moving, losses, strict=True):
            self.members[k].first_order_step(partial(float, loss))
        if first.step == first.choice_step:
            self._stacked = None  # the best start of each has its own constants

    def report(self) -> None:
        """Add a row to the history of each member that has done steps since its last row.

        These members keep their predictions until the next step.
        """
        behind = [
            k
            for k, member in enumerate(self.members)
            if not member.has_reported or member.history[-1]["step"] < member.step
        ]
        self.predict(behind)
        for k in behind:
            self.members[k].report()

    def speed(self) -> dict[str, float]:
        """Return the cost and the measured speed of a pass over all training structures; see :meth:`Clock.speed`."""
        return self.clock.speed(self.pool.fitted, self.members[0].model, len(self.members))

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        return {"fingerprint": self.fingerprint, "members": [member.state() for member in self.members]}

    def restore(self, path: Path) -> None:
        """Load a checkpoint; see :func:`tnep_calc.training.common.checkpoint.load_matching` for the errors."""
        self.load_state(load_matching(path, self.fingerprint))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        for member, own in zip(self.members, state["members"], strict=True):
            member.load_state(own)
        self._stacked = None

    # -- batched evaluation of all models --------------------------------------------------------------------------

    def _gradients(self, chosen: list[int], blocks: list[Block] | None) -> list[float]:
        """Set the gradients of some members over blocks of the pool (None: all), and return their losses."""
        start, part = time.perf_counter(), self.pool.fitted
        blocks = part.blocks if blocks is None else blocks
        rows = [self.members[k].vector.detach() for k in chosen]
        sizes = [len(row) if row.ndim == 2 else 1 for row in rows]
        vectors = torch.cat([row.reshape(size, -1) for row, size in zip(rows, sizes, strict=True)]).requires_grad_()
        model, objective = self._stack(chosen, sizes)
        fits = self._membership[chosen].repeat_interleave(torch.tensor(sizes, device=self._membership.device), dim=0)
        losses = set_gradient(vectors, model, objective, blocks, frozen=self.members[0].frozen, fits=fits)
        for k, gradient in zip(chosen, cast(Tensor, vectors.grad).split(sizes), strict=True):
            self.members[k].vector.grad = gradient.reshape(self.members[k].vector.shape)
        found = [float(own.sum()) for own in losses.split(sizes)]
        self.clock.add(share_of(part, blocks), time.perf_counter() - start)
        return found

    def _stack(self, chosen, sizes):
        """Return the model and the objective with the constants of some members."""
        if self._stacked is None or self._stacked[0] != (*chosen, *sizes):
            members = [self.members[k] for k in chosen]
            scalings = [m.model.scaling.member(j) for m, size in zip(members, sizes, strict=True) for j in range(size)]
            objectives = [m.objective for m, size in zip(members, sizes, strict=True) for _ in range(size)]
            model = members[0].model.with_scaling(Scaling.stack(scalings))
            self._stacked = (*chosen, *sizes), model, Objective.stack(objectives)
        _, model, objective = self._stacked
        return model, replace(objective, weights=self.members[chosen[0]].objective_now().weights)

    def predict(self, chosen: Sequence[int]) -> None:
        """Predict the splits of some members in one batch, and store the results in these members."""
        members = [self.members[k] for k in chosen]
        model = members[0].model.with_scaling(Scaling.stack([m.model.scaling.member(0) for m in members]))
        vectors, wanted = torch.stack([m.leader() for m in members]), list(members[0].weights)
        found = [predictions_of(part, model, vectors, wanted) for part in self.pool.all_parts]
        together = {name: torch.cat([values[name] for values in found], dim=1) for name in wanted}
        for own, k in enumerate(chosen):
            for split, (structures, atoms) in self._rows[k].items():
                self.members[k].predicted[split] = {
                    name: values[own, structures if name in OF_STRUCTURES else atoms]
                    for name, values in together.items()
                }

    def _rows_of(self, member):
        """Places of a member's structures, and of their atoms, among those of the pool, by split."""
        ends, rows = np.cumsum([0, *(len(s) for part in self.pool.all_parts for s in part.structures)]), {}
        for split, part in member.parts.items():
            structures = self.pool.places(part.structures)
            rows[split] = structures, np.concatenate([np.arange(ends[k], ends[k + 1]) for k in structures])
        return rows
