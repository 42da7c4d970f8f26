"""What an enthalpy training starts from: structures, and their precomputed frames."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence

from tnep_calc.artifact import DTYPES
from tnep_calc.datasets.checks import check_before_training
from tnep_calc.datasets.values import field_of
from tnep_calc.errors import DataFileError
from tnep_calc.io.structures import read as importers
from tnep_calc.structures import LabelledStructure

from ..common.splits import extrapolation_warning, log_groups, outer_indices
from .config import EnthalpyConfig
from .frames import Frame, make_frames

log = logging.getLogger(__name__)


def read_structures(config: EnthalpyConfig) -> list[LabelledStructure]:
    """Read and check the data files (of any kind)."""
    structures, _ = importers.read_structures(config.data_files, config.data.keys)
    if config.data.fold_dipole:
        _check_branches(structures)
    log_groups(structures, config)
    train = outer_indices(structures, config)["train"]
    log.info(check_before_training(structures, in_field=True, train=train, species=config.model.species))
    return structures


def _check_branches(structures: Sequence[LabelledStructure]) -> None:
    """Refuse energies and stresses of crystals in a field whose branch of the polarization is not told."""
    for s in structures:
        if field_of(s).any() and s.pbc.any() and s.dipole is None and not (s.energy is None and s.virial is None):
            raise DataFileError(
                f"{s.source}: has an energy or a stress in a field but no dipole: in a crystal they depend on the "
                "branch of the dipole (modulo e R); give the dipole, or leave out energy and stress of this structure"
            )


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
        structures,
        model.species,
        model.cutoff,
        model.n_radial,
        DTYPES[opt.precision],
        config.data.fold_dipole,
        model.zbl,
        opt.memory_gb,
    )


def unseen_warnings(frames: Mapping[str, Sequence[Frame]], species: Sequence[str]) -> Iterator[str]:
    """Yield a line for each split with structures that have a species or a pair of which training sees nothing.

    Parameters
    ----------
    frames : mapping of str to sequence of Frame
        By split; ``train`` is the one that others are compared with.
    species : sequence of str
        Of the model.
    """
    seen = set().union(*(_content(frame, species) for frame in frames["train"]))
    for name, others in frames.items():
        lacking: dict[str, set[int]] = {}
        for k, frame in enumerate(others):
            new = _content(frame, species) - seen
            for what in new:
                if len(what) == 1 or not any((one,) in new for one in what):  # a new species, or a pair of known ones
                    lacking.setdefault("-".join(what), set()).add(k)
        if lacking:
            yield extrapolation_warning(name, lacking, len(others), "cutoff")


def _content(frame: Frame, species: Sequence[str]) -> set[tuple[str, ...]]:
    """Return species, and pairs of species within the cutoff, each pair in the order of the species."""
    pairs = {
        (species[s], species[t])
        for s, row in enumerate(frame.pairs)
        for t, block in enumerate(row)
        if s <= t and block.neighbors.numel()
    }
    return pairs | {(species[s],) for s, centers in enumerate(frame.centers) if len(centers)}
