"""A whole enthalpy training, of one model or an ensemble: words of the log, model, figures and numbers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.artifact import export_enthalpy
from tnep_calc.artifact.enthalpy import export_mean
from tnep_calc.artifact.training_range import TrainingRange
from tnep_calc.device import describe
from tnep_calc.plotting.training import plot_enthalpy_histories
from tnep_calc.structures import LabelledStructure

from ..common import directory
from ..common.directory import ARTIFACT, provenance, write_figure
from ..common.ensemble import MemberValues, mean_and_deviation, member_config
from ..common.labels import ABOUT_SPECIES
from ..common.parity import centers_of, numbers_of
from ..common.run import FamilyRun, Rows, sizes_as_text
from ..common.splits import SPLITS
from .config import EnthalpyConfig, load_enthalpy_config
from .data import read_structures
from .trainer import EnthalpyTrainer

log = logging.getLogger(__name__)

SHOWN = {
    "energy": ("eV/atom", 1.0),
    "forces": ("meV/Å", 1e3),
    "virial": ("meV/Å³", 1e3),
    "dipole": ("me·Å", 1e3),
    "born_charges": ("me", 1e3),
    "polarizability": ("me·Å²/V", 1e3),
}
"""Unit in which people read the error of a label, and its factor; the virial is shown as stress."""
Predictions = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]
"""By split and label: what :meth:`tnep_calc.training.enthalpy.trainer.EnthalpyTrainer.compare` gives."""


def train(path: str | Path, output: str | None = None, restart: bool = False) -> Path:
    """Train the model or the ensemble of a configuration file; see :func:`tnep_calc.training.run.train`."""
    config = load_enthalpy_config(path, output)
    EnthalpyRun(config, restart).run()
    return config.directory


class EnthalpyRun(FamilyRun[EnthalpyConfig, EnthalpyTrainer]):
    """Training of an enthalpy model or an ensemble, see :class:`tnep_calc.training.common.run.FamilyRun`.

    An ensemble also writes ``model.pt``, the mean of its members as one model, and ``history.png`` of all members.
    With ``train_fraction = 1`` and without ``data.validation_fraction``, member k is the single run with
    ``model.seed + k``: the directory of one takes its place.
    """

    def trainer(self, config: EnthalpyConfig, *given: Any) -> EnthalpyTrainer:
        """Return the trainer of a configuration."""
        return EnthalpyTrainer(config, *given)

    def read_structures(self) -> Sequence[LabelledStructure]:
        """Read and check the structures of the configuration."""
        return read_structures(self.config)

    def log_start(self, trainer: EnthalpyTrainer) -> None:
        """Log model and data of a run."""
        gigabytes = sum(frame.nbytes for frames in trainer.frames.values() for frame in frames) / 1e9
        log.info(
            "enthalpy model: %d parameters; structures: %s; precomputed: %.2f GB; %d steps per epoch on %s",
            sum(p.numel() for p in trainer.sites.parameters()),
            sizes_as_text(trainer.frames),
            gigabytes,
            trainer.steps_per_epoch,
            describe(trainer.device),
        )

    def errors_as_text(self, trainer: EnthalpyTrainer) -> str:
        """Return the mean absolute errors of the last report, training/validation."""
        row, words = trainer.history[-1], []
        for name, (unit, factor) in SHOWN.items():
            values = [row.get(f"mae_{name}_{split}") for split in ("train", "validation")]
            if values[0] is not None:
                label = "stress" if name == "virial" else name
                words.append(f"{label} {'/'.join(f'{v * factor:.3g}' for v in values if v is not None)} {unit}")
        return ", ".join(words)

    def predictions(self, trainer: EnthalpyTrainer) -> Predictions:
        """Return labels, predictions of the averaged model and groups of all splits."""
        return {split: trainer.compare(split) for split in trainer.frames}

    def write_results(self, trainer: EnthalpyTrainer, folder: Path, found: Predictions) -> dict[str, Any]:
        """Write artifact, figures and ``results.json``, and return what the latter has."""
        m, precision = trainer.config.model, trainer.config.optimizer.precision
        export_enthalpy(
            [trainer.average],
            m.species,
            m.cutoff,
            m.n_radial,
            m.zbl,
            folder / ARTIFACT,
            precision,
            directory.provenance(trainer.config, trainer.fingerprint),
            TrainingRange.of(trainer.training_structures, m.species, m.cutoff).table(),
        )
        directory.write_figure(folder / "history.png", plot_enthalpy_histories([trainer.history], SHOWN))
        return directory.write_results(
            folder,
            trainer,
            compare(found),
            trainer.frames,
            kind="enthalpy",
            epochs=trainer.epoch,
            threads=trainer.threads,
            device=describe(trainer.device),
            parameters=sum(p.numel() for p in trainer.sites.parameters()),
        )

    def add_member(self, values: MemberValues, trainer: EnthalpyTrainer, found: Predictions) -> None:
        """Add labels, errors and groups of a member.

        The dipole of a member, and in a field its energy, is compared on the branch of the polarization that is
        nearest to the label.  So the mean of the members is the label, on the branch of the first member, plus the
        mean error.
        """
        for split, labels in found.items():
            for name, (target, prediction, group) in labels.items():
                known = [k for k in trainer.indices[split].tolist() if name in trainer.pool[k].labels]
                group = np.broadcast_to(group[:, None], target.shape)
                values.add(split, name, known, np.stack([target, prediction - target, group], axis=-1))

    def write_mean(
        self, values: MemberValues, trainer: EnthalpyTrainer, histories: Sequence[Rows]
    ) -> list[dict[str, Any]]:
        """Write the mean of the members as one model, and the figure of all histories; return the panels."""
        config = self.config
        compared = compare(*mean_of(values))
        write_figure(config.directory / "history.png", plot_enthalpy_histories(histories, SHOWN))
        models = [member_config(config, k).directory / ARTIFACT for k in range(len(histories))]
        export_mean(models, config.directory / ARTIFACT, provenance(config))
        return compared


def compare(
    found: Predictions, deviations: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> list[dict[str, Any]]:
    """Return panels as :func:`tnep_calc.plotting.training.plot_parity` takes them.

    The spread of Born charges is taken about the mean of each species and component, of all others about the mean of
    each component.

    Parameters
    ----------
    found : mapping
        By split what :meth:`EnthalpyTrainer.compare` gives.
    deviations : mapping, optional
        By split and label, standard deviations over the members of an ensemble.
    """
    panels = []
    for name, (unit, factor) in SHOWN.items():
        panel: dict[str, Any] = {"name": "stress" if name == "virial" else name, "unit": unit, "splits": {}}
        for split, labels in found.items():
            if name in labels:
                target, prediction, group = labels[name]
                varied = np.concatenate([target[group == g] - target[group == g].mean(0) for g in np.unique(group)])
                target, prediction = factor * target, factor * prediction
                center = centers_of(target, group if name in ABOUT_SPECIES else None)
                numbers = numbers_of(target, prediction, factor * float(varied.std()), center)
                if deviations is not None:
                    numbers["deviation"] = factor * deviations[split][name]
                panel["splits"][split] = numbers
        if panel["splits"]:
            panels.append(panel)
    return panels


def mean_of(values: MemberValues) -> tuple[Predictions, dict[str, dict[str, np.ndarray]]]:
    """Return labels, means and groups, and the standard deviations over the members, by split and label."""
    found: dict[str, dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
    deviations: dict[str, dict[str, np.ndarray]] = {}
    for split in SPLITS:
        for name, members in values.stacked(split).items():
            members = members[:, ~np.isnan(members).all(axis=(0, 2, 3))]  # structures that have the label
            first = np.isnan(members).argmin(axis=0, keepdims=True)
            target, _, group = np.moveaxis(np.take_along_axis(members, first, axis=0)[0], -1, 0)
            error, deviation = mean_and_deviation(members[..., 1])
            found.setdefault(split, {})[name] = target, target + error, group[:, 0]
            deviations.setdefault(split, {})[name] = deviation
    return found, deviations
