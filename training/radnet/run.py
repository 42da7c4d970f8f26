"""A whole radnet training, of one model or an ensemble: words of the log, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tnep_calc.artifact.radnet import export_radnet
from tnep_calc.artifact.training_range import TrainingRange
from tnep_calc.device import describe
from tnep_calc.models.radnet.network import multiplications
from tnep_calc.plotting.training import plot_curves
from tnep_calc.structures import LabelledStructure

from ..common import directory
from ..common.directory import ARTIFACT, write_figure
from ..common.ensemble import MemberValues, panels_of_mean
from ..common.labels import UNITS
from ..common.parity import panels
from ..common.run import FamilyRun, Rows, sizes_as_text
from .config import RadnetConfig, load_radnet_config
from .data import read_structures
from .trainer import RadnetTrainer

log = logging.getLogger(__name__)

Predictions = Mapping[str, Mapping[str, Tensor]]
"""By split and label: what :meth:`tnep_calc.training.radnet.trainer.RadnetTrainer.evaluate` gives."""


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; see :func:`tnep_calc.training.run.train`."""
    config = load_radnet_config(path, output)
    RadnetRun(config, restart).run()
    return config.directory


class RadnetRun(FamilyRun[RadnetConfig, RadnetTrainer]):
    """Training of a radnet model or an ensemble, see :class:`tnep_calc.training.common.run.FamilyRun`.

    An ensemble also writes ``loss.png`` of all members.
    """

    def trainer(self, config: RadnetConfig, *given: Any) -> RadnetTrainer:
        """Return the trainer of a configuration."""
        return RadnetTrainer(config, *given)

    def read_structures(self) -> Sequence[LabelledStructure]:
        """Read and check the structures of the configuration."""
        return read_structures(self.config)

    def log_start(self, trainer: RadnetTrainer) -> None:
        """Log model and data of a run."""
        networks = (*trainer.sites.dipole_networks[:1], *trainer.sites.polarizability_networks[:1])
        work = [multiplications(x, trainer.sites.voxels.points) for x in networks]  # type: ignore[arg-type]
        operations = {len(crystal.operations) for crystal in trainer.pool.crystals}
        turned = trainer.config.data.augmentation.replace("_", " ")
        if turned == "point group":
            turned += f" of {' or '.join(map(str, sorted(operations)))} operations"
        log.info(
            "radnet model: %d parameters, %.3g multiplications per atom; structures: %s; augmentation: %s; on %s",
            sum(p.numel() for p in trainer.sites.parameters()),
            sum(work),
            sizes_as_text(trainer.edges),
            turned,
            describe(trainer.device),
        )

    def train_in(self, folder: Path, trainer: RadnetTrainer) -> None:
        """Train to the end, and log whether the training stopped early."""
        super().train_in(folder, trainer)
        if trainer.stopped:
            log.info("stopped: no smaller loss in %d reports", trainer.since_best)

    def errors_as_text(self, trainer: RadnetTrainer) -> str:
        """Return the learning rate and the RMSE of the last report, training/validation."""
        row, words = trainer.history[-1], []
        for name in trainer.weights:
            values = [row[key] for split in ("train", "validation") if (key := f"rmse_{name}_{split}") in row]
            if values:
                words.append(f"{name} {'/'.join(f'{v:.3g}' for v in values)} {UNITS[name]}")
        return f"lr {row['lr']:.2g}  RMSE: {', '.join(words)}"

    def predictions(self, trainer: RadnetTrainer) -> Predictions:
        """Return the predictions of the result for all splits."""
        return {split: trainer.evaluate(split) for split in trainer.edges}

    def write_results(self, trainer: RadnetTrainer, folder: Path, found: Predictions) -> dict[str, Any]:
        """Write artifact, figures and ``results.json``, and return what the latter has."""
        config, pool = trainer.config, trainer.pool
        made = directory.provenance(config, trainer.fingerprint)
        structures = [pool.structures[k] for k in trainer.indices["train"]]
        known = TrainingRange.of(structures, config.model.species, trainer.result.shape_.cutoff)
        export_radnet(trainer.result, config.model.species, folder / ARTIFACT, made, known.table())
        write_figure(folder / "loss.png", _losses([trainer.history]))
        compared = {}
        for split, values in found.items():
            own = trainer.indices[split].tolist()
            compared[split] = [pool.structures[k] for k in own], pool.labels.select(own), values
        return directory.write_results(
            folder,
            trainer,
            panels(compared, trainer.spreads),
            trainer.edges,
            kind="radnet",
            epochs=trainer.epoch,
            threads=trainer.threads,
            device=describe(trainer.device),
            parameters=sum(p.numel() for p in trainer.result.parameters()),
            formal_polarization=pool.removed,
        )

    def add_member(self, values: MemberValues, trainer: RadnetTrainer, found: Predictions) -> None:
        """Add the predictions of a member."""
        for split, labels in found.items():
            for name, value in labels.items():
                values.add(split, name, trainer.indices[split].tolist(), value.numpy())

    def write_mean(
        self, values: MemberValues, trainer: RadnetTrainer, histories: Sequence[Rows]
    ) -> list[dict[str, Any]]:
        """Write the figure of all losses; return the panels of the mean."""
        write_figure(self.config.directory / "loss.png", _losses(histories))
        # Models of this family give the dipole on one branch, that of the symmetric crystal: a mean needs no folding.
        return panels_of_mean(trainer.pool.structures, values, self.config)


def _losses(histories: Sequence[Sequence[Mapping[str, Any]]]):
    """Return the figure of the losses of all models."""
    curves = [
        {
            split: tuple(np.array([(row["epoch"], row[f"loss_{split}"]) for row in history]).T)
            for split in ("train", "validation")
            if f"loss_{split}" in history[0]
        }
        for history in histories
    ]
    return plot_curves(curves, "epoch", "loss (mean squared errors / spread$^2$)")
