"""Projection of a run on the modes of ``tnep phonons``: eigenvectors, mode charges and Raman tensors of its cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataFileError, InputError
from ..io.content import parse_json
from ..io.files import read_text, reading, sha256
from ..spectra.modes import ModeProjection
from ..units import POLARIZABILITY_TO_A3
from .stored import modes_in_supercell, read_modes

MASS_TOLERANCE = 1e-3
"""Largest relative difference between the masses of a run and those of the phonons."""


def mode_projection(path, atoms) -> ModeProjection:
    """Return the optical modes at Gamma for the cell of a run.

    With N primitive cells, mode charges and Raman tensors of the run are ``sqrt(N)`` times those of the primitive cell.

    Parameters
    ----------
    path : path
        Folder of ``tnep phonons``, or its ``phonons.json``.
    atoms : ase.Atoms
        A frame of the run: a supercell in the same orientation.

    Raises
    ------
    DataFileError
        If the file cannot be read, or the frame is not a supercell of its crystal.
    InputError
        If the masses differ, or a mode is imaginary.
    """
    path = Path(path)
    path = path / "phonons.json" if path.is_dir() else path
    stored = read_modes(path)
    stored.modes.require_stable("the projection of a run on modes")
    eigenvectors, equilibrium = modes_in_supercell(stored, atoms)
    cells = len(atoms) / len(stored.primitive)
    known = {number: mass for number, mass in zip(stored.primitive.numbers, stored.modes.masses, strict=True)}
    masses = np.array([known[number] for number in atoms.numbers])
    own = atoms.get_masses()
    worst = int(np.argmax(np.abs(own / masses - 1)))
    if abs(own[worst] / masses[worst] - 1) > MASS_TOLERANCE:
        raise InputError(
            f"{path} has the mass {masses[worst]:.4f} for {atoms.symbols[worst]}, but the run has {own[worst]:.4f}: "
            "compute the phonons with the masses of the run"
        )
    with reading(path, "phonons.json of 'tnep phonons'"):
        data = parse_json(read_text(path))
        charges = data["infrared"]["mode_charges_e_per_sqrt_amu"] if "infrared" in data else None
        raman = data["raman"]["tensors_A2_per_sqrt_amu"] if "raman" in data else None
        optical = np.flatnonzero(~stored.modes.external)
        number = {int(mode): k for k, mode in enumerate(optical)}
        kept = stored.modes.optical_sets
        sets = tuple(tuple(number[mode] for mode in stored.modes.sets[k]) for k in kept)
        if sorted(mode for group in sets for mode in group) != list(range(len(optical))):
            raise DataFileError(f"{path}: a degenerate set mixes acoustic and optical modes: relax the crystal better")
        return ModeProjection(
            eigenvectors[optical],
            masses,
            equilibrium @ np.linalg.inv(atoms.cell.array),
            stored.modes.wavenumbers[optical],
            sets,
            _names(stored.modes, kept),
            None if charges is None else np.sqrt(cells) * np.array(charges, dtype=float)[optical],
            None if raman is None else np.sqrt(cells) * np.array(raman, dtype=float)[optical] / POLARIZABILITY_TO_A3,
            f"{path.parent.name}/{path.name} sha256 {sha256(path)}",
        )


def _names(modes, sets) -> tuple[str, ...]:
    """Return names such as ``E_797`` of sets, from irreducible representation and wavenumber."""
    names: list[str] = []
    for k in sets:
        name = f"{modes.labels[k] or 'mode'}_{modes.wavenumbers[modes.sets[k][0]]:.0f}"
        names.append(name if name not in names else f"{name}_{k + 1}")
    return tuple(names)
