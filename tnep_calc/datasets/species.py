"""Checks of what the structures are made of: species that are rare or missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..structures import LabelledStructure
from .values import Finding

FEW, SHARE = 10, 0.05
"""A species in fewer structures than both, the number and the share of them, is rare.

A species brings as many parameters as any other (a row of descriptor coefficients for each neighbour species, and a
network of its own), and ten structures hold a handful of independent environments at best.  The share keeps small data
sets silent, where every species is in a few structures: up to 20 structures nothing is rare.
"""


def rare_species(structures: Sequence[LabelledStructure], role: str = "") -> Iterator[Finding]:
    """Species that hardly any structure has; see ``FEW``.

    Parameters
    ----------
    structures : sequence of LabelledStructure
    role : str, default ""
        Words that say which structures these are, e.g. ``" to train on"``.
    """
    total = len(structures)
    having: dict[str, list[str]] = {}
    for s in structures:
        for symbol in set(s.symbols):
            having.setdefault(symbol, []).append(s.source)
    for symbol, sources in sorted(having.items()):
        if len(sources) < FEW and len(sources) < SHARE * total:
            text = (
                f"{symbol} is in only {len(sources)} of {total} structures{role}: too few to learn from and to judge "
                "errors by; add structures with it, or leave these out"
            )
            yield Finding("warning", "rare species", "symbols", tuple(sources), text)


def missing_species(structures: Sequence[LabelledStructure], species: Sequence[str]) -> Iterator[Finding]:
    """Species of a model that none of the structures to train on has."""
    present = {symbol for s in structures for symbol in s.symbols}
    missing = [symbol for symbol in species if symbol not in present]
    if missing:
        text = f"no structure to train on has {' '.join(missing)}: the model learns nothing about it, leave it out"
        yield Finding("warning", "missing species", "symbols", (), text)
