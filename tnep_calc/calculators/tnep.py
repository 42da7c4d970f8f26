"""ASE calculator for exported artifacts and ``nep.txt`` files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorSetupError, PropertyNotImplementedError, all_changes
from ase.outputs import all_outputs

from ..artifact import DTYPES, Artifact
from ..conventions import HYPERPOLARIZABILITY
from ..device import resolve
from ..errors import InputError
from ..families import ROLES
from ..neighbors import Edges, NeighborList
from ..ops.neighbors import native_search
from ..threads import sized_for
from .description import check_keywords, describe_models, describe_sources, from_description
from .ensemble import MEMBERS, STD, combine
from .field import AppliedField, separate_in_field, to_one_branch
from .loading import is_of_third_order, load_model
from .properties import dipole_properties, energy_properties, properties_of, response_scale

_KNOWN_TO_ASE = frozenset(all_outputs) - {"born_effective_charges"}  # which the extended xyz writer cannot write
_ELECTRIC = {*ROLES["energy"].properties, *ROLES["dipole"].properties}  # all that a field changes at first order


class TNEPCalculator(Calculator):
    """Energies, forces, stress, dipole, Born charges, polarizability and Raman derivative of trained models.

    Each model is a ``nep.txt`` of GPUMD, an artifact written by ``tnep export``, or what ``read_nep`` or
    ``load_artifact`` returned.  All derivatives are analytic and their cost is linear in the number of atoms.

    A list of models is an ensemble: every property is the mean over its members, and their standard deviation is the
    error bar, as ``get_uncertainty("dipole")``.  All members share one neighbour list.

    ``results`` has what every program with ASE knows.  Polarizability, susceptibility, gradients, error bars and the
    like are in ``extra_results``; ``get_property`` finds both.

    In an electric field all properties are those at the field: the energy is the enthalpy ``H(R, E)``, the dipole
    ``-dH/dE`` includes the induced one, and forces and stress are the derivatives of H, from one backward pass.

    Parameters
    ----------
    energy : str, path, NepParameters or Artifact, or a list of them, optional
        Potential; gives ``energy``, ``energies``, ``free_energy`` (eV), ``forces`` (eV/Å) and, where the cell has
        three vectors, ``stress`` (eV/Å³, ASE's sign and order).
    dipole : same, optional
        Dipole model; gives ``dipole`` (e·Å per cell), ``polarization`` (e/Å², where the cell has three vectors) and
        ``born_effective_charges`` (e, [atom, dipole component, displacement component]).
    susceptibility : same, optional
        Polarizability or susceptibility model; gives ``polarizability`` (e·Å²/V per cell, shape (3, 3)),
        ``susceptibility`` and ``dielectric_tensor`` (dimensionless, ``eps = 1 + alpha / (eps0 V)``, fully periodic
        cells only) and ``polarizability_gradient`` (e·Å/V, [atom, displacement component, i, j]).
    enthalpy : same, optional
        Electric-enthalpy model; gives all of the above by itself, so it takes no other model beside it, and
        ``piezoelectric_tensor`` (e/Å², [dipole component, a, b], ``dP_i/d strain_ab / V`` with P the dipole of the
        cell, symmetric in ab, where the cell has three vectors).  That is the clamped-ion, improper tensor of this
        normalisation; ``- (delta_ia P_b + delta_ib P_a) / (2 V)`` makes it the proper one, the same for all branches
        of P.  A model of third order in the field also gives ``hyperpolarizability`` (e·Å^3/V^2 per cell, -d3H/dE3);
        its dipole is not linear in the field, and its polarizability depends on it.
    radnet : same, optional
        Radnet model of dipole and polarizability; gives what `dipole` and `susceptibility` do together, and the
        ``piezoelectric_tensor``.  One of a single target is given as `dipole` or `susceptibility`.
    efield : array, shape (3,), in V/Å, or callable, optional
        Uniform field, or a function of time in fs that returns it, for `enthalpy`, or for `energy` and `dipole`
        together: ``H = U - E.P - E.alpha.E / 2``, with the terms in alpha if there is a `susceptibility` (their
        forces need all its derivatives, six backward passes).  Separate models have no stress in a field.  That of a
        crystal, like the energy, is on the branch of the dipole P; ``stress + (E_i P_j + E_j P_i) / (2 V)``, that at
        constant voltage, is the same for all branches.
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.
    dtype : {"float64", "float32"}, optional
        Type of the arithmetic (results are float64).  None means float64, for numerical derivatives, relaxations and
        phonons, except for a NEP artifact that was exported in float32, whose precision stays.  MD may choose float32.
    dipole_unit, susceptibility_unit : str, optional
        Unit in which the model of a ``nep.txt`` was trained (the file does not tell): ``e*A`` (default), ``e*bohr``,
        ``debye``; and ``e*A^2/V`` (default), ``A^3``, ``bohr^3``, ``N*chi``.  Artifacts know theirs.
    skin : float, default 1.0
        Skin of the neighbour list in Å; lists are rebuilt when atoms have moved half of it.
    **kwargs
        ``atoms``, ``label``, ``restart`` and ``directory`` of ASE's ``Calculator``; any other keyword is an error.

    Raises
    ------
    ModelFileError
        If a file cannot be used.
    InputError
        If no model is given, a model is of the wrong kind, an option does not fit, or the device is not there.  When
        evaluated: for an element that a model does not know, non-finite or coincident positions, an unsound cell, or a
        field that is not three finite numbers.

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
        self.models: dict[str, tuple[Artifact, ...]] = {
            role: tuple(
                load_model(member, role, self.device, dtype, units.get(role)) for member in _members(source, role)
            )
            for role, source in sources.items()
            if source is not None
        }
        if not self.models:
            names = " or ".join(f"{name}=" for name in sources)
            raise InputError(f"TNEPCalculator needs at least one model: {names}")
        if enthalpy is not None and len(self.models) > 1:
            raise InputError("enthalpy= gives all properties: leave out energy=, dipole=, susceptibility= and radnet=")
        if radnet is not None and {"dipole", "susceptibility"} & set(self.models):
            raise InputError("radnet= gives dipole and susceptibility: leave out dipole= and susceptibility=")
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
        self._neighbor_list = NeighborList(cutoff, skin, native_search())
        given = {
            "device": device,
            "dtype": dtype,
            "dipole_unit": dipole_unit,
            "skin": skin,
            "susceptibility_unit": susceptibility_unit,
        }
        self._described = describe_sources(sources) | {k: v for k, v in given.items() if v is not None}

    @property
    def efield(self):
        """The field in V/Å, or the function of time that gives it, or None; setting it discards the results."""
        return self._field.source

    @efield.setter
    def efield(self, source):
        if source is not None and "enthalpy" not in self.models:
            if not {"energy", "dipole"} <= set(self.models):
                raise InputError("efield needs a model of the enthalpy, or models of both energy and dipole")
            if any(len(models) > 1 for models in self.models.values()):
                raise InputError("in a field an ensemble must be one of enthalpy models; give single models otherwise")
        self._field.set(source)
        self.results = {}

    @property
    def time(self) -> float:
        """Time in fs at which a time-dependent field is taken; setting it discards results at another field."""
        return self._field.time

    @time.setter
    def time(self, time: float):
        before = self._field.value()
        self._field.time = float(time)
        now = self._field.value()
        if before is not None and now is not None and (before != now).any():
            self.results = {}

    def schedule(self, time: float) -> None:
        """Let the next new configuration be at this time (fs); results of the present one stay.

        This is what ``tnep_calc.calculators.field.follow(dynamics, calculator)`` does at every step.
        """
        self._field.schedule(time)

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)):
        """Evaluate what is asked for, each model at most once; results of earlier calls for the same atoms stay."""
        if atoms is None and self.atoms is None:
            raise CalculatorSetupError("calculate() needs atoms: there are none from an earlier calculation")
        if atoms is not None and not isinstance(atoms, Atoms):
            raise TypeError(f"calculate() needs one ase.Atoms, got {type(atoms).__name__}")
        super().calculate(atoms, properties, system_changes)
        if system_changes:
            self._field.advance()
        field = self._field.value()
        wanted = {name.removesuffix(STD) for name in properties}
        edges = self._neighbor_list.edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
        if field is not None and "enthalpy" not in self.models and wanted & _ELECTRIC:
            self._keep(self._separate(edges, wanted, field))
            wanted -= _ELECTRIC
        for role, models in self.models.items():
            if not wanted & set(ROLES[role].properties):
                continue
            quantities = [raw for raw, needed in ROLES[role].quantities.items() if needed is None or needed in wanted]
            members = [
                properties_of(self.evaluate(role, quantities, edges, k, field), self.atoms, wanted, model.metadata)
                for k, model in enumerate(models)
            ]
            several = len(members) > 1
            if several and role == "enthalpy" and field is not None:
                to_one_branch(members, self.atoms.cell.array, self.atoms.pbc, field)
            self._keep(combine(members, self.atoms.cell.array, self.atoms.pbc) if several else members[0])

    def _keep(self, found):
        """Sort results into those that every program with ASE knows, and the others."""
        for name, value in found.items():
            (self.results if name in _KNOWN_TO_ASE else self.extra_results)[name] = value

    @property
    def results(self) -> dict[str, Any]:
        """Results that every program with ASE knows; a new dictionary discards the others, ``extra_results``, too."""
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
            Without it, None is returned for what is not there.
        """
        if name in _KNOWN_TO_ASE or name not in self.implemented_properties:
            return super().get_property(name, atoms, allow_calculation)
        changes = [] if atoms is None else self.check_state(atoms)
        if changes:
            self.results = {}
        if name not in self.extra_results:
            if not allow_calculation:
                return None
            self.calculate(atoms, [name], changes)
        if name not in self.extra_results:
            raise PropertyNotImplementedError(f"'{name}' is not there for these atoms, whose cell has no volume")
        value = self.extra_results[name]
        return value.copy() if isinstance(value, np.ndarray) else value

    def calculation_required(self, atoms, properties):
        """Tell whether a property is not there for these atoms."""
        if self.check_state(atoms):
            return True
        return any(name not in self.results and name not in self.extra_results for name in properties)

    def todict(self, skip_default=True) -> dict[str, Any]:
        """Return what rebuilds the calculator: files with their hashes, units, device, dtype, a constant field.

        `ase.db` rows and trajectories keep it; :meth:`from_dict` makes the calculator again.
        """
        field = self._field.source
        return self._described | ({"efield": [float(x) for x in field]} if isinstance(field, np.ndarray) else {})

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> TNEPCalculator:
        """Return the calculator that :meth:`todict` has described.

        Raises
        ------
        ModelFileError
            If a file is missing, or is not the one of that time.
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
            If no model gives the property, or the one that does is not an ensemble.
        """
        role = self._role_of(name)
        if len(self.models[role]) == 1:
            raise InputError(f"'{name}' has no error bar from a single model: give {role}= a list of models")
        return self.get_property(name + STD, atoms)

    def get_members(self, name: str, atoms: Atoms | None = None) -> np.ndarray:
        """Return a property as each model of an ensemble gives it, shape (n_models, ...); one row for a single model.

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
        role, models = next(iter(self.models.items()))
        known = models[0].metadata
        if "descriptors" not in known.quantities:
            raise InputError(f"descriptors are those of NEP models, but {role}= is of family {known.family}")
        if atoms is not None and self.check_state(atoms):
            self.reset()
            super().calculate(atoms)
        edges = self._neighbor_list.edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
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
        """Return raw quantities of one model (names of the contract in ``tnep_calc.models``) as numpy arrays."""
        model = self.models[role][member]
        species = torch.as_tensor(_species_index(self.atoms, model.metadata.species, role))
        arguments = [
            tensor.to(self.device)
            for tensor in (
                species,
                torch.arange(len(species)),
                torch.from_numpy(edges.offsets),
                torch.from_numpy(edges.neighbors),
                torch.from_numpy(edges.vectors),
            )
        ]
        index, centers, offsets, neighbors, vectors = arguments
        electric = None if field is None else torch.from_numpy(field).to(self.device)
        with sized_for(len(species)):
            results = model(index, centers, offsets, neighbors, vectors, quantities, electric)
        return {name: results[name].detach().cpu().numpy() for name in quantities}

    def _separate(self, edges, wanted, field):
        """Energy and dipole properties in a field from separate models."""
        if "stress" in wanted:
            raise InputError(
                "separate models of energy and dipole have no stress in a field, as the dipole model does not tell how "
                "the dipole changes with strain: use an enthalpy model"
            )
        models = {role: members[0] for role, members in self.models.items()}
        charges = ["born_charges"] if "born_effective_charges" in wanted else []
        response = None
        if "susceptibility" in models:
            names = ["polarizability", "polarizabilities", "polarizability_gradient"]
            scale = response_scale(models["susceptibility"].metadata, self.atoms)
            response = {k: scale * v for k, v in self.evaluate("susceptibility", names, edges).items()}
        potential, dipole = separate_in_field(
            self.evaluate("energy", ["energies", "energy", "forces"], edges),
            self.evaluate("dipole", ["dipole", "dipoles", "field_forces", *charges], edges, field=field),
            response,
            field,
        )
        return energy_properties(potential, self.atoms) | dipole_properties(dipole, self.atoms)


def _members(source, role):
    if not isinstance(source, (list, tuple)):
        return [source]
    if not source:
        raise InputError(f"{role}= got an empty list; give at least one model")
    return source


def _species_index(atoms, species, role):
    numbers = {symbol: k for k, symbol in enumerate(species)}
    symbols = atoms.get_chemical_symbols()
    unknown = sorted(set(symbols) - set(species))
    if unknown:
        raise InputError(f"the {role} model knows {' '.join(species)}, but the structure has {' '.join(unknown)}")
    return np.array([numbers[s] for s in symbols], dtype=np.int64)


_KEYWORDS = [name for name in inspect.signature(TNEPCalculator).parameters if name != "kwargs"]
