"""ASE calculator for exported artifacts and ``nep.txt`` files."""

from __future__ import annotations

import logging

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from .. import ops
from ..artifact import DTYPES, Artifact, artifact_from_nep, is_artifact, load_artifact
from ..errors import InputError, MissingComponentError
from ..io.nep_txt import NepParameters, read_nep
from ..neighbors import Edges, NeighborList
from ..ops.neighbors import native_search
from ..units import EPSILON_0

log = logging.getLogger(__name__)

_ENERGY = ("energy", "energies", "free_energy", "forces", "stress")
_DIPOLE = ("dipole", "polarization", "born_effective_charges")
_SUSCEPTIBILITY = ("polarizability", "susceptibility", "dielectric_tensor", "polarizability_gradient")
_KINDS = {"energy": "potential", "dipole": "dipole", "susceptibility": "polarizability"}
_GIVES = {"energy": _ENERGY, "dipole": _DIPOLE, "susceptibility": _SUSCEPTIBILITY}


class TNEPCalculator(Calculator):
    """Energies, forces, stress, dipole, Born charges, polarizability and Raman derivative of trained models.

    Each model is a ``nep.txt`` of GPUMD, an artifact written by ``tnep export``, or what ``read_nep`` or
    ``load_artifact`` returned.  All derivatives are analytic and their cost is linear in the number of atoms.

    Parameters
    ----------
    energy : str, path, NepParameters or Artifact, optional
        Potential; gives ``energy``, ``energies``, ``free_energy`` (eV), ``forces`` (eV/Å) and, where the cell has
        three vectors, ``stress`` (eV/Å³, ASE's sign and order).
    dipole : same, optional
        Dipole model; gives ``dipole`` (e·Å per cell), ``polarization`` (e/Å², where the cell has three vectors) and
        ``born_effective_charges`` (e, [atom, dipole component, displacement component]).
    susceptibility : same, optional
        Polarizability or susceptibility model; gives ``polarizability`` (e·Å²/V per cell, shape (3, 3)),
        ``susceptibility`` and ``dielectric_tensor`` (dimensionless, ``eps = 1 + alpha / (eps0 V)``, fully periodic
        cells only) and ``polarizability_gradient`` (e·Å/V, [atom, displacement component, i, j]).
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.
    dtype : {"float64", "float32"}, optional
        Type of the arithmetic (results are float64).  None means float64 for a ``nep.txt`` and the type of the file
        for an artifact, which cannot be changed after export.
    dipole_unit, susceptibility_unit : str, optional
        Unit in which the model of a ``nep.txt`` was trained (the file does not tell): ``e*A`` (default), ``e*bohr``,
        ``debye``; and ``e*A^2/V`` (default), ``A^3``, ``bohr^3``, ``N*chi``.  Artifacts know theirs.
    skin : float, default 1.0
        Skin of the neighbour list in Å; lists are rebuilt when atoms have moved half of it.
    **kwargs
        Passed to ASE's ``Calculator``.

    Raises
    ------
    ModelFileError
        If a file cannot be used.
    InputError
        If no model is given, a model is of the wrong kind, or an option does not fit; and, when evaluated, for an
        element that a model does not know, non-finite or coincident positions, or an unsound cell.
    MissingComponentError
        If the device is not there.

    Examples
    --------
    >>> from ase.build import bulk
    >>> calc = TNEPCalculator(energy="nep.txt", dipole="dipole.pt")  # doctest: +SKIP
    >>> atoms = bulk("BN", "zincblende", a=3.6)
    >>> atoms.calc = calc  # doctest: +SKIP
    >>> atoms.get_forces()  # doctest: +SKIP
    >>> calc.get_property("born_effective_charges", atoms)  # doctest: +SKIP
    """

    atoms: Atoms

    def __init__(
        self, energy=None, dipole=None, susceptibility=None, *, device: str = "cpu", dtype: str | None = None,
        dipole_unit: str | None = None, susceptibility_unit: str | None = None, skin: float = 1.0, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype must be {' or '.join(DTYPES)}, got '{dtype}'")
        self.device = _device(device)
        sources = {"energy": energy, "dipole": dipole, "susceptibility": susceptibility}
        options = {"energy": None, "dipole": dipole_unit, "susceptibility": susceptibility_unit}
        self.models: dict[str, Artifact] = {
            role: _load(source, role, self.device, dtype, options[role])
            for role, source in sources.items()
            if source is not None
        }
        if not self.models:
            raise InputError("TNEPCalculator needs at least one model: energy=, dipole= or susceptibility=")
        self.implemented_properties = [name for role in self.models for name in _GIVES[role]]
        cutoff = max(model.metadata.cutoff for model in self.models.values())
        self._neighbor_list = NeighborList(cutoff, skin, native_search())

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)):
        """Evaluate what is asked for, each model at most once; results of earlier calls for the same atoms stay."""
        super().calculate(atoms, properties, system_changes)
        wanted = set(properties)
        edges = self._neighbor_list.edges(self.atoms.positions, self.atoms.cell.array, self.atoms.pbc)
        if wanted & set(_ENERGY):
            self._energy(edges)
        if wanted & set(_DIPOLE):
            self._dipole(edges, wanted)
        if wanted & set(_SUSCEPTIBILITY):
            self._susceptibility(edges, wanted)

    def evaluate(self, role: str, quantities: list[str], edges: Edges) -> dict[str, np.ndarray]:
        """Return raw quantities of one model (names of the contract in ``tnep_calc.models``) as numpy arrays."""
        model = self.models[role]
        species = torch.as_tensor(_species_index(self.atoms, model.metadata.species, role))
        arguments = [
            tensor.to(self.device)
            for tensor in (
                species, torch.arange(len(species)), torch.from_numpy(edges.offsets),
                torch.from_numpy(edges.neighbors), torch.from_numpy(edges.vectors),
            )
        ]  # fmt: skip
        index, centers, offsets, neighbors, vectors = arguments
        results = model(index, centers, offsets, neighbors, vectors, quantities)
        return {name: results[name].detach().cpu().numpy() for name in quantities}

    def _energy(self, edges):
        out = self.evaluate("energy", ["energies", "energy", "forces", "virial"], edges)
        energy = float(out["energy"])
        self.results.update(energy=energy, free_energy=energy, energies=out["energies"], forces=out["forces"])
        if self.atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(-out["virial"] / self.atoms.get_volume())

    def _dipole(self, edges, wanted):
        quantities = ["dipole"]
        if "born_effective_charges" in wanted:
            quantities.append("born_charges")
        out = self.evaluate("dipole", quantities, edges)
        self.results["dipole"] = out["dipole"]
        if "born_charges" in out:
            self.results["born_effective_charges"] = out["born_charges"]
        if self.atoms.cell.rank == 3:
            self.results["polarization"] = out["dipole"] / self.atoms.get_volume()

    def _susceptibility(self, edges, wanted):
        quantities = ["polarizability"]
        if "polarizability_gradient" in wanted:
            quantities.append("polarizability_gradient")
        out = self.evaluate("susceptibility", quantities, edges)
        normalised = self.models["susceptibility"].metadata.units["polarizability"] == "N*chi"
        periodic = self.atoms.pbc.all() and self.atoms.cell.rank == 3
        if not periodic and (normalised or wanted & {"susceptibility", "dielectric_tensor"}):
            raise InputError(
                "susceptibility and dielectric tensor need a cell that is periodic in three directions, got pbc = "
                f"{self.atoms.pbc.tolist()}; ask for 'polarizability' of a model trained on polarizabilities instead"
            )
        factor = EPSILON_0 * self.atoms.get_volume() / len(self.atoms) if normalised else 1.0
        alpha = factor * out["polarizability"]
        self.results["polarizability"] = alpha
        if "polarizability_gradient" in out:
            self.results["polarizability_gradient"] = factor * out["polarizability_gradient"]
        if periodic:
            chi = alpha / (EPSILON_0 * self.atoms.get_volume())
            self.results.update(susceptibility=chi, dielectric_tensor=np.eye(3) + chi)


