"""A NEP model that runs on the native kernels where they are, and on plain torch elsewhere."""

from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from ..io.nep_txt import NepParameters
from ..models.nep import NEP
from . import load
from .packing import pack

load()


class NativeNEP(nn.Module):
    """NEP or TNEP model with two paths: native operators on the CPU, else the plain torch model inside.

    Both paths take the same arguments and give the same results, see ``tnep_calc.models``.

    Parameters
    ----------
    parameters, dtype, unit
        As of ``tnep_calc.models.nep.NEP``.
    """

    header: Tensor
    params: Tensor

    def __init__(self, parameters: NepParameters, dtype: torch.dtype = torch.float64, unit: str | None = None):
        super().__init__()
        self.plain = NEP(parameters, dtype, unit)
        self.kind = parameters.kind
        self.quantities: List[str] = self.plain.quantities
        self.scale = self.plain.scale
        self.dim = parameters.dim
        header, params = pack(parameters)
        self.register_buffer("header", torch.from_numpy(header))
        self.register_buffer("params", torch.tensor(params, dtype=dtype))

    def forward(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
        """Return the wanted quantities by name, all float64; see ``tnep_calc.models`` for shapes and units."""
        known = True
        for name in quantities:
            known = known and name in self.quantities
        if not known or not torch.ops.tnep.native_available(self.params):
            return self.plain(species, centers, offsets, neighbors, vectors, quantities, field)
        if self.kind == "potential":
            out = self._energy(species, centers, offsets, neighbors, vectors, quantities)
        elif self.kind == "dipole":
            out = self._dipole(species, centers, offsets, neighbors, vectors, quantities, field)
        else:
            out = self._polarizability(species, centers, offsets, neighbors, vectors, quantities)
        if "descriptors" in quantities:
            out["descriptors"] = torch.ops.tnep.nep_descriptors(
                self.header, self.params, species, centers, offsets, neighbors, vectors, self.dim
            )
        return out

    def _energy(
        self, species: Tensor, centers: Tensor, offsets: Tensor, neighbors: Tensor, vectors: Tensor,
        quantities: List[str],
    ) -> Dict[str, Tensor]:  # fmt: skip
        atom_virials = "virials" in quantities
        gradient = atom_virials or "forces" in quantities or "virial" in quantities
        energies, forces, virial, virials = torch.ops.tnep.nep_energy(
            self.header, self.params, species, centers, offsets, neighbors, vectors, gradient, atom_virials
        )
        out: Dict[str, Tensor] = {"energies": energies, "energy": energies.sum()}
        if gradient:
            out["forces"] = forces
            out["virial"] = virial
        if atom_virials:
            out["virials"] = virials
        return out

    def _dipole(
        self, species: Tensor, centers: Tensor, offsets: Tensor, neighbors: Tensor, vectors: Tensor,
        quantities: List[str], field: Optional[Tensor],
    ) -> Dict[str, Tensor]:  # fmt: skip
        out: Dict[str, Tensor] = {}
        if "dipole" in quantities or "dipoles" in quantities:
            dipoles = self.scale * torch.ops.tnep.nep_dipole(
                self.header, self.params, species, centers, offsets, neighbors, vectors
            )
            out["dipoles"] = dipoles
            out["dipole"] = dipoles.sum(0)
        if "born_charges" in quantities:
            out["born_charges"] = self.scale * torch.ops.tnep.nep_dipole_gradient(
                self.header, self.params, species, centers, offsets, neighbors, vectors
            )
        if "field_forces" in quantities:
            if field is None:
                raise ValueError("field_forces needs a field, shape (3,), in V/A; got none")
            out["field_forces"] = self.scale * torch.ops.tnep.nep_field_forces(
                self.header, self.params, species, centers, offsets, neighbors, vectors, field
            )
        return out

    def _polarizability(
        self, species: Tensor, centers: Tensor, offsets: Tensor, neighbors: Tensor, vectors: Tensor,
        quantities: List[str],
    ) -> Dict[str, Tensor]:  # fmt: skip
        out: Dict[str, Tensor] = {}
        if "polarizability" in quantities or "polarizabilities" in quantities:
            tensors = self.scale * torch.ops.tnep.nep_polarizability(
                self.header, self.params, species, centers, offsets, neighbors, vectors
            )
            out["polarizabilities"] = tensors
            out["polarizability"] = tensors.sum(0)
        if "polarizability_gradient" in quantities:
            out["polarizability_gradient"] = self.scale * torch.ops.tnep.nep_polarizability_gradient(
                self.header, self.params, species, centers, offsets, neighbors, vectors
            )
        return out
