"""Constants that bring everything that is trained to order one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scaling:
    """Constants between the trained numbers and the parameters of the file (T species).

    For several models at once, all but the matrices may have a leading axis of models.

    Attributes
    ----------
    radial, angular : Tensor, shape (n_basis, n_basis)
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
        """Return the same in another type, on a device."""
        return Scaling(**{f.name: getattr(self, f.name).to(device, dtype) for f in fields(self)})

    @staticmethod
    def stack(several: Sequence[Scaling]) -> Scaling:
        """Return the constants of several models, which must have the same matrices."""
        own = ("mean", "inverse_spread", "output", "site")
        stacked = (torch.stack([getattr(scaling, name) for scaling in several]) for name in own)
        return Scaling(several[0].radial, several[0].angular, *stacked)

    def member(self, k: int) -> Scaling:
        """Return the constants of one of several models."""
        if self.mean.ndim == 2:
            return self
        own = ("mean", "inverse_spread", "output", "site")
        return Scaling(self.radial, self.angular, *(getattr(self, name)[k] for name in own))
