"""Client of i-PI, and of every other program that speaks its socket protocol, with the electric response in the extras.

Each answer has energy, forces and virial.  Its string of extras is a JSON dictionary in atomic units, as i-PI expects:

=================== ============ ============ ==============================================================
name                shape        unit         meaning
=================== ============ ============ ==============================================================
``dipole``          (3,)         e·bohr       dipole of the cell
``polarizability``  (3, 3)       e²·bohr²/Ha  polarizability of the cell (the number is that in bohr³)
``BEC``             (3 N, 3)     e            Born charges, [3 * atom + displacement component, dipole component]
=================== ============ ============ ==============================================================

i-PI refuses Born charges that do not fulfil the acoustic sum rule.  The mean over the atoms is therefore subtracted.
Sources: V. Kapil et al., Comput. Phys. Commun. 236, 214 (2019) (protocol); i-PI's ``driven_dynamics`` (extras).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
from ase import Atoms
from ase.calculators.socketio import IPIProtocol, SocketClient

from ..errors import InputError
from ..units import BOHR, POLARIZABILITY_TO_BOHR3

QUANTITIES = {"dipole": "dipole", "polarizability": "polarizability", "BEC": "born_effective_charges"}
"""Name in the extras -> property of the calculator."""


def extras(atoms: Atoms, names: Sequence[str]) -> dict[str, list]:
    """Return the quantities `names` of the table above for atoms with a :class:`.TNEPCalculator`.

    Raises
    ------
    InputError
        If a name is unknown.
    """
    found = {}
    for name in names:
        if name not in QUANTITIES:
            raise InputError(f"extras are {', '.join(QUANTITIES)}; got '{name}'")
        value = np.asarray(atoms.calc.get_property(QUANTITIES[name], atoms))
        if name == "dipole":
            value = value / BOHR
        elif name == "polarizability":
            value = value * POLARIZABILITY_TO_BOHR3
        else:
            value = (value - value.mean(axis=0)).transpose(0, 2, 1).reshape(-1, 3)
        found[name] = value.tolist()
    return found


class _Protocol(IPIProtocol):
    """The protocol of ASE with a string of extras in every answer."""

    text = ""

    def sendforce(self, energy, forces, virial, morebytes=None):
        """Send an answer with the current extras."""
        super().sendforce(energy, forces, virial, np.frombuffer(self.text.encode() or b" ", dtype=np.byte))


class ResponseClient(SocketClient):
    """Socket client that adds dipole, polarizability and Born charges to its answers.

    Parameters
    ----------
    names : sequence of str
        Extras to send, of :data:`QUANTITIES`.
    **kwargs
        ``host``, ``port``, ``unixsocket``, ``timeout`` and ``log`` of ``ase.calculators.socketio.SocketClient``.

    Raises
    ------
    InputError
        If no server answers at this address.

    Examples
    --------
    >>> from tnep_calc.interfaces.ipi import ResponseClient
    >>> client = ResponseClient(["dipole"], unixsocket="driver")  # doctest: +SKIP
    >>> client.run(atoms, use_stress=True)  # doctest: +SKIP
    """

    def __init__(self, names: Sequence[str] = (), **kwargs):
        try:
            super().__init__(**kwargs)
        except OSError as error:
            where = kwargs.get("unixsocket") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port')}"
            raise InputError(f"no server answers at {where} ({error}): start i-PI first") from error
        self.names = tuple(names)
        if self.comm.rank == 0:
            self.protocol = _Protocol(self.protocol.socket)

    def calculate(self, atoms, use_stress):
        """Return energy, forces and virial in ASE's units, and prepare the extras."""
        found = super().calculate(atoms, use_stress)
        text = json.dumps(extras(atoms, self.names)) if self.names else ""
        if self.comm.rank == 0:
            cast(_Protocol, self.protocol).text = text
        return found
