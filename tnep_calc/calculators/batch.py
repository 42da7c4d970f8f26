"""Evaluate many structures at once: as separate parts of one list of edges, so that each model is called once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import InputError
from ..families import ROLES
from ..ops.neighbors import edges_of_all
from ..threads import check_usable
from .evaluation import check_species, evaluate, member_properties, with_descriptors
from .tnep import TNEPCalculator

BATCH_ATOMS = 2048
"""Number of atoms from which on a batch takes no further structure."""

_TOTALS = {"energy": "energies", "virial": "virials", "dipole": "dipoles", "polarizability": "polarizabilities"}
# Quantities per atom, which can be divided among the structures.
_OF_ATOMS = {*_TOTALS.values(), "forces", "born_charges", "polarizability_gradient", "descriptors"}


def batches(frames: Iterable[Atoms], most: int = BATCH_ATOMS) -> Iterator[list[Atoms]]:
    """Group structures in their order, until a group has at least `most` atoms.

    Examples
    --------
    >>> [len(batch) for batch in batches([Atoms("HCl")] * 5, most=4)]
    [2, 2, 1]
    """
    batch: list[Atoms] = []
    atoms = 0
    for frame in frames:
        batch.append(frame)
        atoms += len(frame)
        if atoms >= most:
            yield batch
            batch, atoms = [], 0
    if batch:
        yield batch


class Batch:
    """Structures that the models of a calculator evaluate together.

    Parameters
    ----------
    calculator : TNEPCalculator
        Its models, device and constant field are used; its results are not changed.
    frames : sequence of ase.Atoms
    fields : sequence of (ndarray, shape (3,), in V/Å, or None), optional
        Field of every structure, for enthalpy models.  Default: that of the calculator.
    first : int, default 0
        Index of the first structure, for messages.

    Raises
    ------
    InputError
        If a structure has an element that a model does not know, non-finite or coincident positions, or an invalid
        cell; or if a field is given that no enthalpy model takes, or that depends on time.

    Examples
    --------
    >>> calc = TNEPCalculator(energy="nep.txt")  # doctest: +SKIP
    >>> [found["energy"] for found in Batch(calc, frames).properties(["energy"])]  # doctest: +SKIP
    """

    def __init__(
        self,
        calculator: TNEPCalculator,
        frames: Sequence[Atoms],
        fields: Sequence[np.ndarray | None] | None = None,
        first: int = 0,
    ):
        check_usable()
        self.calculator, self.frames = calculator, frames
        if fields is None:
            if callable(calculator.efield):
                raise InputError("structures of a batch have no time: give a constant efield")
            fields = [calculator.efield] * len(frames)
        if any(field is not None for field in fields) and not any(ROLES[role].field for role in calculator.models):
            raise InputError("a batch in an electric field needs an enthalpy model")
        self.fields = fields
        cutoff = max(model.metadata.cutoff for models in calculator.models.values() for model in models)
        self._symbols: list[str] = []
        for k, frame in enumerate(frames, start=first):
            own = frame.get_chemical_symbols()
            try:
                for role, models in calculator.models.items():
                    check_species(own, models[0].metadata.species, role)
            except InputError as error:
                raise InputError(f"structure {k}: {error}") from error
            self._symbols += own
        structures = [(frame.positions, frame.cell.array, frame.pbc) for frame in frames]
        self._edges = edges_of_all(structures, cutoff, calculator.device, first)
        self._cuts = np.cumsum([len(frame) for frame in frames])[:-1]

    def properties(self, wanted: Collection[str]) -> list[dict[str, Any]]:
        """Return properties of every structure, under the names of :class:`.TNEPCalculator` and in its units.

        With ensembles the properties are means, and there are ``<name>_std`` and ``<name>_members`` too.  Further
        properties that are known without cost are included.  A property that does not exist for a structure (a stress
        without a cell) is missing there.

        Parameters
        ----------
        wanted : collection of str
            Properties that can be divided among structures: all but tensors of the whole cell that are no sum over
            atoms (``piezoelectric_tensor``, ``hyperpolarizability``).

        Raises
        ------
        InputError
            If no model gives a property, or it cannot be divided.
        """
        models = self.calculator.models
        unknown = set(wanted) - {name for role in models for name in ROLES[role].properties}
        if unknown:
            raise InputError(f"no model gives {', '.join(sorted(unknown))}")
        results: list[dict[str, Any]] = [{} for _ in self.frames]
        field = None
        if any(own is not None for own in self.fields):
            rows = [np.zeros(3) if own is None else own for own in self.fields]
            field = np.repeat(rows, [len(frame) for frame in self.frames], axis=0)
        for role, members in models.items():
            if not set(wanted) & set(ROLES[role].properties):
                continue
            raw = [self._divided(role, k, ROLES[role].needed(wanted), field) for k in range(len(members))]
            for k, (frame, own) in enumerate(zip(self.frames, self.fields, strict=True)):
                results[k] |= member_properties([out[k] for out in raw], members, role, frame, wanted, own)
        return results

    def descriptors(self) -> list[np.ndarray]:
        """Return the scaled descriptors of the atoms of every structure from the first model, shape (n_atoms, dim).

        Raises
        ------
        InputError
            If that model is not of the NEP family.
        """
        role = with_descriptors(self.calculator.models)
        return [out["descriptors"] for out in self._divided(role, 0, ["descriptors"], None)]

    def _divided(self, role, member, quantities, field):
        """Return the raw quantities of one model for every structure."""
        names = [_TOTALS.get(name, name) for name in quantities]
        whole = set(names) - _OF_ATOMS
        if whole:
            raise InputError(f"a batch cannot have {', '.join(sorted(whole))}, which is no sum over atoms")
        model, device = self.calculator.models[role][member], self.calculator.device
        raw = evaluate(model, role, self._symbols, sorted(set(names)), self._edges, device, field)
        parts = {name: np.split(values, self._cuts) for name, values in raw.items()}
        return [
            {
                name: parts[of_atoms][k].sum(axis=0) if name in _TOTALS else parts[name][k]
                for name, of_atoms in zip(quantities, names, strict=True)
            }
            for k in range(len(self.frames))
        ]
