"""Ensembles: models of one configuration, each trained on another part of the structures, in one run.

The moments are computed once and shared.  The members are trained one after the other: five models in one dense
product (a leading axis of the parameters) take 0.9 to 1.2 times the time of five single ones for 300 molecules of QM7B
and for 55 cells of boron nitride, on one AVX-512 core.  That does not pay for evaluating, for every member, the
structures that it does not train on, nor for line searches of L-BFGS that wait for each other.

With ``output.keep_best`` the best step is chosen by the validation structures, so their errors are a little too small;
the test structures are free of that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tnep_calc import __version__
from tnep_calc.errors import InputError
from tnep_calc.io.dataset import LabelledStructure
from tnep_calc.plotting.style import save_figure
from tnep_calc.plotting.training import plot_losses

from .comparison import panels
from .config import EnsembleConfig, TrainingConfig
from .model import basis_of
from .objective import OF_STRUCTURES, make_labels
from .outputs import check_directory, train_in, write_results
from .parity_file import ARRAYS
from .pool import shared_pool
from .preparation import moment_options, read_structures
from .run_files import write_comparison, write_json
from .splits import SPLITS, split_indices
from .trainer import Trainer

log = logging.getLogger(__name__)

RESULTS = "ensemble.json"
"""Name of the file in the output directory with what is known about the ensemble."""


def member_splits(n: int, options: EnsembleConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the structures that each member trains on, and those that it does not, as sorted indices.

    The draws are those of calorine's ``setup_training`` (modes ``bagging`` and ``kfold``), so that the same seed
    gives the same members.

    Raises
    ------
    InputError
        If there are too few structures.

    Examples
    --------
    >>> splits = member_splits(6, EnsembleConfig(n_splits=3, method="kfold"))
    >>> [held.tolist() for _, held in splits]
    [[0, 1], [2, 5], [3, 4]]
    """
    size = int(options.train_fraction * n) if options.method == "bagging" else n - -(-n // options.n_splits)
    if size < 1 or n < options.n_splits:
        raise InputError(f"{n} structures are too few for {options.n_splits} members ({options.method}): none is left "
                         "to train on")  # fmt: skip
    rng, every = np.random.RandomState(options.seed), np.arange(n)
    if options.method == "bagging":
        chosen = [np.sort(rng.choice(n, size=size, replace=False)) for _ in range(options.n_splits)]
        return [(train, np.setdiff1d(every, train)) for train in chosen]
    order = every.copy()
    rng.shuffle(order)
    return [(np.setdiff1d(every, fold), np.sort(fold)) for fold in np.array_split(order, options.n_splits)]


def member_indices(n: int, config: TrainingConfig) -> list[dict[str, np.ndarray]]:
    """Return the indices of training, validation and test structures of each member; the test set is that of all."""
    data = replace(config.data, validation_fraction=0.0)
    whole = split_indices(n, replace(config, data=data))
    rest = whole["train"]
    return [
        {"train": rest[train], "validation": rest[held], "test": whole["test"]}
        for train, held in member_splits(len(rest), config.ensemble)
    ]


def member_config(config: TrainingConfig, k: int) -> TrainingConfig:
    """Return the configuration of member k (from 0): own directory and seed of the initial parameters."""
    output = replace(config.output, directory=str(Path(config.output.directory) / f"member{k + 1}"))
    return replace(
        config, output=output, model=replace(config.model, seed=config.model.seed + k), ensemble=EnsembleConfig()
    )


def run_ensemble(config: TrainingConfig, restart: bool = False) -> dict[str, Any]:
    """Train the members of an ensemble and write everything to ``config.directory``; go on where a killed run stopped.

    Every member has a directory ``member1``, ``member2``, ... with what a single run writes (``nep.txt``,
    ``model.pt``, ...).  Beside them are ``ensemble.json``, ``loss.png`` of all members, and ``parity.png`` and
    ``parity.npz`` of their mean.

    Parameters
    ----------
    config : TrainingConfig
        With ``ensemble.n_splits`` of at least 2.
    restart : bool, default False
        Discard what a former run has left in the directories of the members.

    Returns
    -------
    dict
        What ``ensemble.json`` has.

    Raises
    ------
    InputError
        If a directory has a run of another configuration or other data, or there are too few structures.
    DataFileError
        If data or a checkpoint cannot be used.
    """
    configs = [member_config(config, k) for k in range(config.ensemble.n_splits)]
    for member in configs:
        check_directory(member.directory, restart)
    structures = read_structures(config)
    indices = member_indices(len(structures), config)
    memory = config.optimizer.memory_gb
    pool = shared_pool([structures], basis_of(config.model), memory, **moment_options(config))
    collected = _Predictions(structures)
    results, histories = [], []
    for k, (member, own) in enumerate(zip(configs, indices, strict=True), start=1):
        log.info("member %d of %d", k, len(configs))
        trainer = Trainer(member, structures, own, pool)
        trainer.fingerprint["split"] = _digest(own)
        train_in(member.directory, trainer, restart)
        results.append(write_results(trainer, member.directory))
        histories.append(trainer.history)
        collected.add(trainer)
    compared = collected.panels(config)
    save_figure(plot_losses(histories), config.directory / "loss.png", force=True)
    write_comparison(config.directory, compared)
    summary = {
        "kind": config.model.kind,
        "program": f"tnep_calc {__version__}",
        "ensemble": asdict(config.ensemble),
        "seconds": round(sum(result["seconds"] for result in results), 2),
        "test": indices[0]["test"].tolist(),
        "members": [
            {"directory": member.directory.name, "train": own["train"].tolist(),
             "validation": own["validation"].tolist(), "errors": result["errors"]}
            for member, own, result in zip(configs, indices, results, strict=True)
        ],
        "errors": _errors(compared, results),
    }  # fmt: skip
    write_json(config.directory / RESULTS, summary)
    return summary


def _digest(indices):
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(name.encode() + indices[name].astype("<i8").tobytes())
    return digest.hexdigest()


def _errors(compared, results):
    """Errors of the mean by split and quantity, with those of a typical member and the spread of the members."""
    errors: dict[str, dict[str, Any]] = {}
    for panel in compared:
        for split, numbers in panel["splits"].items():
            squares = numbers["deviation"] ** 2
            single = [r["errors"][split][panel["name"]]["rmse"] for r in results if split in r["errors"]]
            errors.setdefault(split, {})[panel["name"]] = {
                "unit": panel["unit"], **{key: value for key, value in numbers.items() if key not in ARRAYS},
                "rmse_of_members": float(np.sqrt(np.mean(np.square(single)))),
                "deviation": float(np.sqrt(np.nanmean(squares))) if np.isfinite(squares).any() else None,
            }  # fmt: skip
    return errors


class _Predictions:
    """What every member predicts for the structures of each of its splits."""

    def __init__(self, structures: Sequence[LabelledStructure]):
        self.structures = structures
        self.ends = np.cumsum([0, *map(len, structures)])
        self.count = {split: np.zeros(len(structures), dtype=int) for split in SPLITS}
        self.values: dict[str, dict[str, list[np.ndarray]]] = {split: {} for split in SPLITS}

    def _rows(self, name, indices):
        if name in OF_STRUCTURES:
            return np.asarray(indices)
        return np.concatenate([np.arange(self.ends[k], self.ends[k + 1]) for k in indices])

    def add(self, trainer: Trainer) -> None:
        """Add the predictions of a member's result."""
        vector, _ = trainer.result()
        for split, part in trainer.parts.items():
            indices = trainer.indices[split]
            self.count[split][indices] += 1
            for name, value in trainer.evaluate(split, vector).items():
                if name == "dipole" and part.labels.fold is not None:  # all members on the branch of the label
                    value = part.labels.targets[name] + part.labels.error(name, value) * part.labels.counts[:, None]
                total = len(self.structures) if name in OF_STRUCTURES else self.ends[-1]
                everything = np.full((total, *value.shape[1:]), np.nan)
                everything[self._rows(name, indices)] = value.numpy()
                self.values[split].setdefault(name, []).append(everything)

    def panels(self, config: TrainingConfig) -> list[dict[str, Any]]:
        """Return panels of the mean over the members, with their standard deviations as ``deviation``."""
        means: dict[str, Any] = {}
        above: dict[str, Any] = {}
        for split, values in self.values.items():
            chosen = np.flatnonzero(self.count[split]).tolist()
            if not chosen:
                continue
            structures = [self.structures[k] for k in chosen]
            labels = make_labels(structures, list(values), config.model.species, config.data.fold_dipole)
            mean, deviation = {}, {}
            for name, members in values.items():
                mean[name], deviation[name] = _statistics([v[self._rows(name, chosen)] for v in members])
            means[split] = structures, labels, _tensors(mean)
            above[split] = structures, labels, _tensors({name: mean[name] + deviation[name] for name in mean})
        spreads = {name: np.nan for name in config.loss.weights(config.model.kind)}
        compared = panels(means, spreads)
        for panel, other in zip(compared, panels(above, spreads), strict=True):
            for split, numbers in panel["splits"].items():
                numbers["deviation"] = other["splits"][split]["prediction"] - numbers["prediction"]
                target = numbers["target"]
                numbers["spread"] = float((target - target.mean(axis=0)).std())
        return compared


def _tensors(values: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in values.items()}


def _statistics(members):
    """Mean and standard deviation (divisor n - 1; NaN for a single one) over the members that are not NaN."""
    values = np.array(members)
    count = (~np.isnan(values)).sum(axis=0)
    mean = np.nansum(values, axis=0) / count
    squares = np.nansum((values - mean) ** 2, axis=0)
    return mean, np.sqrt(squares / np.where(count > 1, count - 1, np.nan))
