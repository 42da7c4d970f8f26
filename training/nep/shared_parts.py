"""Moments that several training runs share: computed and kept once for the structures of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from tnep_calc.device import chosen_device
from tnep_calc.structures import LabelledStructure

from ..common.labels import Labels, label_of
from ..common.memory import memory_errors_explained
from ..common.splits import SPLITS
from ..common.store import Storage
from .config import TrainingConfig
from .data import labels_of, moment_options
from .model import basis_of
from .moments import Moments
from .parts import Block, Part, make_part


class MomentPool:
    """Moments of the structures of several runs; every run uses those of its own structures.

    A structure that several runs have, with the same labels, is stored once.

    Parameters
    ----------
    config : TrainingConfig
        Configuration of any of the runs, which differ only in structures and ``model.seed``.
    fitted : iterable of sequences of LabelledStructure
        Structures that each run trains on.
    others : iterable of sequences of LabelledStructure, default ()
        Structures that the runs evaluate but do not train on.

    Attributes
    ----------
    fitted : Part
        The structures that any run trains on.  A batch has about ``optimizer.batch`` structures of each run.
    others : Part or None
        Structures that no run trains on.
    storage : Storage

    Raises
    ------
    DataFileError
        If a structure has an unknown species or an unsound geometry.
    InputError
        If the moments of one structure are larger than the budget, or there is no such device or folder.
    """

    @memory_errors_explained()
    def __init__(
        self,
        config: TrainingConfig,
        fitted: Iterable[Sequence[LabelledStructure]],
        others: Iterable[Sequence[LabelledStructure]] = (),
    ):
        self._config = config
        self._places: dict[tuple[bytes, int], int] = {}  # index of each structure: first `fitted`, then `others`
        runs = [*map(list, fitted)]
        optimizer, models = config.optimizer, len(runs) * config.optimizer.restarts
        self.storage = Storage(optimizer.memory_gb, config.scratch, chosen_device(optimizer.device), models)
        distinct = self._add(runs)
        steps = -(-sum(map(len, runs)) // (len(runs) * config.optimizer.batch)) if config.optimizer.batch else 1
        self.fitted = self._part(distinct, -(-len(distinct) // steps))
        distinct = self._add(others)
        self.others = self._part(distinct, len(distinct)) if distinct else None

    def _add(self, runs):
        """Add the structures that are new to the numbering, and return them."""
        distinct: list[LabelledStructure] = []
        for structures in runs:
            for key, structure in zip(self._keys(structures), structures, strict=True):
                if key not in self._places:
                    self._places[key] = len(self._places)
                    distinct.append(structure)
        return distinct

    def _part(self, structures, batch):
        config, order = self._config, np.arange(len(structures))
        if batch < len(structures):
            order = np.random.default_rng(config.data.seed).permutation(len(structures))
        return make_part(
            structures,
            labels_of(config, structures),
            basis_of(config.model),
            self.storage,
            order=order,
            batch=batch,
            **moment_options(config),
        )

    def _keys(self, structures) -> Iterator[tuple[bytes, int]]:
        """Yield the content of each structure as bytes, and how often the same content has come before."""
        seen: Counter[bytes] = Counter()
        names = [*self._config.loss.weights(self._config.model.kind)]
        for s in structures:
            numbers = [s.positions, s.cell, s.pbc, np.array(s.weight), *(label_of(s, name) for name in names)]
            arrays = [b"-" if a is None else np.ascontiguousarray(a).tobytes() for a in numbers]
            key = b"|".join([" ".join(s.symbols).encode(), *arrays])
            yield key, seen[key]
            seen[key] += 1

    @property
    def all_parts(self) -> list[Part]:
        """:attr:`fitted`, and the others if there are any."""
        return [self.fitted] if self.others is None else [self.fitted, self.others]

    def membership(self, structures: Sequence[LabelledStructure]) -> torch.Tensor:
        """Return which structures of :attr:`fitted` a run has, a Tensor of bool, shape (n_fitted,)."""
        chosen = torch.zeros(len(self.fitted.structures), dtype=torch.bool)
        chosen[self.places(structures)] = True
        return chosen

    def places(self, structures: Sequence[LabelledStructure]) -> np.ndarray:
        """Return the place of each structure of a run among those of :attr:`fitted`, followed by the others."""
        return np.array([self._places[key] for key in self._keys(structures)])

    def parts(
        self, config: TrainingConfig, structures: Sequence[LabelledStructure], indices: Mapping[str, np.ndarray]
    ) -> dict[str, Part]:
        """Return the splits of a run as :func:`tnep_calc.training.nep.data.make_parts` does.

        Nothing is copied before a block is loaded.
        """
        chosen = {name: [structures[k] for k in indices[name]] for name in SPLITS}
        return {name: self._view(own, labels_of(config, own)) for name, own in chosen.items() if own}

    def _view(self, structures: list[LabelledStructure], labels: Labels) -> Part:
        parts = self.all_parts
        mine_of = torch.full((len(self._places),), -1)
        mine_of[self.places(structures)] = torch.arange(len(structures))
        ends = np.cumsum([0, *map(len, structures)])
        batches: list[list[Block]] = []
        for part, own in zip(parts, mine_of.split([len(part.structures) for part in parts]), strict=True):
            for batch in part.batches:
                batches.append([])
                for block in batch:
                    local = torch.nonzero(own[block.structures] >= 0).flatten()
                    if not len(local):
                        continue
                    mine = own[block.structures[local]]
                    atoms = np.concatenate([np.arange(ends[k], ends[k + 1]) for k in mine.tolist()])
                    load = block.load if len(local) == len(block.structures) else partial(_select, block.load, local)
                    batches[-1].append(
                        Block(labels.select(mine).to(self.storage.device), load, mine, torch.from_numpy(atoms))
                    )
        batches = [batch for batch in batches if batch]
        share = int(ends[-1]) / sum(len(s) for part in parts for s in part.structures)
        radial, angular = zip(*(part.max_neighbors for part in parts), strict=True)
        return Part(
            structures,
            labels,
            [block for batch in batches for block in batch],
            batches,
            (max(radial), max(angular)),
            round(share * sum(part.numbers for part in parts)),
        )


def _select(load, local) -> Moments:
    return load().select(local)
