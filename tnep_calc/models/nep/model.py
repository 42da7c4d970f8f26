"""NEP potentials and TNEP dipole and polarizability models in scriptable torch (the reference implementation).

Equations: Fan et al., J. Chem. Phys. 157, 114801 (2022) (NEP); Xu et al., J. Chem. Theory Comput. 20, 3273 (2024)
(TNEP), with ``r_ij = r_j - r_i`` and site energies ``U_i``:

* ``mu = -sum_ij r_ij^2 dU_i/dr_ij``;
* ``alpha_ab = delta_ab sum_i V_i - sum_ij r_ij[a] dU_i/dr_ij[b]`` with a second network V on the same descriptor.

Radial and angular cutoffs differ.  ``mu`` and ``alpha`` have kinks where a pair crosses a cutoff, because the cutoff
function is only once continuously differentiable.
"""

from typing import Dict, List, Optional

import numpy as np
import torch
from torch import Tensor, nn

from ... import units
from ...errors import InputError
from ...io.gpumd.nep_parameters import NepParameters
from ..edge_gradients import edge_gradient, to_atoms
from ..zbl import ZBLRepulsion
from .descriptor import AngularBasis, Invariants, radial_basis

QUANTITIES = {
    "potential": ("energies", "energy", "forces", "virial", "virials", "descriptors"),
    "dipole": ("dipoles", "dipole", "born_charges", "field_forces", "field_virials", "descriptors"),
    "polarizability": (
        "polarizabilities",
        "polarizability",
        "polarizability_gradient",
        "field_forces",
        "field_virials",
        "descriptors",
    ),
}
"""Quantities that a model of each kind gives (names of the contract in ``tnep_calc.models``)."""

RESPONSE_UNITS: dict[str, dict[str, float]] = {
    "potential": {"eV": 1.0},
    "dipole": units.DIPOLE_UNITS,
    "polarizability": {**units.POLARIZABILITY_UNITS, "N*chi": 1.0},
}
"""Units in which a model of each kind may have been trained, and the factor to the unit of its results."""


def response_factor(kind: str, unit: str | None) -> tuple[float, str]:
    """Return the factor from the training unit to the unit of the results, and the name of the latter.

    Parameters
    ----------
    kind : {"potential", "dipole", "polarizability"}
    unit : str or None
        Training unit; None means the first of ``RESPONSE_UNITS[kind]``.

    Raises
    ------
    InputError
        If the unit is not one of ``RESPONSE_UNITS[kind]``.
    """
    known = RESPONSE_UNITS[kind]
    unit = next(iter(known)) if unit is None else unit
    if unit not in known:
        raise InputError(f"unit of a {kind} model must be one of {', '.join(known)}, got '{unit}'")
    return known[unit], "N*chi" if unit == "N*chi" else next(iter(known))


