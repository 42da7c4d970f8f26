"""Errors of a population on GPUMD training structures, for each species and for all structures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.conventions import GPUMD_ORDER, STRAIN_ORDER, to_six
from tnep_calc.device import CPU
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.io.gpumd.xyz import GpumdFrame
from tnep_calc.progress import Progress

from ...common import processes
from ...common.store import Storage
from ...nep.edges import EdgeFinder
from ...nep.moments import Moments, assemble, moment_numbers
from ...nep.parts import chunks_of
from .parameters import ParameterOrder

log = logging.getLogger(__name__)

_BYTES = 4  # per number
_TOGETHER, _WITH_FORCES = 8, 80
"""Individuals that are predicted at a time, without and with forces.  The sums of a few individuals stay in a cache.
The pair moments of forces are much larger than these sums, so they are read once for many individuals."""


@dataclass(frozen=True)
class _Chunk:
    """Structures of one batch, or some of them, with their targets; all tensors are on the device of the model.

    Attributes
    ----------
    load : callable
        Returns the moments of the structures, valid until those of the next chunk are loaded.
    targets : dict of Tensor
        By name of the prediction, with the same rows.
    known : Tensor of bool, shape (n_structures,)
        Structures with a virial.
    structure : Tensor, shape (rows,)
        Structure of each row of an atomic target (forces, or all targets with ``atomic_v``).
    counts, weights : Tensor, shape (n_structures,)
        Numbers of atoms, weights.
    force_weights : Tensor, shape (n_atoms, 1), or None
    members : Tensor, shape (n_structures, T + 1)
        1 where a structure has a species; the last column is 1.
    """

    load: Callable[[], Moments]
    targets: dict[str, Tensor]
    known: Tensor
    structure: Tensor
    counts: Tensor
    weights: Tensor
    force_weights: Tensor | None
    members: Tensor

    def to(self, device: torch.device) -> _Chunk:
        """Return the chunk on a device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: x.to(device) for name, x in values.items() if isinstance(x, Tensor)}
        return replace(self, targets={name: x.to(device) for name, x in self.targets.items()}, **moved)


