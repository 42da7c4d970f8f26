"""Constants that scale all trained numbers to order one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

_MATRICES = ("radial", "angular")


@dataclass(frozen=True)
class Scaling:
    """Constants between the trained numbers and the parameters of the file (T species).

    For several models at once there is a leading axis of models, except for matrices that all models share.

    Attributes
    ----------
    radial, angular : Tensor, shape ([P,] n_basis, n_basis)
        Coefficients of the file are the trained ones times this matrix (from the right).
    mean, inverse_spread : Tensor, shape (T, dim)
        Shift and scale of the descriptor by species of the centre.
    output : Tensor, shape (networks,)
        Units of the network outputs.
    site : Tensor, shape (T,)
        Constant added to the energy (or to a third of the trace of the polarizability) of an atom.
    """

    radial: Tensor
    angular: Tensor
    mean: Tensor
    inverse_spread: Tensor
    output: Tensor
    site: Tensor

    def to(self, dtype: torch.dtype, device: torch.device) -> Scaling:
        """Return the constants in another type, on a device."""
        return Scaling(**{f.name: getattr(self, f.name).to(device, dtype) for f in fields(self)})

    @staticmethod
    def stack(several: Sequence[Scaling]) -> Scaling:
        """Return the constants of several models as one, with a leading axis of models."""
        first, stacked = several[0], {}
        for f in fields(first):
            values = [getattr(scaling, f.name) for scaling in several]
            shared = f.name in _MATRICES and all(torch.equal(value, values[0]) for value in values[1:])
            stacked[f.name] = values[0] if shared else torch.stack(values)
        return Scaling(**stacked)

    def member(self, k: int) -> Scaling:
        """Return the constants of one of several models."""
        if self.mean.ndim == 2:
            return self
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return Scaling(
            **{name: value if name in _MATRICES and value.ndim == 2 else value[k] for name, value in own.items()}
        )
