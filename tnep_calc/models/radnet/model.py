"""Radnet model: dipole and polarizability as sums over atoms of convolutional networks on their voxels.

Equations: Ryczko et al., arXiv 2108.07614 (2021), eqs 13 and 14: ``y = sum_i f(environment i)``, for the dipole of the
cell (three components) and its polarizability (six).  All derivatives are exact: automatic differentiation through the
voxels gives the Born charges from three vector-Jacobian products and the derivative of the polarizability from six.
The model depends only on edge vectors, so it is invariant under translations, and Born charges and derivatives of the
polarizability sum to zero over the atoms by construction.  It is not equivariant: it learns the behaviour under
rotations from the data, only approximately.
"""

from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from ..edge_gradients import edge_gradient, to_atoms
from .sites import RadnetSites

DIPOLE = ("dipoles", "dipole", "born_charges", "field_forces", "field_virials", "piezoelectric")
POLARIZABILITY = ("polarizabilities", "polarizability", "polarizability_gradient")
"""Quantities that a model of each target gives (names of the contract in ``tnep_calc.models``)."""
_VOXELS_AT_ONCE = 50_000_000
"""Largest number of values of one layer that are in memory at once; more centres are evaluated in batches."""


def quantities(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the quantities that a model with these targets gives."""
    return (*(DIPOLE if "dipole" in targets else ()), *(POLARIZABILITY if "polarizability" in targets else ()))


class RadNet(nn.Module):
    """Radnet model; the call and its results are described in ``tnep_calc.models``.

    Everything is evaluated at zero field.  A field, shape (3,) or one per centre, (n_centers, 3), is used only for
    ``field_forces`` and ``field_virials``, the derivatives of the energy -E.mu of the dipole.

    Parameters
    ----------
    sites : RadnetSites
        Trained site functions.
    """

    def __init__(self, sites: RadnetSites):
        super().__init__()
        shape = sites.shape_
        self.sites = sites
        self.dtype = sites.voxels.grid.dtype
        self.quantities: List[str] = list(quantities(shape.targets))
        widest = max(64 if shape.architecture == "paper" else shape.filters, shape.n_species)
        self.centers_at_once = max(1, _VOXELS_AT_ONCE // (widest * shape.points**3))

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
        for name in quantities:
            if name not in self.quantities:
                raise ValueError(f"this radnet model gives {', '.join(self.quantities)}; '{name}' was asked for")
        n_centers, n_atoms = centers.shape[0], species.shape[0]
        local: Optional[Tensor] = None
        if "field_forces" in quantities or "field_virials" in quantities:
            if field is None:
                raise ValueError("field_forces needs a field, shape (3,) or (n_centers, 3), in V/A; got none")
            if "polarizabilities" in quantities and "dipoles" not in quantities:
                raise ValueError("a radnet model has field_forces of its dipole only, none of -E.alpha.E / 2")
            local = field.to(torch.float64).expand(n_centers, 3)
        out: Dict[str, Tensor] = {}
        for first in range(0, max(n_centers, 1), self.centers_at_once):
            last = min(first + self.centers_at_once, n_centers)
            edges = slice(int(offsets[first]), int(offsets[last]))
            part = self._part(
                species,
                centers[first:last],
                offsets[first : last + 1] - offsets[first],
                neighbors[edges],
                vectors[edges],
                quantities,
                None if local is None else local[first:last],
                n_atoms,
            )
            for name, value in part.items():
                if name not in out:
                    out[name] = value
                elif name == "dipoles" or name == "polarizabilities":
                    out[name] = torch.cat([out[name], value])
                else:
                    out[name] = out[name] + value
        wanted: Dict[str, Tensor] = {}
        for name in quantities:
            wanted[name] = out[name]
        return wanted

    def _part(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
        n_atoms: int,
    ) -> Dict[str, Tensor]:
        """Return the quantities for a batch of the centres."""
        n_centers = centers.shape[0]
        edge_center = torch.repeat_interleave(
            torch.arange(n_centers, device=centers.device), offsets[1:] - offsets[:-1]
        )
        near = self.sites.voxels.reached(vectors.detach())
        edge_center, end = edge_center[near], neighbors[near]
        rij = vectors[near].detach().to(torch.float64).requires_grad_(True)
        of_dipole, of_alpha = False, False
        for name in quantities:
            if name.startswith("polarizab"):
                of_alpha = True
            else:
                of_dipole = True
        dipoles, six = self.sites(species[centers], edge_center, species[end], rij.to(self.dtype), of_dipole, of_alpha)
        dipoles, six = dipoles.to(torch.float64), six.to(torch.float64)
        origin = centers[edge_center]
        out: Dict[str, Tensor] = {}
        if of_dipole:
            out["dipoles"], out["dipole"] = dipoles.detach(), dipoles.detach().sum(0)
        if "born_charges" in quantities or "piezoelectric" in quantities:
            charges: List[Tensor] = []
            strained: List[Tensor] = []
            for a in range(3):
                slope = edge_gradient(dipoles[:, a].sum(), rij)
                charges.append(to_atoms(slope, origin, end, n_atoms))
                strained.append(rij.detach().t() @ slope)
            out["born_charges"], out["piezoelectric"] = torch.stack(charges, dim=1), torch.stack(strained)
        if field is not None:
            slope = edge_gradient((dipoles * field).sum(), rij)
            out["field_forces"] = to_atoms(slope, origin, end, n_atoms)
            virials = torch.zeros(n_atoms, 3, 3, dtype=torch.float64, device=rij.device)
            out["field_virials"] = virials.index_add(0, end, rij.detach().unsqueeze(2) * slope.unsqueeze(1))
        if of_alpha:
            index = torch.tensor([[0, 5, 4], [5, 1, 3], [4, 3, 2]], device=six.device)  # from xx yy zz yz xz xy
            tensors = six.detach()[:, index]
            out["polarizabilities"], out["polarizability"] = tensors, tensors.sum(0)
            if "polarizability_gradient" in quantities:
                columns = [to_atoms(edge_gradient(six[:, k].sum(), rij), origin, end, n_atoms) for k in range(6)]
                out["polarizability_gradient"] = torch.stack(columns, dim=2)[:, :, index]
        return out
