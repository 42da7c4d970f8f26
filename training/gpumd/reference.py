"""Evaluation of a ``nep.txt`` on GPUMD training structures, many structures per call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import artifact_from_nep
from tnep_calc.conventions import STRAIN_ORDER, from_six
from tnep_calc.errors import DataFileError, TnepError
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.io.gpumd.nep_parameters import ZBL, NepParameters
from tnep_calc.io.gpumd.xyz import GpumdFrame
from tnep_calc.neighbors import NeighborList

ATOMS_AT_ONCE = 2000
"""Largest number of atoms in structures that are evaluated together; a larger structure is evaluated alone."""

_PER_ATOM = {
    "potential": ("energies", "forces", "virials"),
    "dipole": ("dipoles",),
    "polarizability": ("polarizabilities",),
}
_OF_ATOMS = {"dipole": "dipoles", "polarizability": "polarizabilities"}
_TOTALS = {"energies": "energy", "virials": "virial", "dipoles": "dipole", "polarizabilities": "polarizability"}


def evaluate(
    parameters: NepParameters, frames: Sequence[GpumdFrame], descriptors: bool = False
) -> dict[str, np.ndarray]:
    """Evaluate a model on structures.

    Parameters
    ----------
    parameters : NepParameters
    frames : sequence of GpumdFrame
    descriptors : bool, default False
        Return the scaled descriptors too.

    Returns
    -------
    dict of ndarray
        Totals ``energy`` (n_frames,), ``virial`` (n_frames, 3, 3), ``dipole`` (n_frames, 3) or ``polarizability``
        (n_frames, 3, 3).  Values of atoms, in the order of the structures: ``energies``, ``forces``, ``virials``,
        ``dipoles`` (by centre), ``polarizabilities`` (by centre) or ``descriptors``.  Units are those of the model.

    Raises
    ------
    DataFileError
        If a structure has an unsound geometry.
    """
    model = artifact_from_nep(parameters)
    names = [*_PER_ATOM[parameters.kind], *(["descriptors"] if descriptors else [])]
    index = {symbol: k for k, symbol in enumerate(parameters.species)}
    search = NeighborList(parameters.cutoff)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in _batches(frames):
        types, offsets, neighbors, vectors, atoms = [], [np.zeros(1, dtype=np.int64)], [], [], 0
        for frame in batch:
            s = frame.structure
            try:
                edges = search.edges(s.positions, s.cell, s.pbc)
            except TnepError as error:
                raise DataFileError(f"{s.source}: {error}") from error
            types += [index[symbol] for symbol in s.symbols]
            offsets.append(edges.offsets[1:] + offsets[-1][-1])
            neighbors.append(edges.neighbors + atoms)
            vectors.append(edges.vectors)
            atoms += len(s)
        out = model(
            torch.tensor(types),
            torch.arange(atoms),
            torch.from_numpy(np.concatenate(offsets)),
            torch.from_numpy(np.concatenate(neighbors)),
            torch.from_numpy(np.concatenate(vectors)),
            names,
        )
        for name in names:
            parts[name].append(out[name].detach().numpy())
    result = {name: np.concatenate(values) for name, values in parts.items()}
    starts = np.cumsum([0, *(len(frame) for frame in frames)])[:-1]
    for name, total in _TOTALS.items():
        if name in result:
            result[total] = np.add.reduceat(result[name], starts, axis=0)
    return result


def as_evaluated(predictions: Mapping[str, Tensor], atomic: bool = False) -> dict[str, np.ndarray]:
    """Return predictions of a trainer in the form of those of :func:`evaluate`.

    Parameters
    ----------
    predictions : mapping of str to Tensor
        Of :meth:`tnep_calc.training.nep.model.NepOnMoments.predict`; atomic values may have the names of totals.
    atomic : bool, default False
        Dipoles and polarizabilities are those of atoms.
    """
    out = {}
    for name, value in predictions.items():
        array = value.detach().double().numpy()
        label = name.removeprefix("atomic_")
        if label in ("virial", "polarizability"):
            array = from_six(array, STRAIN_ORDER)
        out[_OF_ATOMS[label] if atomic else label] = array
    return out


def _batches(frames) -> Iterator[list[GpumdFrame]]:
    batch: list[GpumdFrame] = []
    for frame in frames:
        if batch and sum(map(len, batch)) + len(frame) > ATOMS_AT_ONCE:
            yield batch
            batch = []
        batch.append(frame)
    yield batch


def repulsion(frames: Sequence[GpumdFrame], options: NepInput, zbl: ZBL) -> dict[str, np.ndarray]:
    """Return energies, forces and virials of the ZBL repulsion alone, in the form of :func:`evaluate`."""
    t, pairs = len(options.species), np.broadcast_to(np.array(options.cutoff), (len(options.species), 2))
    alone = NepParameters(
        version=4,
        kind="potential",
        species=options.species,
        radial_cutoffs=pairs[:, 0].copy(),
        angular_cutoffs=pairs[:, 1].copy(),
        max_neighbors=(1, 1),
        n_max=(0, 0),
        basis_size=(0, 0),
        l_max=1,
        extra=(False,) * 6,
        neurons=1,
        w0=np.zeros((1, t, 1, 2)),
        b0=np.zeros((1, t, 1)),
        w1=np.zeros((1, t, 1)),
        b1=np.zeros(1),
        c_radial=np.zeros((1, 1, t, t)),
        c_angular=np.zeros((1, 1, t, t)),
        q_scaler=np.ones(2),
        zbl=zbl,
    )
    return evaluate(alone, frames)


def subtract_values(frames: Sequence[GpumdFrame], values: dict[str, np.ndarray]) -> list[GpumdFrame]:
    """Subtract the values of :func:`repulsion` from the energies, forces and virials of structures."""
    forces = np.split(values["forces"], np.cumsum([len(frame) for frame in frames])[:-1])
    result = []
    for k, frame in enumerate(frames):
        s = frame.structure
        if s.energy is None or s.forces is None:
            raise DataFileError(f"{s.source}: no energy or no forces")
        virial = None if s.virial is None else s.virial - values["virial"][k]
        structure = replace(s, energy=s.energy - values["energy"][k], forces=s.forces - forces[k], virial=virial)
        result.append(replace(frame, structure=structure))
    return result


def without_zbl(frames: Sequence[GpumdFrame], options: NepInput, zbl: ZBL) -> list[GpumdFrame]:
    """Return structures with energies, forces and virials from which the ZBL repulsion has been subtracted."""
    return subtract_values(frames, repulsion(frames, options, zbl))
