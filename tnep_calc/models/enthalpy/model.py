"""Electric-enthalpy model: one scalar H(R, E) whose derivatives are forces, stress, polarization, Born charges, ...

``H(R, E) = sum_i [e_i - E.p_i - E.a_i.E / 2]`` with site functions of one cutoff (:mod:`.sites`): the expansion to
second order in the field (Falletta et al., Nat. Commun. 16, 4031 (2025), eqs 1-4).  As an option, the expansion goes to
third order with the additional term ``- b_i:EEE / 6`` (:mod:`.field`; without the option, b is zero below):

* dipole ``P = -dH/dE = sum_i (p_i + a_i.E + b_i:EE / 2)``, polarizability ``alpha = -d2H/dE2 = sum_i (a_i + b_i.E)``,
  hyperpolarizability ``-d3H/dE3 = sum_i b_i``;
* forces ``-dH/dR`` and virial at the actual field from one backward pass;
* Born charges ``Z = dP/dR = -d2H/dE dR``, whose sum over atoms is zero by construction.
"""

from collections.abc import Sequence
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from ...conventions import HYPERPOLARIZABILITY
from ...io.gpumd.nep_parameters import ZBL
from ..edge_gradients import edge_gradient, to_atoms
from ..zbl import ZBLRepulsion
from .density import edge_density
from .field import in_field
from .sites import EnthalpySites

QUANTITIES = (
    "energies",
    "energy",
    "forces",
    "virial",
    "virials",
    "dipoles",
    "dipole",
    "born_charges",
    "field_forces",
    "piezoelectric",
    "polarizabilities",
    "polarizability",
    "polarizability_gradient",
)
"""Quantities that every enthalpy model gives (names of the contract in ``tnep_calc.models``)."""


