"""Keywords of ``nep.in`` as settings of our own: the architecture of the model, which both engines train."""

from __future__ import annotations

from tnep_calc.io.nep_in import NepInput

from ..config import ModelConfig


def model_config(options: NepInput) -> ModelConfig:
    """Return the model that a ``nep.in`` describes, as the moments need it."""
    pairs = options.cutoff if len(options.cutoff) > 1 else options.cutoff * len(options.species)
    radial, angular = zip(*pairs, strict=True)
    return ModelConfig(options.kind, options.species, radial, angular, options.n_max, options.basis_size,
                       options.l_max, options.neuron)  # fmt: skip
