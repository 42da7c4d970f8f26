"""ASE calculator for exported artifacts and ``nep.txt`` files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorSetupError, PropertyNotImplementedError, all_changes
from ase.outputs import all_outputs

from ..artifact import DTYPES
from ..conventions import HYPERPOLARIZABILITY
from ..device import resolve
from ..errors import InputError
from ..families import ROLES
from ..neighbors import Edges, NeighborList
from ..ops.neighbors import search_on
from ..threads import check_usable
from .description import check_keywords, describe_models, describe_sources, from_description
from .ensemble import MEMBERS, STD
from .evaluation import evaluate, member_properties, separate_models, with_descriptors
from .field import AppliedField
from .loading import is_of_third_order, load_models
from .range_check import RangeCheck

# Born charges are left out, because ASE's extended xyz writer cannot write them.
_KNOWN_TO_ASE = frozenset(all_outputs) - {"born_effective_charges"}
# The properties of separate models that a field changes.
_ELECTRIC = {*ROLES["energy"].properties, *ROLES["dipole"].properties}


class TNEPCalculator(Calculator):
    """Energies, forces, stress, dipole, Born charges, polarizability and Raman derivative of trained models.

    Each model is a GPUMD ``nep.txt``, an artifact written by ``tnep export``, or the return value of ``read_nep`` or
    ``load_artifact``.  All derivatives are analytic, and their cost is linear in the number of atoms.

    A list of models is an ensemble: every property is the mean over its members.  Their standard deviation is the
    error bar, which ``get_uncertainty("dipole")`` returns.  All members share one neighbour list.

    ``results`` holds the properties that ASE defines.  Polarizability, susceptibility, gradients, error bars and other
    properties are in ``extra_results``.  ``get_property`` finds both.

    In an electric field all properties are evaluated at the field.  The energy is the enthalpy ``H(R, E)``, the dipole
    ``-dH/dE`` includes the induced dipole, and forces and stress are derivatives of H.

    If an artifact stores the range of its training data, some configurations are compared with it, and the first one
    outside is logged as a warning (once for each role, see ``tnep_calc.calculators.range_check``).

    Parameters
    ----------
    energy : str, path, NepParameters or Artifact, or a list of them, optional
        Potential; gives ``energy``, ``energies``, ``free_energy`` (eV), ``forces`` (eV/Å) and, if the cell has
        three vectors, ``stress`` (eV/Å³, ASE's sign and order).
    dipole : same, optional
        Dipole model; gives ``dipole`` (e·Å per cell), ``polarization`` (e/Å², if the cell has three vectors) and
        ``born_effective_charges`` (e, [atom, dipole component, displacement component]).
    susceptibility : same, optional
        Polarizability or susceptibility model; gives ``polarizability`` (e·Å²/V per cell, shape (3, 3)),
        ``susceptibility`` and ``dielectric_tensor`` (dimensionless, ``eps = 1 + alpha / (eps0 V)``, fully periodic
        cells only) and ``polarizability_gradient`` (e·Å/V, [atom, displacement component, i, j]).
    enthalpy : same, optional
        Electric-enthalpy model; gives all of the above, so it cannot be combined with another model.  It also gives
        ``piezoelectric_tensor`` (e/Å², [dipole component, a, b], symmetric in ab, if the cell has three vectors):
        ``dP_i/d strain_ab / V`` with P the dipole of the cell, which is the clamped-ion, improper tensor in this
        normalisation.  Adding ``- (delta_ia P_b + delta_ib P_a) / (2 V)`` gives the proper tensor, which is the same
        for all branches of P.  A model of third order in the field also gives ``hyperpolarizability`` (e·Å^3/V^2 per
        cell, -d3H/dE3); its polarizability depends on the field, so its dipole is not linear in it.
    radnet : same, optional
        Radnet model of dipole and polarizability; gives the properties of both `dipole` and `susceptibility`, and the
        ``piezoelectric_tensor``.  A radnet model of only one of them is passed as `dipole` or `susceptibility`.
    efield : array, shape (3,), in V/Å, or callable, optional
        Uniform field, or a function of time in fs that returns it.  It acts on the `enthalpy` model, or on `energy`
        and `dipole` together: ``H = U - E.P - E.alpha.E / 2``, with the terms in alpha if there is a `susceptibility`
        (their forces need all its derivatives, six backward passes).  Separate models give no stress in a field.  The
        energy and the stress of a crystal in a field depend on the branch of its dipole P.  The stress at constant
        voltage, ``stress + (E_i P_j + E_j P_i) / (2 V)``, is the same for all branches.
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.
    dtype : {"float64", "float32"}, optional
        Type of the arithmetic (results are float64), for every model.  None means float64, which numerical
        derivatives, relaxations, phonons and elastic constants need.  Molecular dynamics may use float32.  A NEP
        artifact that an earlier version exported in float32, and an ``Artifact`` in memory, keep their own type if None
        is given.
    dipole_unit, susceptibility_unit : str, optional
        Unit in which the model of a ``nep.txt`` was trained, because the file does not state it: ``e*A`` (default),
        ``e*bohr`` or ``debye``; and ``e*A^2/V`` (default), ``A^3``, ``bohr^3`` or ``N*chi``.  Artifacts store theirs.
    skin : float, default 1.0
        Skin of the neighbour list in Å; the list is rebuilt before a pair that it lacks can come within the cutoff.
    **kwargs
        ``atoms``, ``label``, ``restart`` and ``directory`` of ASE's ``Calculator``; any other keyword is an error.

    Raises
    ------
    ModelFileError
        If a file cannot be used.
    InputError
        If no model is given, a model is of the wrong kind, an option does not fit, or the device is not available.  On
        evaluation: for an element that a model does not know, non-finite or coincident positions, an invalid cell, or
        a field that is not three finite numbers.

    Examples
    --------
    >>> from ase.build import bulk
    >>> calc = TNEPCalculator(energy="nep.txt", dipole="dipole.pt")  # doctest: +SKIP
    >>> atoms = bulk("BN", "zincblende", a=3.6)
    >>> atoms.calc = calc  # doctest: +SKIP
    >>> atoms.get_forces()  # doctest: +SKIP
    >>> calc.get_property("born_effective_charges", atoms)  # doctest: +SKIP
    >>> calc = TNEPCalculator(dipole=["member1/model.pt", "member2/model.pt"])  # doctest: +SKIP
    >>> calc.get_uncertainty("dipole", atoms)  # doctest: +SKIP
    >>> calc = TNEPCalculator(enthalpy="model.pt", efield=[0, 0, 0.01])  # doctest: +SKIP
    """

    atoms: Atoms

    def __init__(
        self,
        energy=None,
        dipole=None,
        susceptibility=None,
        *,
        enthalpy=None,
        radnet=None,
        efield=None,
        device: str = "cpu",
        dtype: str | None = None,
        dipole_unit: str | None = None,
        susceptibility_unit: str | None = None,
        skin: float = 1.0,
        **kwargs,
    ):
        check_keywords(kwargs, _KEYWORDS)
        super().__init__(**kwargs)
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype must be {' or '.join(DTYPES)}, got '{dtype}'")
        self.device = resolve(device)
        sources = {
            "energy": energy,
            "dipole": dipole,
            "susceptibility": susceptibility,
            "enthalpy": enthalpy,
            "radnet": radnet,
        }
        units = {"dipole": dipole_unit, "susceptibility": susceptibility_unit}
        self.models = load_models(sources, units, self.device, dtype)
        self._field = AppliedField()
        self.efield = efield
        gives = {
            role: [
                name
                for name in ROLES[role].properties
                if name != HYPERPOLARIZABILITY or all(map(is_of_third_order, models))
            ]
            for role, models in self.models.items()
        }
        self.implemented_properties = [name for names in gives.values() for name in names]
        self.implemented_properties += [n + STD for role in gives if len(self.models[role]) > 1 for n in gives[role]]
        cutoff = max(model.metadata.cutoff for models in self.models.values() for model in models)
        self._neighbor_list = NeighborList(cutoff, skin, search_on(self.device))
        self.range_check = RangeCheck(self.models)
        given: dict[str, Any] = {"device": device, "dtype": dtype, "dipole_unit": dipole_unit, "skin": skin}
        given["susceptibility_unit"] = susceptibility_unit
        self._described = describe_sources(sources) | {k: v for k, v in given.items() if v is not None}

    @property
    def _has_field_model(self) -> bool:
        """Whether a model takes the field itself."""
        return any(ROLES[role].field for role in self.models)

    @property
    def efield(self):
        """The field in V/Å, or the function of time that returns it, or None; setting it discards the results."""
        return self._field.source

    @efield.setter
    def efield(self, source):
        if source is not None and not self._has_field_model:
            if not {"energy", "dipole"} <= set(self.models):
                raise InputError("efield needs a model of the enthalpy, or models of both energy and dipole")
            if any(len(models) > 1 for models in self.models.values()):
                raise InputError("in a field only enthalpy models can form an ensemble; give single models otherwise")
        self._field.set(source)
        self.results = {}

    @property
    def time(self) -> float:
        """Time in fs at which the field is evaluated; setting it discards the results if the field changes."""
        return self._field.time

    @time.setter
    def time(self, time: float):
        before = self._field.value()
        self._field.time = float(time)
        now = self._field.value()
        if before is not None and now is not None and (before != now).any():
            self.results = {}

    def schedule(self, time: float) -> None:
        """Set the time (fs) of the next new configuration; the results of the present one are kept.

        ``tnep_calc.calculators.field.follow(dynamics, calculator)`` calls this at every step.
        """
        self._field.schedule(time)

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)):
        """Evaluate the requested properties, each model at most once.

        Results of earlier calls for the same atoms are kept.
        """
        if atoms is None and self.atoms is None:
            raise CalculatorSetupError("calculate() needs atoms: there are none from an earlier calculation")
        if atoms is not None and not isinstance(atoms, Atoms):
            raise TypeError(f"calculate() needs one ase.Atoms, got {type(atoms).__name__}")
        super().calculate(atoms, properties, system_changes)
        if system_changes:
            self._field.advance()
        field = self._field.value()
        wanted = {name.removesuffix(STD) for name in properties}
        edges = self._edges()
        if field is not None and not self._has_field_model and wanted & _ELECTRIC:
            self._keep(separate_models(self.evaluate, self.models, self.atoms, edges, wanted, field))
            wanted -= _ELECTRIC
        for role, models in self.models.items():
            if not wanted & set(ROLES[role].properties):
                continue
            quantities = ROLES[role].needed(wanted)
            raw = [self.evaluate(role, quantities, edges, k, field) for k in range(len(models))]
            self._keep(member_properties(raw, models, role, self.atoms, wanted, field))
        if system_changes:
            self.range_check.see(edges, self.atoms)

    def _edges(self) -> Edges:
        check_usable()  # the search would hang in a process that was forked after an evaluation with several threads
        return self._neighbor_list.edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)

    def _keep(self, found):
        """Store the properties that ASE defines in ``results`` and the others in ``extra_results``."""
        for name, value in found.items():
            (self.results if name in _KNOWN_TO_ASE else self.extra_results)[name] = value

    @property
    def results(self) -> dict[str, Any]:
        """Properties that ASE defines; setting it to a new dictionary also empties ``extra_results``."""
        return self._results

    @results.setter
    def results(self, results: dict[str, Any]):
        self._results = results
        self.extra_results: dict[str, Any] = {}

    def get_property(self, name, atoms=None, allow_calculation=True):
        """Return any property of ``implemented_properties``, computed if necessary.

        Parameters
        ----------
        name : str
        atoms : ase.Atoms, optional
            Default: those of the last calculation.
        allow_calculation : bool, default True
            If False, a property that has not been computed is returned as None.

        Raises
        ------
        PropertyNotImplementedError
            If no model gives the property, or it does not exist for these atoms. The message names the keyword of the
            model that is missing.
        """
        if name not in self.implemented_properties:
            given = [f"{role}=" for role, known in ROLES.items() if name in known.properties]
            hint = f": give {' or '.join(given)} to TNEPCalculator" if given else ""
            raise PropertyNotImplementedError(f"no model of this calculator gives '{name}'{hint}")
        if name in _KNOWN_TO_ASE:
            return super().get_property(name, atoms, allow_calculation)
        changes = [] if atoms is None else self.check_state(atoms)
        if changes:
            self.results = {}
        if name not in self.extra_results:
            if not allow_calculation:
                return None
            self.calculate(atoms, [name], changes)
        if name not in self.extra_results:
            raise PropertyNotImplementedError(f"'{name}' is not defined for these atoms: their cell has no volume")
        value = self.extra_results[name]
        return value.copy() if isinstance(value, np.ndarray) else value

    def calculation_required(self, atoms, properties):
        """Return whether any of the properties has not been computed for these atoms."""
        if self.check_state(atoms):
            return True
        return any(name not in self.results and name not in self.extra_results for name in properties)

    def todict(self, skip_default=True) -> dict[str, Any]:
        """Return a description of the calculator: files with their hashes, units, device, dtype, a constant field.

        `ase.db` rows and trajectories store it.  :meth:`from_dict` rebuilds the calculator from it.
        """
        field = self._field.source
        return self._described | ({"efield": [float(x) for x in field]} if isinstance(field, np.ndarray) else {})

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> TNEPCalculator:
        """Return the calculator from the description that :meth:`todict` has returned.

        Raises
        ------
        ModelFileError
            If a file is missing or has changed since then.
        InputError
            If a model was not given as a file.
        """
        return cls(**from_description(described))

    def __str__(self):
        words = [f"{role}: {describe_models(models)}" for role, models in self.models.items()]
        field = self._field.source
        words += [] if field is None else [f"field: {'a function of time' if callable(field) else f'{field} V/Å'}"]
        return f"TNEPCalculator({'; '.join(words)}; on {self.device})"

    def get_uncertainty(self, name: str, atoms: Atoms | None = None):
        """Return the standard deviation of a property over the members of an ensemble, in its unit and shape.

        Raises
        ------
        InputError
            If no model gives the property, or the model that gives it is not an ensemble.
        """
        role = self._role_of(name)
        if len(self.models[role]) == 1:
            raise InputError(f"'{name}' has no error bar from a single model: give {role}= a list of models")
        return self.get_property(name + STD, atoms)

    def get_members(self, name: str, atoms: Atoms | None = None) -> np.ndarray:
        """Return the values of a property from each model of an ensemble, shape (n_models, ...).

        A single model gives one row.

        Raises
        ------
        InputError
            If no model gives the property.
        """
        several = len(self.models[self._role_of(name)]) > 1
        value = self.get_property(name, atoms)
        return np.array((self.results | self.extra_results)[name + MEMBERS]) if several else np.array([value])

    def get_descriptors(self, atoms: Atoms | None = None) -> np.ndarray:
        """Return the scaled descriptors of the atoms from the first model, shape (n_atoms, dim).

        Raises
        ------
        InputError
            If that model is not of the NEP family.
        """
        role = with_descriptors(self.models)
        if atoms is not None and self.check_state(atoms):
            self.reset()
            super().calculate(atoms)
        edges = self._edges()
        return self.evaluate(role, ["descriptors"], edges)["descriptors"]

    def _role_of(self, name):
        role = next((role for role in self.models if name in ROLES[role].properties), None)
        if role is None:
            known = ", ".join(n for r in self.models for n in ROLES[r].properties)
            raise InputError(f"no model gives '{name}'; known: {known}")
        return role

    def evaluate(
        self, role: str, quantities: list[str], edges: Edges, member: int = 0, field: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Return raw quantities of one model for the present atoms as numpy arrays.

        Parameters
        ----------
        role : str
            Keyword under which the model was given.
        quantities : list of str
            Names of the contract in ``tnep_calc.models``, which defines shapes and units.
        edges : Edges
            Neighbour list of the atoms.
        member : int, default 0
            Index of the model in an ensemble.
        field : ndarray, shape (3,), in V/Å, optional
        """
        model = self.models[role][member]
        symbols = self.atoms.get_chemical_symbols()
        return evaluate(model, role, symbols, quantities, edges, self.device, field)


_KEYWORDS = [name for name in inspect.signature(TNEPCalculator).parameters if name != "kwargs"]
