"""Site functions of a radnet model: dipoles and polarizabilities of centres from their edges."""

from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor, nn

from .network import PAPER, compact_network, paper_network
from .voxels import Voxels

OUTPUTS = {"dipole": 3, "polarizability": 6}
"""Number of outputs for each target; the polarizability is in the order xx yy zz yz xz xy."""


@dataclass(frozen=True)
class RadnetShape:
    """Sizes of a model.

    Attributes
    ----------
    n_species : int
    targets : tuple of str
        ``"dipole"``, ``"polarizability"`` or both; each has its own networks.
    architecture : {"compact", "paper"}
        See :mod:`tnep_calc.models.radnet.network`.  The compact architecture has a network for each species of the
        centre, the other has one network for all.
    cutoff, width, sigma : float, in Å
        Cutoff, edge of the cube and width of the Gaussians, see :class:`tnep_calc.models.radnet.voxels.Voxels`.
    points : int
        Grid points along an edge of the cube.
    filters, hidden : int
        Channels of the convolution and neurons of the hidden layer; only for the compact architecture.
    """

    n_species: int
    targets: tuple[str, ...] = ("dipole", "polarizability")
    architecture: str = "compact"
    cutoff: float = 4.0
    width: float = 4.0
    sigma: float = 0.6
    points: int = 7
    filters: int = 8
    hidden: int = 32

    def network(self, target: str) -> nn.Sequential:
        """Return a network for one target with torch's initial parameters."""
        if self.architecture == PAPER:
            return paper_network(self.n_species, self.points, OUTPUTS[target])
        return compact_network(self.n_species, self.points, OUTPUTS[target], self.filters, self.hidden)


class RadnetSites(nn.Module):
    """Dipoles and polarizabilities of centres; holds all trained parameters.

    The input of a network is ``(density - mean) / spread``.  Its output is multiplied by a scale, and an offset is
    added to the polarizability.  These constants are set from the training data.

    Parameters
    ----------
    shape : RadnetShape
    dtype : torch.dtype

    Attributes
    ----------
    mean : Tensor, shape (n_species, n_species, n, n, n)
        Mean density, [species of the centre, species of the neighbour, x, y, z].
    spread : Tensor, shape (n_species,)
        Spread of the density, by species of the centre.
    dipole_scale, polarizability_scale : Tensor, shape (3,), in e·Å, and (6,), in e·Å²/V
    polarizability_offset : Tensor, shape (n_species,), in e·Å²/V
        Added to the diagonal of the polarizability.
    """

    mean: Tensor
    spread: Tensor
    dipole_scale: Tensor
    polarizability_scale: Tensor
    polarizability_offset: Tensor

    def __init__(self, shape: RadnetShape, dtype: torch.dtype):
        super().__init__()
        t, n = shape.n_species, shape.points
        self.shape_ = shape
        self.n_species = t
        self.voxels = Voxels(t, n, shape.width, shape.sigma, shape.cutoff, dtype)
        self.has_dipole = "dipole" in shape.targets
        self.has_polarizability = "polarizability" in shape.targets
        self.n_networks = 1 if shape.architecture == PAPER else t

        def networks(target):
            count = self.n_networks if target in shape.targets else 0
            return nn.ModuleList([shape.network(target).to(dtype) for _ in range(count)])

        self.dipole_networks = networks("dipole")
        self.polarizability_networks = networks("polarizability")
        self.register_buffer("mean", torch.zeros(t, t, n, n, n, dtype=dtype))
        self.register_buffer("spread", torch.ones(t, dtype=dtype))
        self.register_buffer("dipole_scale", torch.ones(3, dtype=dtype))
        self.register_buffer("polarizability_scale", torch.ones(6, dtype=dtype))
        self.register_buffer("polarizability_offset", torch.zeros(t, dtype=dtype))

    def converted(self, dtype: torch.dtype) -> "RadnetSites":
        """Return a copy on the CPU in another type; the grid of the voxels is computed anew, with all digits."""
        out = RadnetSites(self.shape_, dtype)
        kept = {name: x for name, x in self.state_dict().items() if name != "voxels.grid"}
        out.load_state_dict(kept, strict=False)
        return out.requires_grad_(False)

    def inputs(self, types: Tensor, edge_center: Tensor, edge_type: Tensor, vectors: Tensor) -> List[Tensor]:
        """Return the inputs of each network, shape (rows, n_species, n, n, n); arguments as in `Voxels.forward`."""
        cubes = (self.voxels(types, edge_center, edge_type, vectors) - self.mean[types]) / self.spread[types].view(
            -1, 1, 1, 1, 1
        )
        return [cubes] if self.n_networks == 1 else [cubes[self.rows(types, s)] for s in range(self.n_networks)]

    def rows(self, types: Tensor, network: int) -> Tensor:
        """Return the indices of the centres that a network applies to."""
        if self.n_networks == 1:
            return torch.arange(types.shape[0], device=types.device)
        return torch.nonzero(types == network).squeeze(1)

    def forward(
        self, types: Tensor, edge_center: Tensor, edge_type: Tensor, vectors: Tensor, dipole: bool, polarizability: bool
    ) -> Tuple[Tensor, Tensor]:
        """Return dipoles, shape (n_centers, 3), and polarizabilities, (n_centers, 6); zero if not requested.

        Parameters
        ----------
        types, edge_center, edge_type, vectors
            See `Voxels.forward`.
        dipole, polarizability : bool
            Whether each of the two is requested.
        """
        n = types.shape[0]
        cubes = self.inputs(types, edge_center, edge_type, vectors)
        dipoles = torch.zeros(n, 3, dtype=vectors.dtype, device=vectors.device)
        alphas = torch.zeros(n, 6, dtype=vectors.dtype, device=vectors.device)
        if dipole:
            for s, network in enumerate(self.dipole_networks):
                dipoles = dipoles.index_add(0, self.rows(types, s), network(cubes[s]) * self.dipole_scale)
        if polarizability:
            diagonal = self.polarizability_offset[types].unsqueeze(1).expand(n, 3)
            alphas = alphas + torch.cat([diagonal, torch.zeros_like(diagonal)], dim=1)
            for s, network in enumerate(self.polarizability_networks):
                alphas = alphas.index_add(0, self.rows(types, s), network(cubes[s]) * self.polarizability_scale)
        return dipoles, alphas
