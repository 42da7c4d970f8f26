"""Read the architecture of an existing ``nep.txt``, which fixes most keys of ``[model]`` in fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_parameters import NepParameters
from tnep_calc.io.gpumd.nep_txt import read_nep


def architecture(p: NepParameters) -> dict[str, Any]:
    """Return the keys of ``[model]`` that a file fixes, with all its species and one cutoff for each."""
    p = without_constants(p)[0]
    return {
        "kind": p.kind,
        "species": list(p.species),
        "radial_cutoff": p.radial_cutoffs.tolist(),
        "angular_cutoff": p.angular_cutoffs.tolist(),
        "n_max": list(p.n_max),
        "basis_size": list(p.basis_size),
        "l_max": [p.l_max, *map(int, p.extra)],
        "neurons": p.neurons,
    }


def with_architecture(table: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return the table ``[model]``, completed with the keys that the file named by ``start`` fixes.

    Parameters
    ----------
    table : mapping
        Table ``[model]`` with the key ``start``.
    base : Path
        Folder where a relative ``start`` begins.

    Raises
    ------
    ModelFileError
        If the file cannot be read.
    InputError
        If the table asks for another architecture, or for species that the file does not have.
    """
    path = base / str(table["start"])
    p = read_nep(path, table.get("kind"))
    given = architecture(p)
    species = list(table.get("species", given["species"]))
    missing = [s for s in species if s not in given["species"]]
    if missing:
        raise InputError(
            f"{path}: has no {' '.join(missing)} (it has {' '.join(given['species'])}): a species that the model "
            "was not trained on has no parameters to start from"
        )
    places = [given["species"].index(s) for s in species]
    given["species"] = species
    for name in ("radial_cutoff", "angular_cutoff"):
        given[name] = [given[name][k] for k in places]
    for name, value in given.items():
        asked = table.get(name, value)
        if name in ("radial_cutoff", "angular_cutoff") and not isinstance(asked, (list, tuple)):
            asked = [asked] * len(species)
        if name == "l_max" and isinstance(asked, (list, tuple)):  # missing switches are off
            asked = [asked[0], *(int(bool(flag)) for flag in [*asked[1:], *[0] * 6][:6])]
        if (list(asked) if isinstance(asked, tuple) else asked) != value:
            raise InputError(f"model.{name} is {table[name]}, but the model to start from, {path}, has {value}")
    return {**table, **given}


def without_constants(p: NepParameters) -> tuple[NepParameters, np.ndarray]:
    """Remove the neurons without input and the output biases from a model.

    Returns
    -------
    tuple
        The model without them, and the constant that they added to the site value of each species, shape (T,): to the
        energy in eV, or to a third of the trace of the polarizability.  A dipole has no such constants; they are 0.
    """
    t = p.n_species
    w0, b0, w1 = (np.repeat(x, t, axis=1) if x.shape[1] == 1 < t else x for x in (p.w0, p.b0, p.w1))
    idle = (w0 == 0).all(axis=(0, 1, 3))
    if idle.all():
        idle[:] = False
    constants = (w1[-1] * np.tanh(-b0[-1]) * idle).sum(axis=-1) - p.b1[-1]
    if p.species_bias is not None:
        constants = constants - p.species_bias[-1]
    keep = ~idle
    p = replace(
        p,
        version=4,
        species_bias=None,
        w0=w0[:, :, keep],
        b0=b0[:, :, keep],
        w1=w1[:, :, keep],
        neurons=int(keep.sum()),
        b1=np.zeros_like(p.b1),
    )
    return p, np.zeros(t) if p.kind == "dipole" else constants