class Enthalpy(nn.Module):
    """Electric-enthalpy model; the call and its results are described in ``tnep_calc.models``.

    With a `field`, shape (3,) or one per centre, (n_centers, 3), in V/Å, everything is evaluated at that field:
    energies and their derivatives are those of H, and dipoles include the induced ones.

    The mean of several models is also a model of this class; its members share neighbours and densities.

    Parameters
    ----------
    members : sequence of EnthalpySites
        Trained site functions of one model, or of several models of the same sizes, whose mean is taken.
    species : tuple of str
        Chemical symbols in the order of the species index.
    cutoff : float
        Cutoff in Å.
    n_radial : int
        Number of radial functions per neighbour species.
    zbl : float
        Outer radius of a ZBL repulsion in Å, 0 for none.
    """

    site: Tensor

    def __init__(
        self, members: Sequence[EnthalpySites], species: tuple[str, ...], cutoff: float, n_radial: int, zbl: float = 0.0
    ):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.n_members = len(members)
        self.register_buffer("site", torch.stack([sites.site.detach().double() for sites in members]).mean(0))
        self.hyperpolarizability = members[0].hyperpolarizability
        self.dtype = members[0].w1.dtype
        self.cutoff = cutoff
        self.n_radial = n_radial
        self.n_species = len(species)
        self.quantities: List[str] = [*QUANTITIES, *([HYPERPOLARIZABILITY] if self.hyperpolarizability else [])]
        self.zbl_radius = zbl
        self.zbl = repulsion(species, zbl)

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
                raise ValueError(f"an enthalpy model gives {', '.join(self.quantities)}; '{name}' was asked for")
        n_atoms, n_centers = species.shape[0], centers.shape[0]
        counts = offsets[1:] - offsets[:-1]
        edge_center = torch.repeat_interleave(torch.arange(n_centers, device=centers.device), counts)
        near = torch.nonzero((vectors * vectors).sum(1) < self.cutoff * self.cutoff).squeeze(1)
        edge_center, neighbors = edge_center[near], neighbors[near]
        types = species[centers]
        rij = vectors[near].detach().to(torch.float64).requires_grad_(True)
        energies, dipoles, alphas, betas = self._sites(types, edge_center, species[neighbors], rij, n_centers)
        if field is not None:
            local = field.to(torch.float64).expand(n_centers, 3)
            energies, dipoles, alphas = in_field(energies, dipoles, alphas, betas, local)
        if self.zbl_radius > 0:
            energies = energies + self._repulsion(types, edge_center, species[neighbors], rij, n_centers)
        out: Dict[str, Tensor] = {}
        out["energies"], out["dipoles"], out["polarizabilities"] = energies.detach(), dipoles.detach(), alphas.detach()
        out["energy"], out["dipole"] = energies.detach().sum(), dipoles.detach().sum(0)
        out["polarizability"] = alphas.detach().sum(0)
        if betas is not None:
            out["hyperpolarizability"] = betas.detach().sum(0)
        origin = centers[edge_center]
        if "forces" in quantities or "virial" in quantities or "virials" in quantities:
            slope, r = edge_gradient(energies.sum(), rij), rij.detach()
            out["forces"] = -to_atoms(slope, origin, neighbors, n_atoms)
            out["virial"] = -r.t() @ slope
            if "virials" in quantities:
                pair = -r.unsqueeze(2) * slope.unsqueeze(1)
                out["virials"] = torch.zeros(n_atoms, 3, 3, dtype=torch.float64, device=r.device).index_add(
                    0, neighbors, pair
                )
        if "born_charges" in quantities or "piezoelectric" in quantities:
            charges: List[Tensor] = []
            strained: List[Tensor] = []
            for a in range(3):
                slope = edge_gradient(dipoles[:, a].sum(), rij)
                charges.append(to_atoms(slope, origin, neighbors, n_atoms))
                strained.append(rij.detach().t() @ slope)
            out["born_charges"] = torch.stack(charges, dim=1)
            out["piezoelectric"] = torch.stack(strained)
        if "field_forces" in quantities:
            if field is None:
                raise ValueError("field_forces needs a field, shape (3,), in V/A; got none")
            local = field.to(torch.float64).expand(n_centers, 3)
            out["field_forces"] = to_atoms(edge_gradient((dipoles * local).sum(), rij), origin, neighbors, n_atoms)
        if "polarizability_gradient" in quantities:
            total = torch.zeros(n_atoms, 3, 3, 3, dtype=torch.float64, device=rij.device)
            for i in range(3):
                for j in range(i, 3):
                    part = to_atoms(edge_gradient(alphas[:, i, j].sum(), rij), origin, neighbors, n_atoms)
                    total[:, :, i, j] = part
                    total[:, :, j, i] = part
            out["polarizability_gradient"] = total
        wanted: Dict[str, Tensor] = {}
        for name in quantities:
            wanted[name] = out[name]
        return wanted

    def _density(self, rij: Tensor, edge_center: Tensor, edge_type: Tensor, n_centers: int) -> Tensor:
        """Return the densities, shape (16, n_centers, n_species * n_radial)."""
        vectors = rij.to(self.dtype)
        return edge_density(vectors, edge_center, edge_type, n_centers, self.n_species, self.cutoff, self.n_radial)

    def _sites(
        self, types: Tensor, edge_center: Tensor, edge_type: Tensor, rij: Tensor, n_centers: int
    ) -> Tuple[Tensor, Tensor, Tensor, Optional[Tensor]]:
        """Return energies, dipoles, polarizabilities and hyperpolarizabilities of centres at zero field, float64."""
        total = self._density(rij, edge_center, edge_type, n_centers)
        energies = torch.zeros(n_centers, dtype=torch.float64, device=rij.device)
        dipoles = torch.zeros(n_centers, 3, dtype=torch.float64, device=rij.device)
        alphas = torch.zeros(n_centers, 3, 3, dtype=torch.float64, device=rij.device)
        betas: Optional[Tensor] = None
        if self.hyperpolarizability:
            betas = torch.zeros(n_centers, 3, 3, 3, dtype=torch.float64, device=rij.device)
        identity = torch.eye(3, dtype=torch.float64, device=rij.device)
        for s in range(self.n_species):
            rows = torch.nonzero(types == s).squeeze(1)
            if rows.shape[0] > 0:
                density, share = total.index_select(1, rows), 1.0 / self.n_members
                energies = energies.index_add(0, rows, self.site[s, 0].expand(rows.shape[0]))
                alphas = alphas.index_add(0, rows, (self.site[s, 1] * identity).expand(rows.shape[0], 3, 3))
                for sites in self.members:
                    e, p, a, b = sites(s, density)
                    energies = energies.index_add(0, rows, share * e.to(torch.float64))
                    dipoles = dipoles.index_add(0, rows, share * p.to(torch.float64))
                    alphas = alphas.index_add(0, rows, share * a.to(torch.float64))
                    if betas is not None and b is not None:
                        betas = betas.index_add(0, rows, share * b.to(torch.float64))
        return energies, dipoles, alphas, betas

    def _repulsion(self, types: Tensor, edge_center: Tensor, edge_type: Tensor, rij: Tensor, n_centers: int) -> Tensor:
        """Return the ZBL energies of the centres in eV, shape (n_centers,)."""
        r = torch.linalg.vector_norm(rij, dim=1)
        close = torch.nonzero(r < self.zbl_radius).squeeze(1)
        pair = types[edge_center[close]] * self.n_species + edge_type[close]
        energy = torch.zeros(n_centers, dtype=torch.float64, device=rij.device)
        return energy.index_add(0, edge_center[close], self.zbl(pair, r[close]))


def repulsion(species: tuple[str, ...], radius: float) -> ZBLRepulsion:
    """Return a repulsion that is switched off between half of `radius` and `radius` (Å); 0: no repulsion."""
    return ZBLRepulsion(ZBL(inner=0.5 * radius, outer=radius) if radius > 0 else None, species)
