"""The keywords of GPUMD's ``nep.in``: how their values are read, and which are refused.

Keywords with per-species values (``type``, ``cutoff``, ``type_weight``) and ``mode`` are read by :mod:`.nep_in` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .nep_parameters import EXTRA_BLOCKS

L_MAX = (4, 1, 0, 0, 0, 0, 0)
"""Default of ``l_max``; values that a line leaves out are taken from it (``l_max 4`` keeps the 4-body term)."""
MAX_NEURONS = 120


@dataclass(frozen=True)
class Keyword:
    """How the values of a keyword are read."""

    types: Callable[[int], tuple[type, ...] | None]  # number of values -> their types, None = wrong number
    expected: str  # description of the expected values, for messages
    check: Callable[[list[Any]], bool]  # whether the values are allowed
    fill: Callable[[list[Any]], dict[str, Any]]  # values -> fields of NepInput


def _one(of, expected, check, name=None, convert=None):
    """Return a keyword with one value, which fills the field `name`."""

    def fill(values):
        return {name: values[0] if convert is None else convert(values[0])}

    return Keyword(lambda n: (of,) if n == 1 else None, expected, lambda v: check(v[0]), fill)


def _flag(name, expected):
    return _one(int, expected, lambda v: v in (0, 1), name, bool)


def _some(of, low, high):
    return lambda n: (of,) * n if low <= n <= high else None


KEYWORDS: dict[str, Keyword] = {
    "version": _one(int, "4 (NEP4 is the only version that is trained)", lambda v: v == 4, None, lambda v: v),
    "model_type": _one(int, "0 (potential), 1 (dipole) or 2 (polarizability)", lambda v: v in (0, 1, 2), "model_type"),
    "prediction": _one(int, "0 or 1", lambda v: v in (0, 1), "prediction"),
    "n_max": Keyword(
        _some(int, 2, 2),
        "a radial (0 to 12) and an angular (0 to 8) number",
        lambda v: 0 <= v[0] <= 12 and 0 <= v[1] <= 8,
        lambda v: {"n_max": tuple(v)},
    ),
    "basis_size": Keyword(
        _some(int, 2, 2),
        "a radial (0 to 16) and an angular (0 to 12) number",
        lambda v: 0 <= v[0] <= 16 and 0 <= v[1] <= 12,
        lambda v: {"basis_size": tuple(v)},
    ),
    "l_max": Keyword(
        _some(int, 1, 7),
        f"l (2 to 8) and up to six switches ({' '.join(EXTRA_BLOCKS)})",
        lambda v: 2 <= v[0] <= 8 and min(v) >= 0,
        lambda v: {"l_max": (*v, *L_MAX[len(v) :])},
    ),
    "neuron": Keyword(
        _some(int, 1, 2),
        f"1 to {MAX_NEURONS} neurons in one hidden layer (a second one is not supported)",
        lambda v: 1 <= v[0] <= MAX_NEURONS and v[1:] in ([], [0]),
        lambda v: {"neuron": v[0]},
    ),
    "population": _one(int, "10 to 200", lambda v: 10 <= v <= 200, "population"),
    "generation": _one(int, "0 to 10000000", lambda v: 0 <= v <= 10**7, "generation"),
    "batch": Keyword(
        _some(int, 1, 2),
        "a batch size of at least 1, then optionally 0 or 1 (all batches at once)",
        lambda v: v[0] >= 1 and v[1:] in ([], [0], [1]),
        lambda v: {"batch": v[0], "full_batch": v[1:] == [1]},
    ),
    **{
        name: _one(float, "a number that is not negative", lambda v: v >= 0, name)
        for name in ("lambda_1", "lambda_2", "lambda_e", "lambda_f", "lambda_v", "lambda_shear", "force_delta")
    },
    "atomic_v": _flag("atomic_v", "0 or 1"),
    "zbl": _one(float, "an outer cutoff of 1 to 4 A", lambda v: 1 <= v <= 4, "zbl"),
    "use_typewise_cutoff_zbl": Keyword(
        _some(float, 0, 1),
        "nothing or a factor of at least 0.5",
        lambda v: not v or v[0] >= 0.5,
        lambda v: {"use_typewise_cutoff_zbl": v[0] if v else 0.7},
    ),
    "fine_tune": Keyword(
        _some(str, 2, 3),
        "a nep.txt, a nep.restart, and optionally 0 or 1 (train the descriptor)",
        lambda v: v[2:] in ([], ["0"], ["1"]),
        lambda v: {"fine_tune": tuple(v)},
    ),
    "import_q_scaler": _flag("import_q_scaler", "0 or 1"),
    "save_potential": Keyword(
        _some(int, 1, 3),
        "an interval of at least 1, then a format (0 or 1) and 0 or 1 for nep.restart",
        lambda v: v[0] >= 1 and all(x in (0, 1) for x in v[1:]),
        lambda v: {"save_potential": tuple((v + [1, 0][len(v) - 1 :])[:3])},
    ),
    "output_interval": _one(int, "at least 1", lambda v: v >= 1, "output_interval"),
    "output_descriptor": _one(
        int, "0, 1 (per structure) or 2 (per atom)", lambda v: v in (0, 1, 2), "output_descriptor"
    ),
    "initial_para": _one(float, "a number other than 0", lambda v: v != 0, "initial_para"),
    "sigma0": _one(float, "a positive number", lambda v: v > 0, "sigma0"),
    "seed": _one(int, "an integer that is not negative", lambda v: v >= 0, "seed"),
}

REFUSED = {
    "charge_mode": "models with charges (qNEP)",
    "vdw": "models with van der Waals terms",
    "charge_vdw": "models with charges and van der Waals terms",
    "lambda_q": None,
    "lambda_z": None,
}
"""Keywords of GPUMD that are refused unless their value is 0, with the feature they ask for.

None marks weights for such models: these are checked and ignored.
"""
