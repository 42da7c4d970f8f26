"""The model families: what each kind of model gives, where the calculator takes it, and what trains it.

A new family is one row in ``KINDS``, next to its own folders ``models/X``, ``artifact/X.py`` and ``training/X``.
Nothing else in the package lists the families.  The module imports neither torch nor ASE, so that commands and
configurations can read the table at no cost.

Examples
--------
>>> KINDS["dipole"].family, KINDS["dipole"].roles
('nep', ('dipole',))
>>> ROLES["dipole"].properties
('dipole', 'polarization', 'born_effective_charges')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .conventions import HYPERPOLARIZABILITY


@dataclass(frozen=True)
class Role:
    """What the calculator takes from the models that are given under one keyword.

    Attributes
    ----------
    quantities : mapping of str to str or None
        Names of the model contract (``tnep_calc.models``).  The value is the property that must be asked for before
        the quantity is computed; None means that it costs nothing extra.
    labels : mapping of str to str
        Properties that can be compared with a label, and the label (``tnep_calc.structures.LABELS``).
    properties : tuple of str
        Properties of the calculator.
    """

    quantities: Mapping[str, str | None]
    labels: Mapping[str, str]
    properties: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One kind of model: the value of ``model.kind`` in a configuration and of ``kind`` in an artifact.

    Attributes
    ----------
    family : str
        Model family.
    roles : tuple of str
        Keywords of ``TNEPCalculator`` under which a model of this kind can be given.
    training : str
        Module of ``tnep_calc.training`` with the function ``train(path, output, restart)``.
    """

    family: str
    roles: tuple[str, ...]
    training: str


ROLES = {
    "energy": Role(
        quantities=dict.fromkeys(("energies", "energy", "forces", "virial")),
        labels={"energy": "energy", "forces": "forces", "stress": "virial"},
        properties=("energy", "energies", "free_energy", "forces", "stress"),
    ),
    "dipole": Role(
        quantities={"dipole": None, "born_charges": "born_effective_charges"},
        labels={"dipole": "dipole", "born_effective_charges": "born_charges"},
        properties=("dipole", "polarization", "born_effective_charges"),
    ),
    "susceptibility": Role(
        quantities={"polarizability": None, "polarizability_gradient": "polarizability_gradient"},
        labels={"polarizability": "polarizability"},
        properties=("polarizability", "susceptibility", "dielectric_tensor", "polarizability_gradient"),
    ),
}
ROLES["enthalpy"] = Role(
    quantities={name: needed for role in ROLES.values() for name, needed in role.quantities.items()}
    | {"piezoelectric": "piezoelectric_tensor", HYPERPOLARIZABILITY: HYPERPOLARIZABILITY},
    labels={name: label for role in ROLES.values() for name, label in role.labels.items()},
    properties=(
        *(name for role in ROLES.values() for name in role.properties),
        "piezoelectric_tensor",
        HYPERPOLARIZABILITY,
    ),
)
ROLES["radnet"] = Role(
    quantities={
        **ROLES["dipole"].quantities,
        **ROLES["susceptibility"].quantities,
        "piezoelectric": "piezoelectric_tensor",
    },
    labels={**ROLES["dipole"].labels, **ROLES["susceptibility"].labels},
    properties=(*ROLES["dipole"].properties, *ROLES["susceptibility"].properties, "piezoelectric_tensor"),
)
"""What each keyword of the calculator gives."""

KINDS = {
    "potential": Kind("nep", ("energy",), "nep.run"),
    "dipole": Kind("nep", ("dipole",), "nep.run"),
    "polarizability": Kind("nep", ("susceptibility",), "nep.run"),
    "enthalpy": Kind("enthalpy", ("enthalpy",), "enthalpy.run"),
    "radnet": Kind("radnet", ("radnet", "dipole", "susceptibility"), "radnet.run"),
}
"""All kinds of models, of all families."""


def kinds_of(role: str) -> tuple[str, ...]:
    """Return the kinds of models that a keyword of the calculator takes.

    Examples
    --------
    >>> kinds_of("enthalpy")
    ('enthalpy',)
    """
    return tuple(name for name, kind in KINDS.items() if role in kind.roles)
