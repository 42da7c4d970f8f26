"""Checks of the species of a data set: which are rare or missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..structures import LabelledStructure
from .values import Finding

FEW, SHARE = 10, 0.05
"""A species is rare if it is in fewer than ``FEW`` structures and in less than this ``SHARE`` of all structures.

Every species has equally many parameters (a row of descriptor coefficients for each neighbour species, and a network),
and fewer than ten structures have only a handful of independent environments.  The condition on the share avoids
warnings for small data sets: with up to 20 structures no species is rare.
"""


def rare_species(structures: Sequence[LabelledStructure], role: str = "") -> Iterator[Finding]:
    """Yield a warning for each rare species, as defined by ``FEW`` and ``SHARE``.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    role : str, default ""
        Text after the word "structures" in the message, e.g. ``" to train on"``.
    """
    total = len(structures)
    having: dict[str, list[str]] = {}
    for s in structures:
        for symbol in set(s.symbols):
            having.setdefault(symbol, []).append(s.source)
    for symbol, sources in sorted(having.items()):
        if len(sources) < FEW and len(sources) < SHARE * total:
            text = (
                f"{symbol} is in only {len(sources)} of {total} structures{role}: too few to learn from and test on; "
                "add structures with it, or leave these out"
            )
            yield Finding("warning", "rare species", "symbols", tuple(sources), text)


def missing_species(structures: Sequence[LabelledStructure], species: Sequence[str]) -> Iterator[Finding]:
    """Yield a warning if some species of a model are in none of the structures to train on."""
    present = {symbol for s in structures for symbol in s.symbols}
    missing = [symbol for symbol in species if symbol not in present]
    if missing:
        text = f"no structure to train on has {' '.join(missing)}: the model cannot learn about it, leave it out"
        yield Finding("warning", "missing species", "symbols", (), text)
