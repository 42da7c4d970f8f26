"""GPUMD's flat parameter vector: order, species labels, and conversion to the moments model and to ``nep.txt``."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tnep_calc.device import CPU
from tnep_calc.io.gpumd.nep_parameters import ZBL, NepParameters

from ...nep.config import ModelConfig
from ...nep.model import NepOnMoments
from ...nep.scaling import Scaling


class ParameterOrder:
    """Order of the trained numbers in ``nep.txt`` and ``nep.restart``.

    Per network (for a polarizability first the tensor, then the scalar one): for each species of the centre w0
    (neuron, descriptor component), b0, w1; then the output bias.  Then the radial and the angular expansion
    coefficients (n, k, species of the centre, species of the neighbour).

    Parameters
    ----------
    config : ModelConfig
    device : torch.device, default the CPU
        Device of the moments model; parameter vectors are on the CPU.

    Attributes
    ----------
    n_parameters : int
    n_networks : int
        Number of parameters of the networks, which come before the coefficients.
    labels : Tensor of int64, shape (n_parameters,)
        Species of the centre that each parameter belongs to; the number of species, T, for output biases.
    """

    def __init__(self, config: ModelConfig, device: torch.device = CPU):
        self.config = config
        self.model = NepOnMoments(config, torch.float32, device)
        shapes, t = self.model.shapes, len(config.species)
        networks, _, m, dim = shapes["w0"]
        self._places: dict[str, Tensor] = {
            name: torch.zeros(shapes[name], dtype=torch.int64) for name in ("w0", "b0", "w1")
        }
        self._places["b1"] = torch.zeros(networks, dtype=torch.int64)
        labels: list[Tensor] = []
        self.n_parameters = 0

        def take(shape, label):
            count = math.prod(shape)
            labels.append(torch.full((count,), label))
            self.n_parameters += count
            return torch.arange(self.n_parameters - count, self.n_parameters).reshape(shape)

        for network in range(networks):
            for species in range(t):
                self._places["w0"][network, species] = take((m, dim), species)
                self._places["b0"][network, species] = take((m,), species)
                self._places["w1"][network, species] = take((m,), species)
            self._places["b1"][network] = take((), t)
        self.n_networks = self.n_parameters
        for name in ("c_radial", "c_angular"):
            _, _, n, k = shapes[name]
            self._places[name] = take((n, k, t, t), 0).permute(2, 3, 0, 1)
            labels[-1] = torch.arange(t)[:, None].expand(n * k, t, t).flatten()
        self.labels = torch.cat(labels)
        scalar = self._places["b1"][-1:]  # the bias of a tensor network has no effect
        self._order = torch.cat([(scalar if name == "b1" else self._places[name]).flatten() for name in shapes])
        self._sign = torch.ones(len(self._order))
        self._sign[-1] = -1.0  # the moments model adds its constant, GPUMD subtracts its bias
        if list(shapes)[-1] != "b1":
            raise RuntimeError("the constant must be the last parameter of the moments model")

    @property
    def bias(self) -> int:
        """Index of the output bias that matters: that of the energy, or of the scalar network."""
        return int(self._places["b1"][-1])

    def places_in(self, other: ParameterOrder) -> np.ndarray:
        """Return the indices of these parameters in the vector of the same architecture with more species.

        Raises
        ------
        ValueError
            If `other` does not have all the species.
        """
        own = [other.config.species.index(symbol) for symbol in self.config.species]
        places = torch.empty(self.n_parameters, dtype=torch.int64)
        for name, mine in self._places.items():
            theirs = other._places[name]
            if name in ("c_radial", "c_angular"):
                theirs = theirs[own][:, own]
            elif name != "b1":
                theirs = theirs[:, own]
            places[mine.flatten()] = theirs.flatten()
        return places.numpy()

    def to_model(self, vectors: Tensor) -> Tensor:
        """Return parameter vectors of the moments model, shape (..., model parameters)."""
        return vectors[..., self._order] * self._sign.to(vectors.dtype)

    def scaling(self, q_scaler: Tensor) -> Scaling:
        """Return the scaling with which the moments model follows GPUMD's definitions exactly."""
        t, n, k = len(self.config.species), self.model.basis.n_radial, self.model.basis.angular_shape[0]
        eye = torch.eye(max(n, k), dtype=torch.float64, device=q_scaler.device)
        return Scaling(
            radial=eye[:n, :n],
            angular=eye[:k, :k],
            mean=q_scaler.new_zeros(t, len(q_scaler)),
            inverse_spread=q_scaler.expand(t, -1),
            output=q_scaler.new_ones(self.model.networks),
            site=q_scaler.new_zeros(t),
        )

    def to_nep(
        self, vector: Tensor, q_scaler: Tensor, max_neighbors: tuple[int, int], zbl: ZBL | None = None
    ) -> NepParameters:
        """Return the vector as the parameters of a ``nep.txt`` (version 4); the numbers are unchanged."""
        c = self.config
        blocks = {name: vector.detach()[places].to(torch.float64).numpy() for name, places in self._places.items()}
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
            neurons=c.neurons,
            w0=blocks["w0"],
            b0=blocks["b0"],
            w1=blocks["w1"],
            b1=blocks["b1"],
            c_radial=blocks["c_radial"].transpose(2, 3, 0, 1),
            c_angular=blocks["c_angular"].transpose(2, 3, 0, 1),
            q_scaler=q_scaler.to(torch.float64).numpy(),
            zbl=zbl,
        )
