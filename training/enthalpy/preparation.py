"""What an enthalpy training starts from: structures, and their precomputed frames."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tnep_calc.artifact import DTYPES
from tnep_calc.io import importers
from tnep_calc.io.dataset import LabelledStructure

from ..data.checks import check_before_training
from ..splits import outer_indices
from .config import EnthalpyConfig
from .frames import Frame, make_frames

log = logging.getLogger(__name__)


def read_structures(config: EnthalpyConfig) -> list[LabelledStructure]:
    """Read and check the data files (of any kind)."""
    structures, _ = importers.read_structures(config.data_files, config.data.keys)
    train = outer_indices(len(structures), config)["train"]
    log.info(check_before_training(structures, in_field=True, train=train, species=config.model.species))
    return structures


def frames_of(config: EnthalpyConfig, structures: Sequence[LabelledStructure]) -> list[Frame]:
    """Precompute structures as a configuration has it, whatever its seed and its splits.

    Raises
    ------
    InputError
        If they do not fit ``optimizer.memory_gb``.
    DataFileError
        If a structure has an unknown species, or no neighbours.
    """
    model, opt = config.model, config.optimizer
    return make_frames(
        structures, model.species, model.cutoff, model.n_radial, DTYPES[opt.precision], config.data.fold_dipole,
        model.zbl, opt.memory_gb,
    )  # fmt: skip
