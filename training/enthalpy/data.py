"""Prepare the data of an enthalpy training: read structures, and precompute their frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tnep_calc.artifact import DTYPES
from tnep_calc.datasets.values import field_of
from tnep_calc.errors import DataFileError
from tnep_calc.structures import LabelledStructure

from ..common.reading import read_for_training
from ..common.splits import extrapolation_warning
from .config import EnthalpyConfig
from .frames import Frame, make_frames


def read_structures(config: EnthalpyConfig) -> list[LabelledStructure]:
    """Read and check the data files of a configuration, in any supported format."""
    return read_for_training(config, in_field=True, check=_check_branches if config.data.fold_dipole else None)


def _check_branches(structures: Sequence[LabelledStructure]) -> None:
    """Raise ``DataFileError`` for energies and stresses of crystals in a field without a dipole (unknown branch)."""
    for s in structures:
        if field_of(s).any() and s.pbc.any() and s.dipole is None and not (s.energy is None and s.virial is None):
            raise DataFileError(
                f"{s.source}: has an energy or a stress in a field but no dipole: in a crystal they depend on the "
                "branch of the dipole (modulo e R); give the dipole, or leave out energy and stress of this structure"
            )


def frames_of(config: EnthalpyConfig, structures: Sequence[LabelledStructure]) -> list[Frame]:
    """Precompute structures with the settings of a configuration; its seed and splits do not matter.

    Raises
    ------
    InputError
        If the frames need more than ``optimizer.memory_gb``.
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
    """Yield a warning for each split with species or pairs that do not occur in training.

    Parameters
    ----------
    frames : mapping of str to sequence of Frame
        Frames of each split; the others are compared with ``train``.
    species : sequence of str
        Species of the model.
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
