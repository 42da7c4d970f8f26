"""The electric field of a calculator, constant or a function of time, and its effect on separate models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import fs

from ..errors import InputError
from ..polarization import change_of_branch, quanta_in


class AppliedField:
    """A uniform electric field that may depend on time.  A new object has no field.

    Attributes
    ----------
    source : array, shape (3,), in V/Å, or callable, or None
        The value that was set.
    time : float, in fs
        Time at which the field is evaluated.
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
                If the field is not three finite numbers.
        """
        before, self.source = self.source, source
        try:
            field = self.value()
        except InputError:
            self.source = before
            raise
        if field is not None and not callable(source):
            field.setflags(write=False)  # a change in place would leave the results of the old field valid
            self.source = field

    def value(self) -> np.ndarray | None:
        """Return the field in V/Å, shape (3,), at the present time, or None.

        Raises
        ------
        InputError
            If the field is not three finite numbers.
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
        """Set the time (fs) of the next new configuration."""
        self._next = time

    def advance(self) -> None:
        """Move to the scheduled time, if there is one; call this when the configuration is new."""
        if self._next is not None:
            self.time, self._next = self._next, None


def follow(dynamics, calculator) -> None:
    """Keep the time of a calculator equal to the simulation time of an ASE molecular dynamics.

    The field in a force evaluation is that at the time of the configuration.  During the step from n to n + 1, the
    forces on the new positions are thus evaluated with the field at step n + 1.  This requires an integrator that
    evaluates one new configuration per step, as all velocity-Verlet-like integrators of ASE do.

    Parameters
    ----------
    dynamics : ase.md.md.MolecularDynamics
    calculator : TNEPCalculator
    """

    def schedule():
        now = dynamics.get_time() / fs
        if abs(calculator.time - now) > 1e-6 * dynamics.dt / fs:  # no atom moved, so advance() was not called
            calculator.time = now
        calculator.schedule(now + dynamics.dt / fs)

    calculator.time = dynamics.get_time() / fs
    dynamics.atoms.get_forces(md=True)  # so that the present configuration does not count as a new one
    schedule()
    dynamics.attach(schedule, interval=1)


def to_one_branch(members: Sequence[dict[str, Any]], cell: np.ndarray, pbc: np.ndarray, field: np.ndarray) -> None:
    """Move energies and stresses of ensemble members in a field to the branch of the first member's dipole, in place.

    The dipole of a crystal is defined modulo e times a lattice vector R.  The enthalpy is therefore defined modulo
    ``e E.R``, and its derivative with respect to strain modulo the symmetric part of ``e E R``.

    Parameters
    ----------
    members : sequence of dict
        Property -> value, one mapping for each member; the dipoles are not changed.
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
        Raw results: ``energies`` and ``forces`` of the potential at zero field; ``dipole``, ``dipoles``,
        ``field_forces`` and optionally ``born_charges`` of the dipole model.
    response : mapping or None
        ``polarizability``, ``polarizabilities`` (e·Å²/V) and ``polarizability_gradient`` (e·Å/V); None leaves out the
        terms in alpha.
    field : ndarray, shape (3,), in V/Å

    Returns
    -------
    potential, dipole : dict
        The same results in the field, without a virial: ``energies``, ``energy``, ``forces``; and ``dipole`` and, if
        it was given, ``born_charges``.
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
