"""Train several GPUMD training folders together with the gradient engine.

Each folder has a checkpoint of its own, from which it can also resume alone.  The run may be killed when some
checkpoints hold the new state and others the previous one.  Every checkpoint therefore holds both.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..common.checkpoint import load_matching, save_checkpoint
from ..common.loop import time_left
from ..nep.joint import JointTrainer
from ..nep.shared_parts import MomentPool
from .folder import CHECKPOINT, Folder, RunOptions
from .gradient import FolderTrainer, Reports, Targets, log_summary
from .keywords import gradient_config

log = logging.getLogger(__name__)

_TOGETHER = "together"  # entry of the checkpoints


def group_of(folder: Folder, run: RunOptions) -> Hashable:
    """Return a key that is equal for folders that can be trained together: the configuration without the seed."""
    content = gradient_config(folder, run).content()
    del content["model"]["seed"]
    return json.dumps(content, sort_keys=True)


def train_together(folders: Sequence[Folder], run: RunOptions) -> None:
    """Train several folders of one group at the same time; each resumes from its checkpoint if there is one.

    Files, errors and ``loss.out`` are those of :func:`tnep_calc.training.gpumd.gradient.train_gradient`.
    """
    folders = sorted(folders, key=lambda folder: folder.path.resolve())  # a resumed run may name them in another order
    configs = [gradient_config(folder, run) for folder in folders]
    targets = [Targets(folder, config) for folder, config in zip(folders, configs, strict=True)]
    pool = MomentPool(configs[0], *([t.of(split) for t in targets] for split in ("train", "validation")))
    trainers = [FolderTrainer(config, own, pool) for config, own in zip(configs, targets, strict=True)]
    checkpoints = _Checkpoints(trainers)
    checkpoints.restore()
    log_summary(trainers, run)
    checkpoints.save()  # from here on, a killed run can resume
    reports = [Reports(trainer) for trainer in trainers]
    shown = [len(trainer.history) for trainer in trainers]

    def report(joint):
        new = [k for k, trainer in enumerate(trainers) if len(trainer.history) > shown[k]]
        for k in new:
            shown[k] = len(trainers[k].history)
            reports[k].write(time_left(joint.seconds, joint.step, joint.total_steps) if k == new[-1] else "")

    for step in sorted({trainer.step for trainer in trainers if not trainer.finished}):
        own = [trainer for trainer in trainers if trainer.step == step and not trainer.finished]
        if len(own) > 1:
            log.info("%d folders are trained together", len(own))
        JointTrainer(own, pool).run(report, checkpoints.save)
    for trainer in trainers:
        trainer.finish(run)


class _Checkpoints:
    """The checkpoints of folders that are trained together.

    In addition to the state, each holds the number of the round in which it was written, the state of the previous
    round, and a hash of everything that affects the results of the group.
    """

    def __init__(self, trainers: Sequence[FolderTrainer]):
        self._trainers, self._round = trainers, 0
        self._before: list[Mapping[str, Any] | None] = [None] * len(trainers)
        prints = json.dumps([sorted(trainer.fingerprint.items()) for trainer in trainers])
        self._group = hashlib.sha256(prints.encode()).hexdigest()

    def restore(self) -> None:
        """Load the newest round that all folders have; folders last trained in other groups load their newest state."""
        states = {
            k: load_matching(path, trainer.fingerprint)
            for k, trainer in enumerate(self._trainers)
            if (path := trainer.folder.path / CHECKPOINT).exists()
        }
        own = {k: state.get(_TOGETHER, {}) for k, state in states.items()}
        last = 0
        if all(together.get("group") == self._group for together in own.values()):
            last = min((together["round"] for together in own.values()), default=0)
        for k, state in states.items():
            chosen = own[k]["before"] if 0 < last < own[k]["round"] else state
            self._trainers[k].load_state(chosen)
            self._before[k] = {name: value for name, value in chosen.items() if name != _TOGETHER}
        self._round = last

    def save(self) -> None:
        """Write the checkpoints of all folders."""
        self._round += 1
        for k, trainer in enumerate(self._trainers):
            together = {"group": self._group, "round": self._round, "before": self._before[k]}
            state = trainer.state()
            save_checkpoint(trainer.folder.path / CHECKPOINT, {**state, _TOGETHER: together})
            self._before[k] = copy.deepcopy(state)
