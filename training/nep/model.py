"""NEP and TNEP on precomputed moments: predictions as dense products, and export to ``nep.txt``.

The equations are those of :mod:`tnep_calc.models.nep.model`, which is the reference.  Sums over neighbours and
derivatives with respect to positions are already in the moments, so nothing here computes them.

Internally every trained number is of order one: descriptors are shifted and scaled to zero mean and equal spread per
species, coefficients are in units of the spread of their moment, outputs in units of the label.  The export folds these
constants into the parameters, so that the file follows GPUMD's definitions exactly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tnep_calc.device import CPU
from tnep_calc.io.gpumd.nep_parameters import NepParameters, descriptor_dim

from .config import ModelConfig
from .forward import Centres
from .invariants import InvariantDerivatives
from .moments import Basis, Moments
from .scaling import Scaling

_MATRICES = ("c_radial", "c_angular", "w0")
_SATURATED = 20.0  # tanh(20) = 1 - 8e-18: a neuron with this bias and no input is the constant 1


def basis_of(config: ModelConfig) -> Basis:
    """Return the basis of the moments of a model."""
    return Basis(
        tuple(config.species),
        config.radial_cutoffs,
        config.angular_cutoffs,
        (config.basis_size[0], config.basis_size[1]),
        config.l_max[0],
    )


class NepOnMoments:
    """NEP or TNEP model of one kind that takes moments as input; its parameters are one flat vector.

    Parameters
    ----------
    config : ModelConfig
    dtype : torch.dtype
        Type of the moments and of the arithmetic.
    device : torch.device, default the CPU
        Where the moments and the parameters are.

    Attributes
    ----------
    shapes : dict
        Shape of every parameter block, in the order of the flat vector.
    """

    def __init__(self, config: ModelConfig, dtype: torch.dtype = torch.float64, device: torch.device = CPU):
        self.config, self.dtype, self.device = config, dtype, device
        self.basis = basis_of(config)
        self.n_radial, self.n_angular = config.n_max[0] + 1, config.n_max[1] + 1
        self.dim = descriptor_dim(config.n_max, config.l_max[0], config.extra)
        self.networks = 2 if config.kind == "polarizability" else 1
        self.invariants = InvariantDerivatives(config.l_max[0], config.extra, dtype, device)
        t, m = len(config.species), config.neurons
        self.shapes: dict[str, tuple[int, ...]] = {
            "c_radial": (t, t, self.n_radial, self.basis.n_radial),  # centre, neighbour, n, k
            "c_angular": (t, t, self.n_angular, self.basis.angular_shape[0]),
            "w0": (self.networks, t, m, self.dim),
            "b0": (self.networks, t, m),
            "w1": (self.networks, t, m),
            "b1": (1,),  # added to every site value: energy, or a third of the trace of the polarizability
        }

    @property
    def scaling(self) -> Scaling:
        """Constants in float64, set by :func:`tnep_calc.training.nep.initial.initialise` or from a checkpoint."""
        return self._scaling

    @scaling.setter
    def scaling(self, scaling: Scaling):
        self._scaling = scaling.to(torch.float64, self.device)
        self._units = scaling.to(self.dtype, self.device)

    def with_scaling(self, scaling: Scaling) -> NepOnMoments:
        """Return the same model with other constants."""
        other = copy.copy(self)
        other.scaling = scaling
        return other

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def blocks(self) -> list[tuple[int, ...]]:
        """Shapes of the blocks for the optimizer: coefficients and first layers are matrices, all else is a vector.

        Consecutive blocks of the same matrix shape are merged, as a step is cheaper with few blocks.
        """
        found: list[tuple[int, ...]] = []
        for name, shape in self.shapes.items():
            count, *last = (math.prod(shape[:-2]), *shape[-2:]) if name in _MATRICES else (math.prod(shape),)
            if found and found[-1][1:] == tuple(last):
                count += found.pop()[0]
            found.append((count, *last))
        return found

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the blocks of parameter vectors, shape (..., n_parameters), as views."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = torch.split(vector, sizes, dim=-1)
        return {name: part.unflatten(-1, self.shapes[name]) for name, part in zip(self.shapes, parts, strict=True)}

    def _centres(self, vector, moments):
        vectors = vector if vector.ndim == 2 else vector[None]
        return Centres(self.split(vectors.to(self.dtype)), self._units, self.scaling.site, self.invariants, moments)

    def descriptors(self, vector: Tensor, moments: Moments) -> Tensor:
        """Return the unscaled descriptors of all centres, shape (n_atoms, dim), or (P, n_atoms, dim) of P vectors."""
        q = self._centres(vector, moments).q.transpose(1, 2)
        return q if vector.ndim == 2 else q[0]

    def predict(self, vector: Tensor, moments: Moments, wanted: Sequence[str]) -> dict[str, Tensor]:
        """Return predictions for all structures of the moments.

        Parameters
        ----------
        vector : Tensor, shape (n_parameters,) or (P, n_parameters)
            Parameters, of one model or of P models at once.
        moments : Moments
            With the directional and pair moments that the wanted labels need.
        wanted : sequence of str
            Labels that this kind of model predicts.

        Returns
        -------
        dict
            ``energy`` (n_structures,), ``forces`` (n_atoms, 3), ``virial`` (n_structures, 6), ``dipole``
            (n_structures, 3), ``born_charges`` (n_atoms, 3, 3), ``polarizability`` (n_structures, 6), ``atomic_dipole``
            (n_atoms, 3), ``atomic_polarizability`` (n_atoms, 6).  Atoms are in the order of the structures, six
            components in ``STRAIN_ORDER``.  Values are totals in the units of the data; sums over structures are
            float64.  There is a leading axis of models if the vector has one.
        """
        centres = self._centres(vector, moments)
        out = {name: centres.label(name) for name in wanted}
        return out if vector.ndim == 2 else {name: value[0] for name, value in out.items()}

    def to_nep(self, vector: Tensor, max_neighbors: tuple[int, int]) -> NepParameters:
        """Return the parameters of a ``nep.txt`` (version 4) that gives exactly these predictions.

        If the constants differ between species, an additional neuron holds them: it has no input and a saturated bias.

        Parameters
        ----------
        vector : Tensor, shape (n_parameters,)
        max_neighbors : tuple of 2 int
            Radial and angular maximum for the header of the file.
        """
        blocks = {name: part.detach().to("cpu", torch.float64) for name, part in self.split(vector).items()}
        scaling = self.scaling.to(torch.float64, CPU)
        c_radial = (blocks["c_radial"] @ scaling.radial).permute(2, 3, 0, 1).numpy()
        c_angular = (blocks["c_angular"] @ scaling.angular).permute(2, 3, 0, 1).numpy()
        inverse, output = scaling.inverse_spread, scaling.output[:, None, None]
        q_scaler = inverse.min(0).values
        w0 = blocks["w0"] * (inverse / q_scaler)[None, :, None, :]
        b0 = blocks["b0"] + torch.einsum("atmd,td->atm", blocks["w0"], scaling.mean * inverse)
        w1 = blocks["w1"] * output
        networks, t = self.networks, len(self.config.species)
        bias = torch.zeros(networks, dtype=torch.float64)
        if self.config.kind != "dipole":
            bias[-1] = -(blocks["b1"][0] * scaling.output[-1] + scaling.site.mean())
            steps = scaling.site - scaling.site.mean()
            if (steps != 0).any():
                w0 = torch.cat([w0, torch.zeros(networks, t, 1, self.dim, dtype=w0.dtype)], dim=2)
                b0 = torch.cat([b0, torch.full((networks, t, 1), -_SATURATED, dtype=w0.dtype)], dim=2)
                last = torch.zeros(networks, t, 1, dtype=w0.dtype)
                last[-1, :, 0] = steps
                w1 = torch.cat([w1, last], dim=2)
        c = self.config
        return NepParameters(
            version=4,
            kind=c.kind,
            species=tuple(c.species),
            radial_cutoffs=np.array(c.radial_cutoffs),
            angular_cutoffs=np.array(c.angular_cutoffs),
            max_neighbors=max_neighbors,
            n_max=(c.n_max[0], c.n_max[1]),
            basis_size=(c.basis_size[0], c.basis_size[1]),
            l_max=c.l_max[0],
            extra=c.extra,
            neurons=w1.shape[2],
            w0=w0.numpy(),
            b0=b0.numpy(),
            w1=w1.numpy(),
            b1=bias.numpy(),
            c_radial=c_radial,
            c_angular=c_angular,
            q_scaler=q_scaler.numpy(),
        )
