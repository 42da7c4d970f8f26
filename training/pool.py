"""Moments that several training runs share: computed once for all of their structures."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.dataset import LabelledStructure

from .moments import Basis, Moments, build_moments

log = logging.getLogger(__name__)


class MomentPool:
    """Moments of all structures of several runs, from which every run takes its own.

    A geometry that several runs have is computed once, whatever its labels.

    Parameters
    ----------
    runs : iterable of sequences of LabelledStructure
    basis : Basis
    **options
        Passed to :func:`tnep_calc.training.moments.build_moments`.

    Attributes
    ----------
    moments : Moments
        Of the distinct structures.
    """

    def __init__(self, runs: Iterable[Sequence[LabelledStructure]], basis: Basis, **options):
        distinct: dict[tuple[bytes, int], LabelledStructure] = {}
        for structures in runs:
            for key, structure in zip(_keys(structures), structures, strict=True):
                distinct.setdefault(key, structure)
        self._place = {key: k for k, key in enumerate(distinct)}
        self.moments: Moments = build_moments(list(distinct.values()), basis, **options)

    def select(self, structures: Sequence[LabelledStructure]) -> Moments:
        """Return the moments of structures (a copy); they must be among those of a run."""
        return self.moments.select([self._place[key] for key in _keys(structures)])


def shared_pool(
    runs: Iterable[Sequence[LabelledStructure]], basis: Basis, memory_gb: float, **options
) -> MomentPool | None:
    """Return a pool of the moments of several runs, or None if it would need more than half of `memory_gb`.

    The other half is for the copy that the run in progress takes from the pool.
    """
    try:
        return MomentPool(runs, basis, memory_gb=memory_gb / 2, **options)
    except InputError as error:
        log.info("moments are not shared (%s)", error)
        return None


def _keys(structures) -> Iterator[tuple[bytes, int]]:
    """Yield what tells geometries apart, and how often the same one has come before in this sequence."""
    seen: Counter[bytes] = Counter()
    for s in structures:
        arrays = [np.ascontiguousarray(a).tobytes() for a in (s.positions, s.cell, s.pbc)]
        key = b"|".join([" ".join(s.symbols).encode(), *arrays])
        yield key, seen[key]
        seen[key] += 1
