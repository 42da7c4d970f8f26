"""Ensembles of NEP models: models of one configuration, each trained on another part of the structures, in one run.

Moments are computed once, and all members step together, see :mod:`tnep_calc.training.joint`.

With ``output.keep_best`` the best step is chosen by the validation structures, so their errors are a little too small;
the test structures are free of that.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.plotting.training import plot_losses

from .checkpoint import save_checkpoint
from .comparison import panels
from .config import TrainingConfig
from .device import resolve, room_in_memory
from .former import check_former, discard
from .joint import JointTrainer
from .members import MemberValues, mean_and_deviation, member_config, member_indices, split_hash, write_summary
from .objective import ABOUT_SPECIES, make_labels
from .objective import spreads as label_spreads
from .outputs import log_start, report_progress, write_results
from .preparation import labelled, read_structures
from .run_files import resume, write_figure
from .splits import SPLITS
from .trainer import Trainer

log = logging.getLogger(__name__)


@room_in_memory()
def run_ensemble(config: TrainingConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; go on where a killed run stopped.

    Every member has a directory ``member1``, ``member2``, ... with what a single run writes (``nep.txt``,
    ``model.pt``, ...), but for the checkpoint.  That of all is beside them, and ``ensemble.json``, ``loss.png`` of all
    members, and ``parity.png`` and ``parity.npz`` of their mean.

    Parameters
    ----------
    config : TrainingConfig
        With ``ensemble.n_splits`` of at least 2.
    restart : bool, default False
        Discard what a former run has left in the directory, as soon as this one can begin.

    Returns
    -------
    dict
        What ``ensemble.json`` has.

    Raises
    ------
    InputError
        If the directory has a run of another configuration or other data, members of a larger ensemble, or models
        without a checkpoint, or if structures or memory are too few.
    DataFileError
        If data or a checkpoint cannot be used.
    """
    resolve(config.optimizer.device)  # before any work
    configs = [member_config(config, k) for k in range(config.ensemble.n_splits)]
    check_former(config, restart)
    structures = read_structures(config)
    indices = [labelled(own, structures, config) for own in member_indices(structures, config)]
    together = JointTrainer.of(configs, structures, indices)
    for trainer, own in zip(together.members, indices, strict=True):
        trainer.fingerprint.update(split_hash(trainer.config, own))
    if restart:
        discard(config.directory)
    checkpoint = resume(config.directory, together)
    for member in configs:
        member.directory.mkdir(exist_ok=True)
    log_start(together.members)
    together.run(
        lambda _: report_progress(together.members, [member.directory for member in configs]),
        lambda: save_checkpoint(checkpoint, together.state()),
    )
    collected, results = _Predictions(structures), []
    for k, trainer in enumerate(together.members, start=1):
        log.info("errors of member %d:", k)
        results.append(write_results(trainer, trainer.config.directory))
        collected.add(trainer)
    compared = collected.panels(config)
    write_figure(config.directory / "loss.png", plot_losses([trainer.history for trainer in together.members]))
    return write_summary(config, indices, results, compared)


class _Predictions:
    """What every member predicts for the structures of each of its splits.

    The dipole of a member is compared on the branch of the polarization that is nearest to the label.  So the mean of
    the members is the label, on the branch of the first member that has the structure, plus the mean error.
    """

    def __init__(self, structures: Sequence[LabelledStructure]):
        self.structures = structures
        self.values = MemberValues(structures)
        self._quanta: dict[int, torch.Tensor] = {}  # of a structure's first prediction above its label

    def add(self, trainer: Trainer) -> None:
        """Add the predictions of a member's result."""
        vector, _ = trainer.result()
        for split, part in trainer.parts.items():
            chosen = trainer.indices[split].tolist()
            for name, value in trainer.evaluate(split, vector).items():
                if name == "dipole" and part.labels.fold is not None:
                    near = part.labels.targets[name] + part.labels.error(name, value) * part.labels.counts[:, None]
                    quanta = zip(chosen, value - near, strict=True)
                    value = near + torch.stack([self._quanta.setdefault(k, own) for k, own in quanta])
                self.values.add(split, name, chosen, value.numpy())

    def panels(self, config: TrainingConfig) -> list[dict[str, Any]]:
        """Return panels of the mean over the members, with their standard deviations as ``deviation``.

        The spread of what a split has of a label is taken about the mean of each component, of Born charges and dipoles
        of atoms about that of each species and component.
        """
        means: dict[str, Any] = {}
        above: dict[str, Any] = {}
        for split in SPLITS:
            structures = [self.structures[k] for k in self.values.chosen(split)]
            if not structures:
                continue
            found = {name: mean_and_deviation(values) for name, values in self.values.stacked(split).items()}
            labels = make_labels(structures, list(found), config.model.species, config.data.fold_dipole)
            means[split] = structures, labels, _tensors({name: mean for name, (mean, _) in found.items()})
            above[split] = structures, labels, _tensors({name: mean + off for name, (mean, off) in found.items()})
        spreads = {name: np.nan for name in config.loss.weights(config.model.kind)}
        compared = panels(means, spreads)
        nothing = torch.zeros(len(config.model.species), dtype=torch.float64)
        about_species = {split: label_spreads(labels, nothing) for split, (_, labels, _) in means.items()}
        for panel, other in zip(compared, panels(above, spreads), strict=True):
            for split, numbers in panel["splits"].items():
                numbers["deviation"] = other["splits"][split]["prediction"] - numbers["prediction"]
                target = numbers["target"]
                numbers["spread"] = float((target - target.mean(axis=0)).std())
                if panel["name"] in ABOUT_SPECIES:
                    numbers["spread"] = about_species[split][panel["name"]]
        return compared


def _tensors(values: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in values.items()}
