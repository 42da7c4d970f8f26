"""The model families: properties and keyword of each kind of model, its training module, kernels and precision.

A new family needs one row in ``KINDS``, and its own code in ``models/X``, ``artifact/X.py`` and ``training/X``.
Nothing else in the package lists the families.  The module imports neither torch nor ASE, so that commands and
configurations can read the table quickly.

Examples
--------
>>> KINDS["dipole"].family, KINDS["dipole"].roles
('nep', ('dipole',))
>>> ROLES["dipole"].properties
('dipole', 'polarization', 'born_effective_charges')
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .conventions import HYPERPOLARIZABILITY


@dataclass(frozen=True)
class Role:
    """Quantities and properties that the calculator obtains from the models given under one keyword.

    Attributes
    ----------
    quantities : mapping of str to str or None
        Names of the model contract (``tnep_calc.models``).  A quantity is computed only if the property that is its
        value is requested; None means that it is always computed.
    labels : mapping of str to str
        Property -> the label that it can be compared with (``tnep_calc.structures.LABELS``).
    properties : tuple of str
        Properties of the calculator.
    field : bool, default False
        Whether the models take an electric field themselves; otherwise a field needs models of energy and dipole.
    """

    quantities: Mapping[str, str | None]
    labels: Mapping[str, str]
    properties: tuple[str, ...]
    field: bool = False

    def needed(self, wanted: Collection[str]) -> list[str]:
        """Return the quantities that must be computed for the requested properties.

        Examples
        --------
        >>> ROLES["dipole"].needed({"dipole"})
        ['dipole']
        """
        return [name for name, value in self.quantities.items() if value is None or value in wanted]


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
    native : tuple of str, default ()
        Types of the devices for which there are native kernels; on the others the models run on plain torch.
    double : bool, default True
        Whether a file of an earlier version whose weights are float32 is evaluated in float64 unless the user asks for
        another type; otherwise in float32.
    converter : str, default ""
        Function of ``tnep_calc.artifact`` that returns an artifact in another type of the arithmetic, as
        ``MODULE.FUNCTION``; it takes the artifact and the name of the type.  Without one the tensors are cast.
    """

    family: str
    roles: tuple[str, ...]
    training: str
    native: tuple[str, ...] = ()
    double: bool = True
    converter: str = ""


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
    field=True,
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
"""Keywords of the calculator under which models are given."""


def _nep(role: str) -> Kind:
    """Return the row of a NEP or TNEP model."""
    return Kind("nep", (role,), "nep.run", ("cpu", "cuda"), double=False)


KINDS = {
    "potential": _nep("energy"),
    "dipole": _nep("dipole"),
    "polarizability": _nep("susceptibility"),
    "enthalpy": Kind("enthalpy", ("enthalpy",), "enthalpy.run", ("cpu", "cuda"), converter="enthalpy.in_precision"),
    "radnet": Kind("radnet", ("radnet", "dipole", "susceptibility"), "radnet.run"),
}
"""All kinds of models, of all families."""


def kinds_of(role: str) -> tuple[str, ...]:
    """Return the kinds of models that can be given under a keyword of the calculator.

    Examples
    --------
    >>> kinds_of("enthalpy")
    ('enthalpy',)
    """
    return tuple(name for name, kind in KINDS.items() if role in kind.roles)
