"""The scriptable module of :mod:`tnep_calc.interfaces.metatomic`; importing it needs metatomic."""

from typing import Dict, List, Optional

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, System
from torch import Tensor, nn


class Exported(nn.Module):
    """Models of the energy, the dipole and the polarizability, evaluated on the systems of metatomic.

    metatomic obtains forces and stress from the gradient of the energy with respect to positions and cell.  The native
    kernels have no such gradient, but they return forces and virial.  The energy is therefore returned as

        E + sum_i g_i . (r_i - r_i') + sum_ab C_ab [h^-1 (h - h')]_ab

    where r are the positions, h the rows of the cell, and primed quantities are constants with the same value.  Its
    value is E, its gradient with respect to the positions is g = -F, and that with respect to a strain of positions
    and cell is ``sum_i r_i g_i + C``, which is minus the virial W if ``C = -W - sum_i r_i g_i``.  Second derivatives
    are not available.
    """

    tables: Tensor

    def __init__(self, models: List[nn.Module], names: List[List[str]], species: List[List[int]], cutoff: float):
        super().__init__()
        self.models = nn.ModuleList(models)
        self.names = names
        tables = torch.full((len(models), 120), -1, dtype=torch.int64)
        for k, numbers in enumerate(species):
            tables[k, torch.tensor(numbers)] = torch.arange(len(numbers))
        self.register_buffer("tables", tables)
        self.cutoff = cutoff

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        """Return the neighbour list that metatomic must provide."""
        return [NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True)]

    def forward(
        self, systems: List[System], outputs: Dict[str, ModelOutput], selected_atoms: Optional[Labels]
    ) -> Dict[str, TensorMap]:
        """Return the requested outputs, one row per system."""
        if selected_atoms is not None:
            raise ValueError("tnep_calc models evaluate all atoms: selected_atoms must be None")
        energies: List[Tensor] = []
        dipoles: List[Tensor] = []
        polarizabilities: List[Tensor] = []
        options = self.requested_neighbor_lists()[0]
        for system in systems:
            block = system.get_neighbor_list(options)
            first = block.samples.column("first_atom").to(torch.int64)
            order = torch.argsort(first, stable=True)
            count = len(system.types)
            offsets = torch.zeros(count + 1, dtype=torch.int64, device=first.device)
            offsets[1:] = torch.cumsum(torch.bincount(first, minlength=count), 0)
            neighbors = block.samples.column("second_atom").to(torch.int64)[order]
            vectors = block.values.detach().reshape(-1, 3)[order].to(torch.float64)
            centers = torch.arange(count, device=first.device)
            for k, model in enumerate(self.models):
                wanted: List[str] = []
                for name in self.names[k]:
                    if name in ("energy", "forces", "virial"):
                        if "energy" in outputs:
                            wanted.append(name)
                    elif "tnep::" + name in outputs:
                        wanted.append(name)
                if len(wanted) > 0:
                    species = self.tables[k][system.types.to(torch.int64)]
                    if bool((species < 0).any()):
                        raise ValueError("the system has atoms of a species that the model does not know")
                    found = model(species, centers, offsets, neighbors, vectors, wanted, None)
                    if "energy" in wanted:
                        energies.append(self.with_gradients(system, found))
                    if "dipole" in wanted:
                        dipoles.append(found["dipole"].to(system.positions.dtype))
                    if "polarizability" in wanted:
                        polarizabilities.append(found["polarizability"].to(system.positions.dtype))
        results: Dict[str, TensorMap] = {}
        if "energy" in outputs:
            results["energy"] = self.as_map(torch.stack(energies).reshape(-1, 1), "energy")
        if "tnep::dipole" in outputs:
            results["tnep::dipole"] = self.as_map(torch.stack(dipoles).unsqueeze(-1), "dipole")
        if "tnep::polarizability" in outputs:
            results["tnep::polarizability"] = self.as_map(torch.stack(polarizabilities).unsqueeze(-1), "polarizability")
        return results

    def with_gradients(self, system: System, found: Dict[str, Tensor]) -> Tensor:
        """Return the energy with the gradients described in the class."""
        positions, cell = system.positions, system.cell
        gradient = -found["forces"].detach().to(positions.dtype)
        energy = found["energy"].detach().to(positions.dtype) + (gradient * (positions - positions.detach())).sum()
        if bool((cell.detach() != 0).any()):
            rest = -found["virial"].detach().to(positions.dtype) - positions.detach().T @ gradient
            energy = energy + (rest * (torch.linalg.pinv(cell.detach()) @ (cell - cell.detach()))).sum()
        return energy

    def as_map(self, values: Tensor, quantity: str) -> TensorMap:
        """Return values, one row per system, as a map with one block."""
        device = values.device
        axes: List[Labels] = []
        for k in range(values.dim() - 2):
            name = "xyz" if values.dim() == 3 else "xyz_" + str(k + 1)
            axes.append(Labels([name], torch.arange(3, device=device).reshape(3, 1)))
        block = TensorBlock(
            values=values,
            samples=Labels(["system"], torch.arange(values.shape[0], device=device).reshape(-1, 1)),
            components=axes,
            properties=Labels([quantity], torch.zeros(1, 1, dtype=torch.int64, device=device)),
        )
        return TensorMap(keys=Labels(["_"], torch.zeros(1, 1, dtype=torch.int64, device=device)), blocks=[block])