def _device(name):
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device must be a torch device such as 'cpu' or 'cuda:0', got '{name}'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingComponentError(
            f"device '{name}' was asked for, but this torch ({torch.__version__}) sees no CUDA GPU: "
            "use device='cpu', or install a CUDA build of torch on a machine with a GPU"
        )
    return device


def _load(source, role, device, dtype, unit):
    """Return the model of one role, checked for its kind."""
    if isinstance(source, Artifact):
        model = source
    elif isinstance(source, NepParameters):
        model = artifact_from_nep(source, dtype or "float64", unit)
    elif is_artifact(source):
        model = load_artifact(source, str(device))
    else:
        model = artifact_from_nep(read_nep(source), dtype or "float64", unit)
    known = model.metadata
    if known.kind != _KINDS[role]:
        raise InputError(
            f"{role}= needs a {_KINDS[role]} model, got a {known.kind} model; for a nep.txt of before mid-2023, which "
            f"does not tell its kind, pass read_nep(path, model_type='{_KINDS[role]}')"
        )
    if dtype is not None and known.dtype != dtype:
        raise InputError(f"{role}: the artifact was exported in {known.dtype}; export it again for dtype='{dtype}'")
    from_nep = isinstance(source, NepParameters) or (not isinstance(source, Artifact) and not is_artifact(source))
    if unit is not None and not from_nep:
        raise InputError(f"{role}: an artifact knows its unit; '{unit}' is only for a nep.txt")
    path = "native kernels" if device.type == "cpu" and ops.load() else "plain torch"
    log.info("%s: %s model, %s, %s on %s", role, known.family, known.dtype, path, device)
    return Artifact(model.module.to(device), known)


def _species_index(atoms, species, role):
    numbers = {symbol: k for k, symbol in enumerate(species)}
    symbols = atoms.get_chemical_symbols()
    unknown = sorted(set(symbols) - set(species))
    if unknown:
        raise InputError(f"the {role} model knows {' '.join(species)}, but the structure has {' '.join(unknown)}")
    return np.array([numbers[s] for s in symbols], dtype=np.int64)