def deal_batches(frames: Sequence[GpumdFrame], size: int) -> list[list[int]]:
    """Return the structures of each batch: sorted by energy per atom if all have energies, then dealt in turn."""
    order = list(range(len(frames)))
    energies = [f.structure.energy / len(f) for f in frames if f.structure.energy is not None]
    if len(energies) == len(frames):
        order.sort(key=energies.__getitem__)
    n_batches = -(-len(frames) // size)
    return [order[k::n_batches] for k in range(n_batches)]


class Fitness:
    """Errors of individuals on batches of structures, computed on the device of the layout's model.

    Individuals are given on the CPU, and errors are returned there.

    Errors are per atom for energies, virials, dipoles and polarizabilities.  Squared errors are multiplied by the
    square of the structure's weight, and for off-diagonal components by the square of ``lambda_shear``.  The mean error
    of the energies is subtracted, as a shift of the output bias removes it.

    Parameters
    ----------
    layout : ParameterOrder
    options : NepInput
    frames : sequence of GpumdFrame
    memory_gb : float
        Largest size in GB of the moments in memory (of the GPU, if one is used); what exceeds it is streamed.
    scratch : str or path, optional
        Folder of the temporary file; None = the system's.

    Attributes
    ----------
    storage : Storage
        Where the moments are.
    max_neighbors : tuple of 2 int
        Largest radial and angular numbers of neighbours in the data.
    terms : dict of str to float
        Weight of each error in the loss, by name of the prediction.
    wanted : list of str
        Predicted quantities: all with a weight, and the energy, whose mean error shifts the output bias.
    batches : list of list of int
        Structures of each batch.
    """

    def __init__(
        self,
        layout: ParameterOrder,
        options: NepInput,
        frames: Sequence[GpumdFrame],
        memory_gb: float,
        scratch: str | Path | None = None,
    ):
        self.layout, self.options = layout, options
        if options.model_type:
            self.terms = {options.kind: options.lambda_v}
        else:
            self.terms = {"energy": options.lambda_e, "forces": options.lambda_f}
            if any(frame.structure.virial is not None for frame in frames):
                self.terms["virial"] = options.lambda_v
        self.wanted = [name for name, weight in self.terms.items() if weight > 0 or name == "energy"]
        self.batches = deal_batches(frames, options.batch)
        self._together = _WITH_FORCES if "forces" in self.wanted else _TOGETHER
        self.device = layout.model.device
        self.storage = Storage(memory_gb, scratch, self.device)
        self.max_neighbors = (0, 0)
        self._data = self._chunks(frames)
        self.q_scaler = torch.ones(layout.model.dim)

    def _chunks(self, frames):
        """Return the chunks of each batch, of at most a block's size (or one structure)."""
        options, basis = self.options, self.layout.model.basis
        field: str | None = "dipole" if options.kind == "dipole" else "strain"
        if options.kind == "potential" and "virial" not in self.wanted:
            field = None
        of_moments: dict[str, Any] = {"field": field, "gradient": "forces" in self.wanted}
        structures, finder = [frame.structure for frame in frames], EdgeFinder(basis)
        for s in structures:
            self.storage.check(s, _BYTES * moment_numbers(finder(s), basis, **of_moments) / 1e9)
        limit = self.storage.block_gb * 1e9 / _BYTES
        progress = Progress(log, "structures prepared", len(structures))

        def make(chosen, edges):
            def compute(edges=None):
                found = edges or [finder(structures[k]) for k in chosen]
                return assemble(found, basis, dtype=torch.float32, **of_moments)

            moments = compute(edges)
            largest = zip(self.max_neighbors, moments.max_neighbors, strict=True)
            self.max_neighbors = tuple(max(pair) for pair in largest)
            progress.advance(len(chosen))
            return self._chunk([frames[k] for k in chosen], self.storage.keep(moments, compute))

        return [
            [make(*found) for found in chunks_of(np.array(batch), structures, finder, limit, basis, of_moments)]
            for batch in self.batches
        ]

    def _chunk(self, frames, load):
        options, structures = self.options, [frame.structure for frame in frames]
        counts = torch.tensor([len(frame) for frame in frames], dtype=torch.float32)
        structure = torch.repeat_interleave(torch.arange(len(frames)), torch.tensor([len(frame) for frame in frames]))
        index = {symbol: k for k, symbol in enumerate(options.species)}
        types = torch.tensor([index[symbol] for s in structures for symbol in s.symbols])
        members = torch.zeros(len(frames), len(index) + 1)
        members[structure, types] = 1.0
        members[:, -1] = 1.0
        force_weights = None
        if options.kind == "potential" and (options.force_delta > 0 or set(options.type_weight) - {1.0}):
            force_weights = torch.ones(len(types), 1)
            if options.type_weight:
                force_weights *= torch.tensor(options.type_weight)[types][:, None]
            if options.force_delta > 0:
                size = torch.tensor(np.concatenate([np.linalg.norm(s.forces, axis=1) for s in structures]))
                force_weights /= (1 + size / options.force_delta).to(torch.float32)[:, None]
        known = torch.tensor([s.virial is not None for s in structures])
        weights = torch.tensor([float(frame.weight) for frame in frames], dtype=torch.float32)
        chunk = _Chunk(load, self._targets(frames), known, structure, counts, weights, force_weights, members)
        return chunk.to(self.device)

    def _targets(self, frames):
        structures = [frame.structure for frame in frames]

        def virial(s):
            return np.zeros(6) if s.virial is None else to_six(s.virial, STRAIN_ORDER)

        if self.options.atomic_v:
            values = [
                frame.atomic_dipole
                if self.options.kind == "dipole"
                else frame.atomic_polarizability[:, _GPUMD_TO_STRAIN]
                for frame in frames
            ]
            targets = {self.options.kind: np.concatenate(values)}
        elif self.options.kind == "dipole":
            targets = {"dipole": np.array([s.dipole for s in structures])}
        elif self.options.kind == "polarizability":
            targets = {"polarizability": to_six(np.array([s.polarizability for s in structures]), STRAIN_ORDER)}
        else:
            targets = {
                "energy": np.array([s.energy for s in structures]),
                "forces": np.concatenate([s.forces for s in structures]),
                "virial": np.array([virial(s) for s in structures]),
            }
        return {name: torch.tensor(targets[name], dtype=torch.float64) for name in self.wanted}

    def find_q_scaler(self, value: float) -> Tensor:
        """Return ``1 / (max - min)`` of each descriptor component over all atoms, with every parameter at `value`.

        GPUMD's formula is infinite for a component that is the same for all atoms (to single precision); its scale is 1
        here.
        """
        model, layout = self.layout.model, self.layout
        model.scaling = layout.scaling(torch.ones(model.dim, device=CPU))
        vector = layout.to_model(torch.full((layout.n_parameters,), float(value), device=CPU)).to(self.device)
        chunks = [chunk for batch in self._data for chunk in batch]
        limits = [torch.stack(model.descriptors(vector, chunk.load()).aminmax(dim=0)) for chunk in chunks]
        low, high = torch.stack(limits).to(CPU, torch.float64).unbind(1)
        low, high = low.amin(dim=0), high.amax(dim=0)
        span = high - low
        same = span <= 1e-6 * torch.maximum(low.abs(), high.abs())
        return torch.where(same, torch.ones_like(span), 1 / span).to(torch.float32)

    def errors(
        self, individuals: Tensor, batches: Sequence[int], weighted: bool = True
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return root mean square errors by species, and the mean error of the energies that was subtracted.

        Of several processes, each computes a share of the individuals.

        Parameters
        ----------
        individuals : Tensor, shape (population, n_parameters)
        batches : sequence of int
            Batches that are evaluated together.
        weighted : bool, default True
            Apply weights of structures and components.

        Returns
        -------
        rmse : dict of Tensor, shape (population, T + 1)
            By name of the prediction; the last column is over all structures.  0 where there are no structures.
        shift : Tensor, shape (population,)
            Mean error of the energy per atom (0 for other models).
        """
        share = processes.own_share(len(individuals))
        if share is None:
            return self._errors_of(individuals, batches, weighted)
        own, own_shift = self._errors_of(individuals[share], batches, weighted)
        rmse = {name: values.new_zeros(len(individuals), values.shape[1]) for name, values in own.items()}
        for name, values in own.items():
            rmse[name][share] = values
        shift = own_shift.new_zeros(len(individuals))
        shift[share] = own_shift
        processes.add_up(*rmse.values(), shift)
        return rmse, shift

    def _errors_of(self, individuals, batches, weighted):
        """Return the errors of individuals, see :meth:`errors`, in this process."""
        model = self.layout.model
        model.scaling = self.layout.scaling(self.q_scaler)
        vectors = self.layout.to_model(individuals).to(self.device)
        chunks = [chunk for k in batches for chunk in self._data[k]]
        parts: dict[str, list[Tensor]] = {name: [] for name in self.wanted}
        for chunk in chunks:
            for name, error in self._errors(vectors, chunk).items():
                parts[name].append(error)
        shift = vectors.new_zeros(len(vectors))
        if "energy" in parts:
            energy = torch.cat(parts["energy"], dim=1)
            shift = energy.mean(dim=1)
            parts["energy"] = list(torch.split(energy - shift[:, None], [p.shape[1] for p in parts["energy"]], dim=1))
        rmse = {}
        for name, errors in parts.items():
            above, below = vectors.new_zeros(1), vectors.new_zeros(1)
            for chunk, error in zip(chunks, errors, strict=True):
                squares, count = self._squares(name, error, chunk, weighted)
                above, below = above + squares @ chunk.members, below + count @ chunk.members
            rmse[name] = torch.where(below > 0, above / below.clamp(min=1), 0.0).sqrt().cpu()
        return rmse, shift.cpu()

    def predictions(self, individual: Tensor) -> dict[str, Tensor]:
        """Return the predictions of one individual, in the order of :attr:`batches`.

        Parameters
        ----------
        individual : Tensor, shape (n_parameters,)

        Returns
        -------
        dict of Tensor
            By name, as in :meth:`tnep_calc.training.nep.model.NepOnMoments.predict`; atomic ones with ``atomic_v``.
        """
        self.layout.model.scaling = self.layout.scaling(self.q_scaler)
        vectors = self.layout.to_model(individual[None]).to(self.device)
        found = [self._predict(vectors, chunk) for batch in self._data for chunk in batch]
        return {name: torch.cat([values[name][0].cpu() for values in found]) for name in self.wanted}

    @torch.no_grad()
    def _predict(self, vectors, data):
        """Return the predictions of a population, by name of the target, with a leading axis of individuals."""
        moments, prefix = data.load(), "atomic_" if self.options.atomic_v else ""
        labels = [prefix + name for name in self.wanted]
        found = [self.layout.model.predict(own, moments, labels) for own in vectors.split(self._together)]
        return {
            name: torch.cat([values[label] for values in found])
            for name, label in zip(self.wanted, labels, strict=True)
        }

    def _errors(self, vectors, data):
        """Return prediction minus target; energies are already per atom.

        Totals are float64, and so are the differences, which may be much smaller than the totals.
        """
        errors = {
            name: value - data.targets[name].to(value.dtype) for name, value in self._predict(vectors, data).items()
        }
        if "energy" in errors:
            errors["energy"] = errors["energy"] / data.counts
        return {name: error.to(torch.float32) for name, error in errors.items()}

    def _squares(self, name, error, data, weighted):
        """Return sums of squared errors (population, n_structures), and numbers of components (n_structures,)."""
        options = self.options
        squares = error.square()
        if name in ("virial", "polarizability"):
            shear = options.lambda_shear**2 if weighted else 1.0
            squares = squares * squares.new_tensor([1.0, 1.0, 1.0, shear, shear, shear])
        if name == "forces" and weighted and data.force_weights is not None:
            squares = squares * data.force_weights
        if name != "energy":
            squares = squares.sum(dim=2)
        count = torch.full_like(data.counts, {"energy": 1, "dipole": 3}.get(name, 6))
        if name == "forces" or options.atomic_v:
            total = squares.new_zeros(len(squares), len(data.counts))
            squares = total.index_add(1, data.structure, squares)
            count = data.counts * (3 if name == "forces" else 6)  # six for dipoles of atoms too, as GPUMD has it
        elif name != "energy":
            squares = squares / data.counts.square()
        if name == "virial":
            squares, count = squares * data.known, count * data.known
        return (squares * data.weights.square() if weighted else squares), count


_GPUMD_TO_STRAIN = [GPUMD_ORDER.index((a, b) if (a, b) in GPUMD_ORDER else (b, a)) for a, b in STRAIN_ORDER]
