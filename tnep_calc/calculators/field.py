"""The electric field of a calculator: constant or a function of time, and what it adds to separate models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import fs

from ..errors import InputError
from ..polarization import change_of_branch, quanta_in


class AppliedField:
    """A uniform electric field that may depend on time; none at first.

    Attributes
    ----------
    source : array, shape (3,), in V/Å, or callable, or None
        What was set.
    time : float, in fs
        Time at which the field is taken.
    """

    def __init__(self):
        self.source = None
        self.time = 0.0
        self._next: float | None = None

    def set(self, source) -> None:
        """Set a constant field in V/Å, shape (3,), or a function of time in fs that returns one, or None.

        Raises
        ------
        InputError
            If it does not give three finite numbers.
        """
        before, self.source = self.source, source
        try:
            field = self.value()
        except InputError:
            self.source = before
            raise
        if field is not None and not callable(source):
            field.setflags(write=False)  # a change in place would leave results of the old field
            self.source = field

    def value(self) -> np.ndarray | None:
        """Return the field in V/Å, shape (3,), at the present time, or None.

        Raises
        ------
        InputError
            If it is not three finite numbers.
        """
        if self.source is None:
            return None
        given = self.source(self.time) if callable(self.source) else self.source
        try:
            field = np.array(given, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(f"efield must be three numbers in V/Å, or a function of time in fs: {error}") from error
        if field.shape != (3,) or not np.isfinite(field).all():
            where = f" at {self.time:g} fs" if callable(self.source) else ""
            raise InputError(f"efield must be three finite numbers in V/Å, got {given}{where}")
        return field

    def schedule(self, time: float) -> None:
        """Let the next new configuration be at this time (fs)."""
        self._next = time

    def advance(self) -> None:
        """Go to the scheduled time, if there is one: the configuration is new."""
        if self._next is not None:
            self.time, self._next = self._next, None


def follow(dynamics, calculator) -> None:
    """Let the time of a calculator be that of a molecular dynamics of ASE.

    Forces are those at the time of the configuration: of step n + 1 in the middle of the step from n to n + 1.  For
    integrators that evaluate one new configuration per step, as all velocity-Verlet-like ones of ASE do.

    Parameters
    ----------
    dynamics : ase.md.md.MolecularDynamics
    calculator : TNEPCalculator
    """

    def schedule():
        now = dynamics.get_time() / fs
        if abs(calculator.time - now) > 1e-6 * dynamics.dt / fs:  # nothing moved in the step: nothing was new
            calculator.time = now
        calculator.schedule(now + dynamics.dt / fs)

    calculator.time = dynamics.get_time() / fs
    dynamics.atoms.get_forces(md=True)  # so that the present configuration is not a new one
    schedule()
    dynamics.attach(schedule, interval=1)


def to_one_branch(members: Sequence[dict[str, Any]], cell: np.ndarray, pbc: np.ndarray, field: np.ndarray) -> None:
    """Bring energies and stresses of ensemble members in a field to the branch of the first member's dipole, in place.

    The dipole of a crystal is defined modulo e times a lattice vector R, the enthalpy hence modulo ``e E.R``, and its
    derivative by the strain modulo the symmetric part of ``e E R``.

    Parameters
    ----------
    members : sequence of dict
        Property -> value, of each member; the dipoles are left as they are.
    cell : ndarray, shape (3, 3), in Å
    pbc : ndarray of bool, shape (3,)
    field : ndarray, shape (3,), in V/Å
    """
    if not pbc.any():
        return
    lattice = cell[pbc]
    for member in members[1:]:
        quanta = quanta_in(member["dipole"] - members[0]["dipole"], lattice)
        gap, change = change_of_branch(field, quanta)
        member["energy"] += gap
        member["free_energy"] += gap
        member["energies"] = member["energies"] + gap / len(member["energies"])
        if "stress" in member:
            member["stress"] = member["stress"] - full_3x3_to_voigt_6_stress(change / abs(np.linalg.det(cell)))


def separate_in_field(
    potential: Mapping[str, np.ndarray],
    dipole: Mapping[str, np.ndarray],
    response: Mapping[str, np.ndarray] | None,
    field: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the raw results of separate potential and dipole models in a field: ``H = U - E.P - E.alpha.E / 2``.

    Parameters
    ----------
    potential, dipole : mapping
        Raw results at zero field; of the dipole model also ``dipoles`` and ``field_forces``, maybe ``born_charges``.
    response : mapping or None
        ``polarizability``, ``polarizabilities`` and ``polarizability_gradient`` in e·Å²/V; None leaves out the terms
        in alpha.
    field : ndarray, shape (3,), in V/Å

    Returns
    -------
    potential, dipole : dict
        The same results in the field; no virial.
    """
    linear, forces = dipole["dipoles"], potential["forces"] + dipole["field_forces"]
    charges = dipole.get("born_charges")
    induced = np.zeros_like(linear)
    if response is not None:
        induced = response["polarizabilities"] @ field
        along = response["polarizability_gradient"] @ field  # [atom, displacement, i]
        forces = forces + 0.5 * along @ field
        if charges is not None:
            charges = charges + along.transpose(0, 2, 1)
    energies = potential["energies"] - (linear + 0.5 * induced) @ field
    found = {"dipole": dipole["dipole"] + induced.sum(0)}
    if charges is not None:
        found["born_charges"] = charges
    return {"energies": energies, "energy": energies.sum(), "forces": forces}, found
