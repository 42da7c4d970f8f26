"""Warn once if a simulation leaves the range of the training data that the artifacts of its models store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from ase import Atoms

from ..artifact import Artifact
from ..artifact.training_range import Outside, TrainingRange, describe, joined
from ..neighbors import Edges, NeighborList
from ..ops.neighbors import native_search
from ..structures import LabelledStructure

log = logging.getLogger(__name__)

EVERY = 50
"""Every so many configurations one is checked, so that the cost is small compared with that of the models."""


class RangeCheck:
    """Compare configurations with the range of the training data of each role.

    Models without a stored range are not checked.  For an ensemble the range is that of all members together.

    Parameters
    ----------
    models : mapping of str to sequence of Artifact
        Role -> its models.
    """

    def __init__(self, models: Mapping[str, Sequence[Artifact]]):
        self.ranges: dict[str, TrainingRange] = {}
        for role, members in models.items():
            meta = [member.metadata for member in members]
            together = joined([TrainingRange.from_table(one.training_range, one.species) for one in meta])
            if together is not None:
                self.ranges[role] = together
        self._waiting = set(self.ranges)
        self._count = 0

    def see(self, edges: Edges, atoms: Atoms) -> None:
        """Log a warning if a configuration is the first one found outside; only some configurations are checked."""
        self._count += 1
        if not self._waiting or (self._count - 1) % EVERY:
            return
        arrays = (torch.as_tensor(a).cpu().numpy() for a in (edges.offsets, edges.neighbors, edges.vectors))
        edges = Edges(*arrays)
        for role in sorted(self._waiting):
            outside = self.ranges[role].outside(edges, atoms.get_chemical_symbols())
            if outside.atoms:
                log.warning("%s model: %s", role, describe(outside))
                self._waiting.discard(role)

    def survey(self, structures: Sequence[LabelledStructure]) -> list[str]:
        """Return one line for each role for which structures are outside; all structures are checked."""
        lines = []
        for role, known in self.ranges.items():
            search = NeighborList(known.cutoff, 0.0, native_search())
            found: list[tuple[int, Outside]] = []
            for k, s in enumerate(structures):
                outside = known.outside(search.edges(s.positions, s.cell, s.pbc), s.symbols)
                if outside.atoms:
                    found.append((k, outside))
            if found:
                k, worst = max(found, key=lambda item: item[1].excess)
                lines.append(
                    f"{role} model: {len(found)} of {len(structures)} structures are outside the range of the training "
                    f"data, furthest structure {k}: {describe(worst)}"
                )
        return lines
