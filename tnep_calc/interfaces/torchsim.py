"""Models in TorchSim: energy, forces, stress, dipole and polarizability of a batch of structures.

All structures of a batch are evaluated in one call of each model, as separate parts of one list of edges.
"""

from __future__ import annotations

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from ..artifact import Artifact
from ..calculators.loading import load_model
from ..device import resolve
from ..errors import InputError
from ..neighbors import Edges, NeighborList
from ..ops.neighbors import edges_of_all, native_search
from ..units import EPSILON_0

try:
    from torch_sim.models.interface import ModelInterface
except ImportError:  # the class can be imported and documented without TorchSim
    ModelInterface = torch.nn.Module  # type: ignore[assignment,misc]

_RESULTS = {
    "energy": ("energies", "forces", "virials"),
    "dipole": ("dipoles",),
    "susceptibility": ("polarizabilities",),
}
_ROLES = {"enthalpy": ("energy", "dipole", "susceptibility"), "radnet": ("dipole", "susceptibility")}


class TorchSimModel(ModelInterface):
    """One or several models of this package as a model of TorchSim.

    ``forward`` returns, as float64 tensors in the units of TorchSim, ``energy`` (eV, shape (n_systems,)), ``forces``
    (eV/Å, (n_atoms, 3)) and ``stress`` (eV/Å³, (n_systems, 3, 3), positive under tension).  Models that have them add
    ``dipole`` (e·Å per cell, (n_systems, 3)) and ``polarizability`` (e·Å²/V per cell, (n_systems, 3, 3)).

    Parameters
    ----------
    energy, dipole, susceptibility, enthalpy, radnet : str, path or Artifact, optional
        Models as for :class:`.TNEPCalculator`, one for each keyword; `energy` or `enthalpy` is required.
    device : str, default "cpu"
    skin : float, default 1.0
        Skin of the neighbour lists in Å.  On a GPU there is no skin: all structures are searched at once at every call.

    Raises
    ------
    InputError
        If TorchSim is not installed, there is no model of the energy, or a structure has a species that a model does
        not know.

    Examples
    --------
    >>> from tnep_calc.interfaces.torchsim import TorchSimModel
    >>> model = TorchSimModel(energy="energy.pt", dipole="dipole.pt")  # doctest: +SKIP
    >>> model(torch_sim.initialize_state([atoms], "cpu", torch.float64))["dipole"]  # doctest: +SKIP
    """

    def __init__(
        self, energy=None, dipole=None, susceptibility=None, *, enthalpy=None, radnet=None, device="cpu", skin=1.0
    ):
        if ModelInterface is torch.nn.Module:
            raise InputError("TorchSim is not installed: pip install torch-sim-atomistic")
        if energy is None and enthalpy is None:
            raise InputError("TorchSim needs a model of the energy: give energy= or enthalpy=")
        super().__init__()
        self._device, self._dtype = resolve(device), torch.float64
        self._compute_stress = self._compute_forces = True
        given = {
            "energy": energy,
            "dipole": dipole,
            "susceptibility": susceptibility,
            "enthalpy": enthalpy,
            "radnet": radnet,
        }
        self.models: dict[str, Artifact] = {
            role: load_model(source, role, self._device, None, None)
            for role, source in given.items()
            if source is not None
        }
        self._cutoff = max(model.metadata.cutoff for model in self.models.values())
        self._skin = float(skin)
        self._lists: list[NeighborList] = []

    def forward(self, state, **kwargs) -> dict[str, Tensor]:
        """Return the results for all structures of a state; see the class."""
        state = state if hasattr(state, "positions") else _Dictionary(state)
        system = state.system_idx.to(self._device)
        cells = state.cell.mT  # TorchSim stores lattice vectors as columns
        count = len(cells)
        positions = state.positions.detach().to(torch.float64)
        pbc = np.broadcast_to(np.asarray(state.pbc.cpu() if isinstance(state.pbc, Tensor) else state.pbc), 3)
        offsets, neighbors, vectors = self._edges(
            positions.cpu().numpy(), cells.detach().cpu().numpy(), pbc, system.cpu().numpy()
        )
        volumes = torch.linalg.det(cells.detach().to(self._device, torch.float64)).abs()
        sizes = torch.bincount(system, minlength=count)

        def total(values):
            return torch.zeros(count, *values.shape[1:], dtype=values.dtype, device=values.device).index_add(
                0, system, values
            )

        found: dict[str, Tensor] = {}
        for role, model in self.models.items():
            parts = [part for part in _ROLES.get(role, (role,)) if _RESULTS[part][0] in model.metadata.quantities]
            names = [name for part in parts for name in _RESULTS[part]]
            species = self._species(state.atomic_numbers, model.metadata.species)
            centers = torch.arange(len(species), device=self._device)
            out = model(species, centers, offsets, neighbors, vectors, names, None)
            if "energy" in parts:
                found["energy"], found["forces"] = total(out["energies"]), out["forces"]
                found["stress"] = -total(out["virials"]) / volumes[:, None, None]
            if "dipole" in parts:
                found["dipole"] = total(out["dipoles"])
            if "susceptibility" in parts:
                found["polarizability"] = total(out["polarizabilities"])
                if model.metadata.units["polarizability"] == "N*chi":
                    found["polarizability"] *= (EPSILON_0 * volumes / sizes)[:, None, None]
        return {name: value.detach() for name, value in found.items()}

    def _edges(self, positions, cells, pbc, system):
        """Return offsets, neighbours and vectors of all structures as tensors."""
        if self._device.type != "cpu":
            return self._edges_on_device(positions, cells, pbc, system)
        while len(self._lists) < len(cells):
            self._lists.append(NeighborList(self._cutoff, self._skin, native_search()))
        parts = [
            search.edges(positions[system == k], cell, pbc)
            for k, (cell, search) in enumerate(zip(cells, self._lists, strict=False))
        ]
        edges = Edges.joined(parts)
        arrays = (edges.offsets, edges.neighbors, edges.vectors)
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in arrays]

    def _edges_on_device(self, positions, cells, pbc, system):
        structures = [(positions[system == k], cell, pbc) for k, cell in enumerate(cells)]
        found = edges_of_all(structures, self._cutoff, self._device)
        return [found.offsets, found.neighbors, found.vectors]

    def _species(self, numbers, species):
        """Return the species index of every atom."""
        table = torch.full((119,), -1, dtype=torch.int64)
        for k, symbol in enumerate(species):
            table[atomic_numbers[symbol]] = k
        index = table[numbers.cpu()]
        if (index < 0).any():
            unknown = sorted(set(numbers.cpu()[index < 0].tolist()))
            raise InputError(f"the model knows {' '.join(species)}, but the structures have atomic numbers {unknown}")
        return index.to(self._device)


class _Dictionary:
    """Attributes of a state that is given as a dictionary."""

    def __init__(self, state):
        self.pbc = True
        self.__dict__.update(state)
