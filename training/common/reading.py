"""Read and check the structures of a training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from tnep_calc.datasets.checks import check_before_training
from tnep_calc.io.structures import read as importers
from tnep_calc.structures import LabelledStructure

from .config import BaseConfig
from .splits import log_groups, outer_indices

log = logging.getLogger(__name__)


def read_for_training(
    config: BaseConfig,
    require: Sequence[str] = (),
    species: Sequence[str] | None = None,
    in_field: bool = False,
    check: Callable[[Sequence[LabelledStructure]], None] | None = None,
) -> list[LabelledStructure]:
    """Read the data files of a configuration, in any supported format, and log a summary of what is remarkable in them.

    Parameters
    ----------
    config : BaseConfig
    require : sequence of str
        Labels that every structure at zero field must have.
    species : sequence of str, optional
        Species that the model is trained for.  Default: ``model.species``.
    in_field : bool, default False
        Whether the model takes an electric field; if not, labels in a field are an error.
    check : callable, optional
        Checks of the family, called first with the structures.

    Raises
    ------
    DataFileError
        If a file cannot be read, a structure lacks a required label, or labels cannot be right.
    """
    structures, _ = importers.read_structures(config.data_files, config.data.keys, require)
    if check is not None:
        check(structures)
    log_groups(structures, config)
    train = outer_indices(structures, config)["train"]
    known = config.model.species if species is None else species
    log.info(check_before_training(structures, in_field=in_field, train=train, species=known))
    return structures
