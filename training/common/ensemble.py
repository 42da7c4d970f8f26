"""Ensembles of all families: the splits and configurations of members, and statistics of their predictions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from tnep_calc import __version__
from tnep_calc.errors import InputError
from tnep_calc.structures import LabelledStructure

from .config import BaseConfig, EnsembleConfig
from .directory import ENSEMBLE, write_comparison, write_json
from .labels import ABOUT_SPECIES, OF_STRUCTURES, make_labels
from .labels import spreads as label_spreads
from .parity import ARRAYS, panels
from .splits import SPLITS, counted, fill, geometry_groups, outer_indices

log = logging.getLogger(__name__)

_Config = TypeVar("_Config", bound=BaseConfig)


def member_splits(groups: ArrayLike, options: EnsembleConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the structures that each member trains on, and those that it does not, as sorted indices.

    The draws are those of calorine's ``setup_training`` (modes ``bagging`` and ``kfold``), so the same seed gives the
    same members.  Where geometries have several structures, whole geometries are drawn: for bagging as many as
    :func:`tnep_calc.training.common.splits.fill` sets aside, for kfold parts with equal numbers of geometries.

    Parameters
    ----------
    groups : array of int, shape (n_structures,)
        Geometry of each structure, see :func:`tnep_calc.training.common.splits.geometry_groups`.
    options : EnsembleConfig

    Raises
    ------
    InputError
        If there are too few structures.

    Examples
    --------
    >>> splits = member_splits(range(6), EnsembleConfig(n_splits=3, method="kfold"))
    >>> [held.tolist() for _, held in splits]
    [[0, 1], [2, 5], [3, 4]]
    """
    _, groups = np.unique(groups, return_inverse=True)
    sizes, n = np.bincount(groups), len(groups)
    rng = np.random.RandomState(options.seed)
    if options.method == "bagging":  # calorine trains on the first of each permutation
        enough, held = n >= options.n_splits, n - int(options.train_fraction * n)
        drawn = [fill(rng.permutation(len(sizes))[::-1], sizes, held) for _ in range(options.n_splits)]
    else:
        enough = len(sizes) >= options.n_splits
        drawn = np.array_split(rng.permutation(len(sizes)), options.n_splits)
    masks = [np.isin(groups, chosen) for chosen in drawn]
    if not enough or any(mask.all() for mask in masks):
        raise InputError(
            f"{counted(groups)} are too few for {options.n_splits} members ({options.method}): none is left to train on"
        )
    return [(np.flatnonzero(~mask), np.flatnonzero(mask)) for mask in masks]


def member_indices(structures: Sequence[LabelledStructure], config: BaseConfig) -> list[dict[str, np.ndarray]]:
    """Return the indices of training, validation and test structures of each member; all share one test set."""
    whole = outer_indices(structures, config)
    rest = whole["train"]
    return [
        {"train": rest[train], "validation": rest[held], "test": whole["test"]}
        for train, held in member_splits(geometry_groups(structures)[rest], config.ensemble)
    ]


def member_config(config: _Config, k: int) -> _Config:
    """Return the configuration of member k (from 0): own directory and seed of the initial parameters."""
    output = replace(config.output, directory=str(Path(config.output.directory) / f"member{k + 1}"))
    model = replace(config.model, seed=config.model.seed + k)
    return replace(config, output=output, model=model, ensemble=EnsembleConfig())