class NEP(nn.Module):
    """NEP or TNEP model; the call and its results are described in ``tnep_calc.models``.

    Parameters
    ----------
    parameters : NepParameters
        The model, as read from a ``nep.txt``.
    dtype : torch.dtype
        ``float64`` or ``float32``: type of the arithmetic (results are always float64).
    unit : str, optional
        Unit of the training data, which a ``nep.txt`` does not state: ``e*A`` (default), ``e*bohr`` or ``debye`` for a
        dipole; ``e*A^2/V`` (default), ``A^3``, ``bohr^3`` or ``N*chi`` (susceptibility times number of atoms) for a
        polarizability.  Results are in e·Å, e·Å²/V, or N·chi.

    Raises
    ------
    InputError
        If the unit is not one of those for this kind of model.
    """

    w0: Tensor
    b0: Tensor
    w1: Tensor
    b1: Tensor
    q_scaler: Tensor
    c_radial: Tensor
    c_angular: Tensor
    rc_radial: Tensor
    rc_angular: Tensor

    def __init__(self, parameters: NepParameters, dtype: torch.dtype = torch.float64, unit: str | None = None):
        super().__init__()
        p = parameters
        t = p.n_species
        self.kind = p.kind
        self.dtype = dtype
        self.n_species = t
        self.quantities: List[str] = list(QUANTITIES[p.kind])
        self.scale = response_factor(p.kind, unit)[0]
        self.k_radial, self.k_angular = p.basis_size
        self.n_angular_functions = (p.l_max + 1) ** 2 - 1
        self.n_networks = p.w0.shape[0]
        self.has_zbl = p.zbl is not None

        def add(name, value):
            self.register_buffer(name, torch.tensor(np.ascontiguousarray(value), dtype=dtype))

        per_species = np.zeros(t, dtype=int) if p.w0.shape[1] == 1 else np.arange(t)
        add("w0", p.w0[:, per_species])
        add("b0", p.b0[:, per_species])
        add("w1", p.w1[:, per_species])
        bias = np.repeat(p.b1[:, None], t, axis=1)
        add("b1", bias if p.species_bias is None else bias + p.species_bias)
        add("c_radial", p.c_radial.transpose(2, 3, 0, 1))  # centre species, neighbour species, n, k
        add("c_angular", p.c_angular.transpose(2, 3, 0, 1))
        add("q_scaler", p.q_scaler)
        add("rc_radial", (0.5 * (p.radial_cutoffs[:, None] + p.radial_cutoffs[None, :])).ravel())
        add("rc_angular", (0.5 * (p.angular_cutoffs[:, None] + p.angular_cutoffs[None, :])).ravel())
        self.angular = AngularBasis(p.l_max, dtype)
        self.invariants = Invariants(p.l_max, p.extra, dtype)
        self.zbl = ZBLRepulsion(p.zbl, p.species, dtype)

    def _descriptors(self, types: Tensor, edge_center: Tensor, edge_type: Tensor, vectors: Tensor) -> Tensor:
        """Return the scaled descriptors, shape (n_centers, dim).

        ``edge_center`` is the row of each edge's centre in ``types``, and ``edge_type`` the species of its neighbour.
        """
        n, t = types.shape[0], self.n_species
        slot = edge_center * t + edge_type  # one row of moments per centre and neighbour species
        pair = types[edge_center] * t + edge_type
        r = torch.linalg.vector_norm(vectors, dim=1)
        f = radial_basis(r, self.rc_radial[pair], self.k_radial)
        moments = torch.zeros(n * t, self.k_radial + 1, dtype=self.dtype, device=r.device).index_add(0, slot, f)
        moments = moments.reshape(n, t, self.k_radial + 1)
        radial = torch.einsum("itnk,itk->in", self.c_radial[types], moments)

        near = torch.nonzero(r < self.rc_angular[pair]).squeeze(1)
        f = radial_basis(r[near], self.rc_angular[pair[near]], self.k_angular)
        y = self.angular(vectors[near] / r[near].unsqueeze(1))
        outer = (f.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
        moments = torch.zeros(n * t, outer.shape[1], dtype=self.dtype, device=r.device)
        moments = moments.index_add(0, slot[near], outer)
        moments = moments.reshape(n, t, self.k_angular + 1, self.n_angular_functions)
        sums = torch.einsum("itnk,itks->ins", self.c_angular[types], moments)
        return torch.cat([radial, self.invariants(sums).flatten(1)], dim=1) * self.q_scaler

    def _network(self, network: int, types: Tensor, q: Tensor) -> Tensor:
        """Return the site values of one network, shape (n_centers,)."""
        value = -self.b1[network][types]
        for t in range(self.n_species):
            rows = torch.nonzero(types == t).squeeze(1)
            if rows.shape[0] > 0:
                hidden = torch.tanh(q[rows] @ self.w0[network, t].t() - self.b0[network, t])
                value = value.index_add(0, rows, hidden @ self.w1[network, t])
        return value

    def _repulsion(self, types: Tensor, edge_center: Tensor, edge_type: Tensor, vectors: Tensor) -> Tensor:
        """Return the ZBL energy of each centre in eV; only pairs within the angular cutoff contribute."""
        pair = types[edge_center] * self.n_species + edge_type
        r = torch.linalg.vector_norm(vectors, dim=1)
        near = torch.nonzero(r < self.rc_angular[pair]).squeeze(1)
        energy = self.zbl(pair[near], r[near])
        return torch.zeros(types.shape[0], dtype=self.dtype, device=r.device).index_add(0, edge_center[near], energy)

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
                raise ValueError(f"a NEP {self.kind} model gives {', '.join(self.quantities)}; '{name}' was asked for")
        n_atoms, n_centers = species.shape[0], centers.shape[0]
        counts = offsets[1:] - offsets[:-1]
        edge_center = torch.repeat_interleave(torch.arange(n_centers, device=centers.device), counts)
        types = species[centers]
        edge_type = species[neighbors]
        rij = vectors.detach().to(torch.float64).requires_grad_(True)
        cast = rij.to(self.dtype)
        rc = self.rc_radial[types[edge_center] * self.n_species + edge_type]
        rc = torch.maximum(rc, self.rc_angular[types[edge_center] * self.n_species + edge_type])
        keep = torch.nonzero(torch.sum(cast.detach() ** 2, dim=1) < rc * rc).squeeze(1)
        near = edge_center[keep], edge_type[keep], cast[keep]
        q = self._descriptors(types, near[0], near[1], near[2])
        site = self._network(0, types, q).to(torch.float64)
        if self.has_zbl:
            site = site + self._repulsion(types, near[0], near[1], near[2]).to(torch.float64)
        edges = centers[edge_center], neighbors
        if self.kind == "potential":
            out = self._energy(site, rij, edges[0], edges[1], n_atoms, quantities)
        elif self.kind == "dipole":
            pair_gradient = edge_gradient(site.sum(), rij, _keeps_graph(quantities))
            out = self._dipole(
                pair_gradient, rij, edge_center, edges[0], edges[1], n_atoms, n_centers, quantities, field
            )
        else:
            pair_gradient = edge_gradient(site.sum(), rij, _keeps_graph(quantities))
            scalar = self._network(1, types, q).to(torch.float64)
            out = self._polarizability(
                pair_gradient, scalar, rij, edge_center, edges[0], edges[1], n_atoms, n_centers, quantities, field
            )
        if "descriptors" in quantities:
            out["descriptors"] = q.detach().to(torch.float64)
        return out

    def _energy(
        self, site: Tensor, rij: Tensor, origin: Tensor, end: Tensor, n_atoms: int, quantities: List[str]
    ) -> Dict[str, Tensor]:
        out: Dict[str, Tensor] = {"energies": site.detach(), "energy": site.detach().sum()}
        if "forces" in quantities or "virial" in quantities or "virials" in quantities:
            pair_gradient = edge_gradient(site.sum(), rij)
            out["forces"] = -to_atoms(pair_gradient, origin, end, n_atoms)
            r = rij.detach()
            out["virial"] = -r.t() @ pair_gradient
            if "virials" in quantities:
                pair_virial = -r.unsqueeze(2) * pair_gradient.unsqueeze(1)
                virials = torch.zeros(n_atoms, 3, 3, dtype=torch.float64, device=r.device)
                out["virials"] = virials.index_add(0, end, pair_virial)
        return out

    def _dipole(
        self,
        pair_gradient: Tensor,
        rij: Tensor,
        edge_center: Tensor,
        origin: Tensor,
        end: Tensor,
        n_atoms: int,
        n_centers: int,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
        pair_dipole = -self.scale * (rij * rij).sum(1, keepdim=True) * pair_gradient
        dipoles = torch.zeros(n_centers, 3, dtype=torch.float64, device=rij.device)
        dipoles = dipoles.index_add(0, edge_center, pair_dipole)
        dipole = dipoles.sum(0)
        out: Dict[str, Tensor] = {"dipoles": dipoles.detach(), "dipole": dipole.detach()}
        if "born_charges" in quantities:
            rows = [to_atoms(edge_gradient(dipole[a], rij), origin, end, n_atoms) for a in range(3)]
            out["born_charges"] = torch.stack(rows, dim=1)
        if "field_forces" in quantities or "field_virials" in quantities:
            local = _local_field(field, n_centers)
            _add_field_forces((dipoles * local).sum(), rij, origin, end, n_atoms, out)
        return out

    def _polarizability(
        self,
        pair_gradient: Tensor,
        scalar: Tensor,
        rij: Tensor,
        edge_center: Tensor,
        origin: Tensor,
        end: Tensor,
        n_atoms: int,
        n_centers: int,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
        identity = torch.eye(3, dtype=torch.float64, device=rij.device)
        tensors = scalar.reshape(-1, 1, 1) * identity
        tensors = tensors.index_add(0, edge_center, -rij.unsqueeze(2) * pair_gradient.unsqueeze(1))
        tensors = 0.5 * self.scale * (tensors + tensors.transpose(1, 2))
        tensor = tensors.sum(0)
        out: Dict[str, Tensor] = {"polarizabilities": tensors.detach(), "polarizability": tensor.detach()}
        if "polarizability_gradient" in quantities:
            total = torch.zeros(n_atoms, 3, 3, 3, dtype=torch.float64, device=rij.device)
            for i in range(3):
                for j in range(i, 3):
                    part = to_atoms(edge_gradient(tensor[i, j], rij), origin, end, n_atoms)
                    total[:, :, i, j] = part
                    total[:, :, j, i] = part
            out["polarizability_gradient"] = total
        if "field_forces" in quantities or "field_virials" in quantities:
            local = _local_field(field, n_centers)
            half = 0.5 * (tensors * local.unsqueeze(2) * local.unsqueeze(1)).sum()
            _add_field_forces(half, rij, origin, end, n_atoms, out)
        return out


def _local_field(field: Optional[Tensor], n_centers: int) -> Tensor:
    if field is None:
        raise ValueError("field_forces needs a field, shape (3,) or (n_centers, 3), in V/A; got none")
    return field.to(torch.float64).expand(n_centers, 3)


def _add_field_forces(
    value: Tensor, rij: Tensor, origin: Tensor, end: Tensor, n_atoms: int, out: Dict[str, Tensor]
) -> None:
    """Add the forces and virials of the energy ``-value`` to the results `out`."""
    gradient, r = edge_gradient(value, rij), rij.detach()
    out["field_forces"] = to_atoms(gradient, origin, end, n_atoms)
    virials = torch.zeros(n_atoms, 3, 3, dtype=torch.float64, device=r.device)
    out["field_virials"] = virials.index_add(0, end, r.unsqueeze(2) * gradient.unsqueeze(1))


def _keeps_graph(quantities: List[str]) -> bool:
    for name in ("born_charges", "field_forces", "field_virials", "polarizability_gradient"):
        if name in quantities:
            return True
    return False
