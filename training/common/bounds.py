"""Ranges of the numbers in configuration files, so that absurd values are refused before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tnep_calc.errors import InputError

SEEDS = 2**32 - 1
"""Largest seed."""


@dataclass(frozen=True)
class Bounds:
    """Range of a number of a configuration, or of every number of a list.

    Attributes
    ----------
    low, high : float
        Smallest and largest number, both allowed.
    usual : str
        What people usually choose, for the message.
    below : bool, default False
        Whether `high` itself is excluded.
    zero : bool, default False
        Whether 0 is allowed too, although it is below `low`.

    Examples
    --------
    >>> print(Bounds(0.5, 30, "4 to 8 Å")), print(Bounds(2, 1000, "4 to 8", zero=True))
    from 0.5 to 30
    0 or from 2 to 1,000
    (None, None)
    >>> 31 in Bounds(0.5, 30, ""), float("nan") in Bounds(0, 1, ""), 1.0 in Bounds(0, 1, "", below=True)
    (False, False, False)
    """

    low: float
    high: float
    usual: str
    below: bool = False
    zero: bool = False

    def __contains__(self, value: float) -> bool:
        inside = self.low <= value < self.high if self.below else self.low <= value <= self.high
        return inside or (self.zero and value == 0)

    def __str__(self) -> str:
        high = f"{self.high:,d}" if isinstance(self.high, int) else f"{self.high:g}"
        end = f"below {high}" if self.below else high
        return f"{'0 or ' if self.zero else ''}from {self.low:g} to {end}"


WEIGHT = Bounds(0, 1e9, "usual: 0 (not fitted) to 10")
"""Bounds of the weight of a label."""

COMMON: dict[str, Bounds] = {
    "data.validation_fraction": Bounds(0, 1, "usual: 0.1", below=True),
    "data.test_fraction": Bounds(0, 1, "usual: 0.1", below=True),
    "data.seed": Bounds(0, SEEDS, "usual: 0"),
    "output.report_interval": Bounds(1, 10**7, "usual: 20"),
    "output.checkpoint_interval": Bounds(1, 10**7, "usual: 50"),
    "ensemble.n_splits": Bounds(2, 1000, "usual: 0 (one model) or 4 to 8", zero=True),
    "ensemble.train_fraction": Bounds(0.01, 1, "usual: 0.9"),
    "ensemble.seed": Bounds(0, SEEDS, "usual: 42"),
}
"""Bounds of the keys of ``[data]``, ``[output]`` and ``[ensemble]`` that every training has."""

SHARED: dict[str, Bounds] = {
    "model.seed": Bounds(0, SEEDS, "usual: 0"),
    "optimizer.threads": Bounds(0, 1024, "usual: 0, which follows the number of atoms of a step"),
    "optimizer.lr": Bounds(1e-9, 1.0, "usual: 1e-3 to 2e-2"),
}
"""Bounds of keys that all families have in tables of their own."""

EPOCHS: dict[str, Bounds] = {
    **SHARED,
    "optimizer.epochs": Bounds(1, 10**7, "usual: 100 to 2000"),
    "optimizer.batch": Bounds(1, 10**6, "usual: 1 to 16"),
    "optimizer.average": Bounds(0, 1, "usual: 0.99 or 0.999", below=True),
    "loss.weight_decay": Bounds(0, 1e3, "usual: 0 to 0.1"),
}
"""Bounds of keys that families which train in epochs share."""


def check_bounds(config: Any, bounds: Mapping[str, Bounds]) -> None:
    """Raise ``InputError`` for the first number that is out of its range, with the range and what is usual.

    Parameters
    ----------
    config : BaseConfig
    bounds : mapping of str to Bounds
        By ``TABLE.KEY``.
    """
    for key, allowed in bounds.items():
        for value in numbers_of(config, key):
            if value not in allowed:
                raise InputError(f"{key} must be {allowed}, got {value:g}; {allowed.usual}")


def numbers_of(config: Any, key: str) -> Iterator[float]:
    """Yield the number, or the numbers of the list, of a key ``TABLE.KEY``."""
    table, name = key.split(".")
    value = getattr(getattr(config, table), name)
    yield from value if isinstance(value, tuple) else (value,)
