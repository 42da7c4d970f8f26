"""An electric-enthalpy model that runs on the native kernels if they are available, else on plain torch."""

from collections.abc import Sequence
from typing import Dict, List, Optional

import torch
from torch import Tensor, nn

from ..models.enthalpy.model import Enthalpy
from ..models.enthalpy.sites import EnthalpySites
from . import load
from .enthalpy_packing import pack_enthalpy

load()


class NativeEnthalpy(nn.Module):
    """Electric-enthalpy model with two paths: a native operator (CPU, CUDA), and the plain torch model otherwise.

    The operator is of second order in the field.  A model of third order therefore takes the plain path in a field,
    and the native path at zero field, where the term of third order vanishes.

    Both paths take the same arguments and give the same results, see ``tnep_calc.models`` and
    ``tnep_calc.models.enthalpy.model.Enthalpy``.

    Parameters
    ----------
    members, species, cutoff, n_radial, zbl
        See ``tnep_calc.models.enthalpy.model.Enthalpy``.
    """

    header: Tensor
    params: Tensor
    constants: Tensor

    def __init__(
        self, members: Sequence[EnthalpySites], species: tuple[str, ...], cutoff: float, n_radial: int, zbl: float = 0.0
    ):
        super().__init__()
        self.plain = Enthalpy(members, species, cutoff, n_radial, zbl)
        self.quantities: List[str] = self.plain.quantities
        header, params = pack_enthalpy(members, species, zbl)
        self.register_buffer("header", torch.from_numpy(header))
        self.register_buffer("params", torch.tensor(params, dtype=self.plain.dtype))
        self.always_double: List[str] = ["constants", "plain.site", "plain.zbl.table"]
        constants = torch.cat([torch.tensor([cutoff], dtype=torch.float64), self.plain.site.flatten()])
        self.register_buffer("constants", constants)

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
        known = field is not None or "field_forces" not in quantities
        if self.plain.hyperpolarizability:
            known = known and field is None and "hyperpolarizability" not in quantities
        for name in quantities:
            known = known and name in self.quantities
        if not known or not torch.ops.tnep.nep_available(self.params):
            return self.plain(species, centers, offsets, neighbors, vectors, quantities, field)
        virials = "virials" in quantities
        seeds: List[int] = []
        if virials or "forces" in quantities or "virial" in quantities:
            seeds.append(0)
        born = len(seeds)
        if "born_charges" in quantities or "piezoelectric" in quantities:
            seeds.extend([1, 2, 3])
        along = len(seeds)
        if "field_forces" in quantities:
            seeds.append(4)
        raman = len(seeds)
        if "polarizability_gradient" in quantities:
            seeds.extend([5, 6, 7, 8, 9, 10])
        order = 1 if "dipole" in quantities or "dipoles" in quantities else 0
        if "polarizability" in quantities or "polarizabilities" in quantities:
            order = 2
        energies, dipoles, alphas, gradients, strain, per_atom = torch.ops.tnep.enthalpy(
            self.header,
            self.params,
            self.constants,
            species,
            centers,
            offsets,
            neighbors,
            vectors,
            field,
            seeds,
            virials,
            order,
        )
        out: Dict[str, Tensor] = {"virials": per_atom}
        out["energies"], out["dipoles"], out["polarizabilities"] = energies, dipoles, alphas
        if "energy" in quantities:
            out["energy"] = energies.sum()
        if "dipole" in quantities:
            out["dipole"] = dipoles.sum(0)
        if "polarizability" in quantities:
            out["polarizability"] = alphas.sum(0)
        if born > 0:
            out["forces"] = -gradients[0]
            out["virial"] = -strain[0]
        if along > born:
            out["born_charges"] = gradients[born:along].transpose(0, 1).contiguous()
            out["piezoelectric"] = strain[born:along]
        if raman > along:
            out["field_forces"] = gradients[along]
        if len(seeds) > raman:
            six = gradients[raman:].permute(1, 2, 0)
            places = torch.tensor([0, 1, 2, 1, 3, 4, 2, 4, 5], device=six.device)
            out["polarizability_gradient"] = six.index_select(2, places).reshape(six.shape[0], 3, 3, 3)
        wanted: Dict[str, Tensor] = {}
        for name in quantities:
            wanted[name] = out[name]
        return wanted
