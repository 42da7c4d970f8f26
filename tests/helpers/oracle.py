"""Outputs of calorine's C++ code in double precision: shipped models with random parameters, and published models."""

import functools
import json

import numpy as np

from helpers.paths import DATA, shared_data
from tnep_calc.io.gpumd.nep_txt import read_nep

SHIPPED = DATA / "oracle"
PUBLISHED_KINDS = {
    "qm7b_dipole": "dipole",
    "qm7b_polarizability": "polarizability",
    "water_dipole": "dipole",
    "water_atomic_dipole": "dipole",
    "water_pes_ir": "potential",
    "water_pes_small": "potential",
    "bazro3_pes": "potential",
    "batio3_pes_zbl": "potential",
    "si_nep4_3body": "potential",
    "si_nep4_4body": "potential",
    "c_2022_nep4": "potential",
    "c_2024_nep4": "potential",
    "unep_v1_zbl": "potential",
    "ptaf_pes": "potential",
    "synthetic_nep4_multicut": "potential",
    "synthetic_nep4_lmax8": "potential",
    "synthetic_nep4_higher": "potential",
    "synthetic_nep4_zbl_typewise": "potential",
    "synthetic_nep4_zbl_flexible": "potential",
    "synthetic_nep4_lmax2_noextra": "potential",
    "synthetic_nep4_dipole_multicut_higher": "dipole",
    "bazro3_nep3_polarizability": "polarizability",
    "bazro3_nep3_pes": "potential",
    "si_nep3_5body": "potential",
    "c_2022_nep3": "potential",
}
"""Published models and their quantities; their files are optional."""


@functools.cache
def index(folder):
    """Return the entries of a folder by name."""
    return json.loads((folder / "index.json").read_text())


def names(*kinds):
    """Return the models of some kinds (none: of all); those that start with ``published`` are optional."""
    shipped = {name: entry["kind"] for name, entry in index(SHIPPED).items()}
    published = {f"published {name}": kind for name, kind in PUBLISHED_KINDS.items()}
    return [name for name, kind in (shipped | published).items() if not kinds or kind in kinds]


def load(name, largest):
    """Return parameters and, for every structure with at most this many atoms, the arrays of the oracle by name.

    Skips the test if the optional data are absent.
    """
    optional, rest = name.startswith("published "), name.removeprefix("published ")
    folder = shared_data("tnep/oracle") if optional else SHIPPED
    entry = index(folder)[rest]
    path = folder.parent / entry["model"] if optional else folder / entry["model"]
    parameters = read_nep(path, None if entry["kind"] == "potential" else entry["kind"])
    assert parameters.kind == entry["kind"]
    data = np.load(folder / f"{rest}.npz")
    every = [{k.split("/")[1]: data[k] for k in data.files if k.startswith(f"{s}/")} for s in entry["structures"]]
    return parameters, [values for values in every if len(values["numbers"]) <= largest]