def split_hash(config: BaseConfig, indices: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return the addition to the fingerprint of a member: the hash of its own split.

    It is empty for a member with the split that its configuration alone gives, as that member equals a single run.
    """
    if not config.data.validation_fraction and not len(indices["validation"]):
        return {}
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(name.encode() + indices[name].astype("<i8").tobytes())
    return {"split": digest.hexdigest()}


class MemberValues:
    """Arrays of the members by split and label, aligned by structure.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        All structures of the ensemble.
    """

    def __init__(self, structures: Sequence[LabelledStructure]):
        self._count = len(structures)
        self._ends = np.cumsum([0, *map(len, structures)])
        self._chosen: dict[str, set[int]] = {split: set() for split in SPLITS}
        self._values: dict[str, dict[str, list[np.ndarray]]] = {split: {} for split in SPLITS}

    def add(self, split: str, name: str, indices: Sequence[int], value: np.ndarray) -> None:
        """Add the array of a member; its rows are these structures of its split, or their atoms."""
        self._chosen[split].update(map(int, indices))
        everything = np.full((self._total(name), *value.shape[1:]), np.nan)
        everything[self.rows(name, indices)] = value
        self._values[split].setdefault(name, []).append(everything)

    def _total(self, name):
        return self._count if name in OF_STRUCTURES else self._ends[-1]

    def rows(self, name: str, indices: Sequence[int]) -> np.ndarray:
        """Return the rows of some structures in an array of all: one per structure, or one for each of its atoms."""
        if name in OF_STRUCTURES:
            return np.asarray(indices, dtype=int)
        return np.concatenate([np.arange(self._ends[k], self._ends[k + 1]) for k in indices])

    def chosen(self, split: str) -> list[int]:
        """Return the structures that any member has in this split."""
        return sorted(self._chosen[split])

    def stacked(self, split: str) -> dict[str, np.ndarray]:
        """Return the arrays of the chosen structures by label, shape (members, rows, ...), NaN where there is none."""
        chosen = self.chosen(split)
        return {
            name: np.array([everything[self.rows(name, chosen)] for everything in members])
            for name, members in self._values[split].items()
        }


def mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (divisor n - 1; NaN for a single one) over the members that are not NaN."""
    count = (~np.isnan(values)).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(count > 0, count, np.nan)
    squares = np.nansum((values - mean) ** 2, axis=0)
    return mean, np.sqrt(squares / np.where(count > 1, count - 1, np.nan))


def panels_of_mean(
    structures: Sequence[LabelledStructure], values: MemberValues, config: BaseConfig
) -> list[dict[str, Any]]:
    """Return panels of the mean over the members, with their standard deviations as ``deviation``.

    The spread of a label in a split is taken about the mean of each component; that of Born charges and atomic dipoles,
    about the mean of each species and component.

    Parameters
    ----------
    structures : sequence of LabelledStructure
        All structures of the ensemble, with the labels that the members were trained on.
    values : MemberValues
        Predictions of the members, on one branch of the polarization for each structure.
    config : BaseConfig
    """
    means: dict[str, Any] = {}
    above: dict[str, Any] = {}
    for split in SPLITS:
        own = [structures[k] for k in values.chosen(split)]
        if not own:
            continue
        found = {name: mean_and_deviation(members) for name, members in values.stacked(split).items()}
        labels = make_labels(own, list(found), config.model.species, config.data.fold_dipole)
        means[split] = own, labels, {name: torch.from_numpy(mean) for name, (mean, _) in found.items()}
        above[split] = own, labels, {name: torch.from_numpy(mean + off) for name, (mean, off) in found.items()}
    unknown = {name: np.nan for _, labels, _ in means.values() for name in labels.targets}
    nothing = torch.zeros(len(config.model.species), dtype=torch.float64)
    about_species = {split: label_spreads(labels, nothing) for split, (_, labels, _) in means.items()}
    compared = panels(means, unknown)
    for panel, other in zip(compared, panels(above, unknown), strict=True):
        for split, numbers in panel["splits"].items():
            numbers["deviation"] = other["splits"][split]["prediction"] - numbers["prediction"]
            target = numbers["target"]
            numbers["spread"] = float((target - target.mean(axis=0)).std())
            if panel["name"] in ABOUT_SPECIES:
                numbers["spread"] = about_species[split][panel["name"]]
    return compared


def write_summary(
    config: BaseConfig,
    indices: Sequence[Mapping[str, np.ndarray]],
    results: Sequence[Mapping[str, Any]],
    compared: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Write ``ensemble.json`` and the comparison of the mean to ``config.directory``; return the former's content.

    Parameters
    ----------
    config : BaseConfig
        Configuration of the ensemble.
    indices : sequence of mappings
        Splits of each member, see :func:`member_indices`.
    results : sequence of mappings
        Content of ``results.json`` of each member.
    compared : sequence of mappings
        Panels of the mean (see :func:`tnep_calc.training.common.parity.panels`) with the standard deviations over the
        members as ``deviation``.
    """
    log.info("errors of the mean of the %d members:", len(results))
    write_comparison(config.directory, compared)
    summary = {
        "kind": config.model.kind,
        "program": f"tnep_calc {__version__}",
        "ensemble": asdict(config.ensemble),
        "seconds": round(sum(result["seconds"] for result in results), 2),
        "test": indices[0]["test"].tolist(),
        "members": [
            {
                "directory": member_config(config, k).directory.name,
                "train": own["train"].tolist(),
                "validation": own["validation"].tolist(),
                "errors": result["errors"],
            }
            for k, (own, result) in enumerate(zip(indices, results, strict=True))
        ],
        "errors": _errors(compared, results),
    }
    write_json(config.directory / ENSEMBLE, summary)
    return summary


def _errors(compared, results):
    """Errors of the mean by split and quantity, with those of a typical member and the spread of the members."""
    errors: dict[str, dict[str, Any]] = {}
    for panel in compared:
        for split, numbers in panel["splits"].items():
            squares = numbers["deviation"] ** 2
            all_of_split = [result["errors"].get(split, {}) for result in results]
            single = [errors_of[panel["name"]]["rmse"] for errors_of in all_of_split if panel["name"] in errors_of]
            errors.setdefault(split, {})[panel["name"]] = {
                "unit": panel["unit"],
                **{key: value for key, value in numbers.items() if key not in ARRAYS},
                "rmse_of_members": float(np.sqrt(np.mean(np.square(single)))),
                "deviation": float(np.sqrt(np.nanmean(squares))) if np.isfinite(squares).any() else None,
            }
    return errors
