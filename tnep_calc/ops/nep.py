"""A NEP model that runs on the native kernels if they are available, else on plain torch."""

from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from ..io.gpumd.nep_parameters import NepParameters
from ..models.nep.model import NEP
from . import load
from .nep_packing import pack

load()

# Quantities that the kernels compute from positions and a neighbour list, without edge vectors.
DIRECT = (
    "energies",
    "energy",
    "forces",
    "virial",
    "virials",
    "dipoles",
    "dipole",
    "polarizabilities",
    "polarizability",
    "field_forces",
    "field_virials",
)


class NativeNEP(nn.Module):
    """NEP or TNEP model with two paths: native operators on the CPU or GPU, and the plain torch model otherwise.

    Both paths take the same arguments and give the same results, see ``tnep_calc.models``.

    Parameters
    ----------
    parameters, dtype, unit
        See ``tnep_calc.models.nep.model.NEP``.
    """

    header: Tensor
    params: Tensor

    def __init__(self, parameters: NepParameters, dtype: torch.dtype = torch.float64, unit: str | None = None):
        super().__init__()
        self.plain = NEP(parameters, dtype, unit)
        self.kind = parameters.kind
        self.quantities: List[str] = self.plain.quantities
        self.direct: List[str] = [name for name in self.quantities if name in DIRECT]
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
        """Return the requested quantities by name, all float64; see ``tnep_calc.models`` for shapes and units."""
        known = True
        for name in quantities:
            known = known and name in self.quantities
        if not known or not torch.ops.tnep.nep_available(self.params):
            return self.plain(species, centers, offsets, neighbors, vectors, quantities, field)
        if self.kind == "potential":
            gradient, atom_virials = self._wants(quantities)
            energies, forces, virial, virials = torch.ops.tnep.nep_energy(
                self.header, self.params, species, centers, offsets, neighbors, vectors, gradient, atom_virials
            )
            out = self._energy_results(energies, forces, virial, virials, quantities)
        elif self.kind == "dipole":
            out = self._dipole(species, centers, offsets, neighbors, vectors, quantities, field)
        else:
            out = self._polarizability(species, centers, offsets, neighbors, vectors, quantities, field)
        if "descriptors" in quantities:
            out["descriptors"] = torch.ops.tnep.nep_descriptors(
                self.header, self.params, species, centers, offsets, neighbors, vectors, self.dim
            )
        return out

    def from_positions(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        positions: Tensor,
        quantities: List[str],
        field: Optional[Tensor] = None,
    ) -> Dict[str, Tensor]:
        """Return the same quantities as `forward`, from positions instead of edge vectors.

        The native kernels then compute the vectors on the fly and need not store them.  LAMMPS uses this method to pass
        its own neighbour list, in which a third of the pairs are longer than the cutoff.

        Parameters
        ----------
        species, centers, offsets, quantities, field
            See `forward`.
        neighbors : Tensor
            int32, shape (n_edges,), atom indices; periodic images are separate atoms.
        positions : Tensor
            float64, shape (n_atoms, 3), in A.
        """
        direct = torch.ops.tnep.nep_available(self.params)
        for name in quantities:
            direct = direct and name in self.direct
        if not direct:
            from_atom = torch.repeat_interleave(centers, offsets[1:] - offsets[:-1])
            to_atom = neighbors.long()
            vectors = positions[to_atom] - positions[from_atom]
            return self.forward(species, centers, offsets, to_atom, vectors, quantities, field)
        if self.kind == "potential":
            gradient, atom_virials = self._wants(quantities)
            energies, forces, virial, virials = torch.ops.tnep.nep_energy_list(
                self.header, self.params, species, centers, offsets, neighbors, positions, gradient, atom_virials
            )
            return self._energy_results(energies, forces, virial, virials, quantities)
        out: Dict[str, Tensor] = {}
        if self.kind == "dipole" and ("dipole" in quantities or "dipoles" in quantities):
            dipoles = self.scale * torch.ops.tnep.nep_dipole_list(
                self.header, self.params, species, centers, offsets, neighbors, positions
            )
            out["dipoles"] = dipoles
            out["dipole"] = dipoles.sum(0)
        if self.kind == "polarizability" and ("polarizability" in quantities or "polarizabilities" in quantities):
            tensors = self.scale * torch.ops.tnep.nep_polarizability_list(
                self.header, self.params, species, centers, offsets, neighbors, positions
            )
            out["polarizabilities"] = tensors
            out["polarizability"] = tensors.sum(0)
        if "field_forces" in quantities or "field_virials" in quantities:
            forces, virials = torch.ops.tnep.nep_field_response_list(
                self.header,
                self.params,
                species,
                centers,
                offsets,
                neighbors,
                positions,
                self._known(field),
                "field_virials" in quantities,
            )
            self._field_results(forces, virials, quantities, out)
        return out

    def _wants(self, quantities: List[str]) -> Tuple[bool, bool]:
        """Return whether gradients are needed, and whether virials per atom are needed."""
        atom_virials = "virials" in quantities
        return atom_virials or "forces" in quantities or "virial" in quantities, atom_virials

    def _energy_results(
        self, energies: Tensor, forces: Tensor, virial: Tensor, virials: Tensor, quantities: List[str]
    ) -> Dict[str, Tensor]:
        gradient, atom_virials = self._wants(quantities)
        out: Dict[str, Tensor] = {"energies": energies, "energy": energies.sum()}
        if gradient:
            out["forces"] = forces
            out["virial"] = virial
        if atom_virials:
            out["virials"] = virials
        return out

    def _dipole(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
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
        self._field_forces(species, centers, offsets, neighbors, vectors, quantities, field, out)
        return out

    def _field_forces(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
        out: Dict[str, Tensor],
    ) -> None:
        per_atom = "field_virials" in quantities
        if per_atom or "field_forces" in quantities:
            forces, virials = torch.ops.tnep.nep_field_response(
                self.header, self.params, species, centers, offsets, neighbors, vectors, self._known(field), per_atom
            )
            self._field_results(forces, virials, quantities, out)

    def _known(self, field: Optional[Tensor]) -> Tensor:
        if field is None:
            raise ValueError("field_forces needs a field, shape (3,) or (n_centers, 3), in V/A; got none")
        return field

    def _field_results(self, forces: Tensor, virials: Tensor, quantities: List[str], out: Dict[str, Tensor]) -> None:
        out["field_forces"] = self.scale * forces
        if "field_virials" in quantities:
            out["field_virials"] = self.scale * virials

    def _polarizability(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
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
        self._field_forces(species, centers, offsets, neighbors, vectors, quantities, field, out)
        return out
