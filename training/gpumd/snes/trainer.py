"""Training by the evolution strategy, generation by generation as in GPUMD's ``nep`` program."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.device import describe, resolve
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.io.gpumd.nep_parameters import ZBL, NepParameters
from tnep_calc.io.gpumd.training_output import parity_tables, table_errors
from tnep_calc.io.gpumd.xyz import GpumdFrame

from ...common.checkpoint import hash_of_data, hash_of_settings, load_matching
from ...common.memory import memory_errors_explained
from ..folder import labelled_structures
from ..keywords import model_config
from ..reference import evaluate
from .fitness import Fitness
from .parameters import ParameterOrder
from .strategy import SNES

log = logging.getLogger(__name__)

DEFAULT_SEED = 0
"""Seed if ``nep.in`` has none; GPUMD uses the time."""
_ROOM = "lower --memory, so that more of the moments are streamed"  # for a GPU that is full
_SMALLER = "use a smaller population or 'batch' in nep.in"
_RESULT = ("generation", "prediction", "output_interval", "output_descriptor", "save_potential", "given")


@dataclass(frozen=True)
class Elite:
    """The best individual of a generation.

    Attributes
    ----------
    vector : Tensor, shape (n_parameters,)
        Parameters; for a potential, the output bias removes the mean error of the energies.
    total, l1, l2 : float
        Its loss over all structures of the batch, and the two regularisation terms.
    """

    vector: Tensor
    total: float
    l1: float
    l2: float


def seed_of(options: NepInput) -> int:
    """Return the seed of a run."""
    return DEFAULT_SEED if options.seed is None else options.seed


def fingerprint(options: NepInput, frames: Sequence[GpumdFrame]) -> dict[str, str]:
    """Return hashes that identify a run: of ``nep.in`` without its length and outputs, and of the data."""
    content = {name: value for name, value in asdict(options).items() if name not in _RESULT}
    settings = [content, {"engine": "snes", "seed": seed_of(options)}]
    return {"nep.in": hash_of_settings(settings), "train.xyz": hash_of_data(labelled_structures(frames))}


class SnesTrainer:
    """One run of the evolution strategy; single precision, as in GPUMD.

    Parameters
    ----------
    options : NepInput
    frames : sequence of GpumdFrame
        Training structures, with targets.
    start : tuple of two ndarray, shape (n_parameters,), optional
        Initial means and widths (``nep.restart``).  Default: random means, and the width ``sigma0``.
    q_scaler : ndarray, shape (dim,), optional
        Descriptor scaling (``import_q_scaler``).  Default: computed from the data.
    memory_gb : float, default 4.0
        Largest size in GB of the precomputed moments in memory (of the GPU, if one is used).  What exceeds it is
        streamed from a temporary file, or recomputed in every generation if the disk is full.
    device : str, default "cpu"
        Where the losses of the population are computed; see ``device`` of
        :class:`tnep_calc.training.nep.config.OptimizerConfig`.  Random numbers and the state are on the CPU.
    scratch : str or path, optional
        Folder of the temporary file; None = the system's.

    Attributes
    ----------
    device : torch.device
    frames : sequence of GpumdFrame
    generation : int
        Generations done.
    elite : Elite
        Best individual of the last generation; before the first one, the means with zero losses.
    """

    @memory_errors_explained(_ROOM, _SMALLER)
    def __init__(
        self,
        options: NepInput,
        frames: Sequence[GpumdFrame],
        start: tuple[np.ndarray, np.ndarray] | None = None,
        q_scaler: np.ndarray | None = None,
        memory_gb: float = 4.0,
        device: str = "cpu",
        scratch: str | Path | None = None,
    ):
        self.device = resolve(device)
        if device != "cpu":
            log.info("device: %s", describe(self.device))
        self.options, self.frames = options, frames
        self.seed = seed_of(options)
        self.layout = ParameterOrder(model_config(options), self.device)
        self.fitness = Fitness(self.layout, options, frames, memory_gb, scratch)
        n_species = len(options.species)
        self.snes = SNES(self.layout.labels, n_species, options.population, options.sigma0, self.seed)
        if start is not None:
            self.snes.mu, self.snes.sigma = (torch.tensor(values, dtype=torch.float32) for values in start)
        self._imported = None if q_scaler is None else torch.tensor(q_scaler, dtype=torch.float32)
        self.fingerprint = fingerprint(options, frames)
        self.generation = 0
        self.elite = Elite(self.snes.mu, 0.0, 0.0, 0.0)

    @property
    def finished(self) -> bool:
        """Whether all generations are done."""
        return self.generation >= self.options.generation

    @memory_errors_explained(_ROOM, _SMALLER)
    def step(self) -> None:
        """Do one generation.

        The first generation only determines the descriptor scaling.  Its errors count as zero, so only the
        regularisation moves the distribution.
        """
        options, fitness = self.options, self.fitness
        lambda_1, lambda_2 = options.regularisation
        s, individuals = self.snes.ask()
        l1, l2 = self.snes.regularisation(individuals)
        losses = lambda_1 * l1 + lambda_2 * l2
        shift = losses.new_zeros(len(s))
        if self.generation == 0:
            scale = fitness.find_q_scaler(options.initial_para) if self._imported is None else self._imported
            fitness.q_scaler = scale
        else:
            errors, shift = fitness.errors(individuals, self.batches())
            losses = losses + sum(weight * errors[name] for name, weight in fitness.terms.items() if name in errors)
        best = int(torch.argsort(losses[:, -1], stable=True)[0])
        vector = individuals[best].clone()
        if options.kind == "potential":
            vector[self.layout.bias] += shift[best]
        self.elite = Elite(
            vector, float(losses[best, -1]), lambda_1 * float(l1[best, -1]), lambda_2 * float(l2[best, -1])
        )
        if not torch.isfinite(losses[best, -1]):
            raise InputError(f"no loss of generation {self.generation} is finite: check the targets")
        self.snes.tell(s, losses)
        self.generation += 1

    def batches(self) -> list[int]:
        """Return the batches of the current generation."""
        n = len(self.fitness.batches)
        return list(range(n)) if self.options.full_batch else [self.generation % n]

    @memory_errors_explained(_ROOM, _SMALLER)
    def train_errors(self) -> list[float]:
        """Return unweighted errors of the elite on the batch of its generation, for ``loss.out``.

        Errors of quantities without a weight come from the reference model; they are 0 without any target.
        """
        n = len(self.fitness.batches)
        batches = list(range(n)) if self.options.full_batch else [(self.generation - 1) % n]
        errors, _ = self.fitness.errors(self.elite.vector[None], batches, weighted=False)
        names = ("energy", "forces", "virial") if self.options.kind == "potential" else (self.options.kind,)
        known = {name: float(values[0, -1]) for name, values in errors.items()}
        if known.keys() != self.fitness.terms.keys():
            frames = [self.frames[k] for batch in batches for k in self.fitness.batches[batch]]
            found = table_errors(parity_tables(self.options.kind, frames, evaluate(self.parameters(), frames)))
            known = {name: found["force" if name == "forces" else name] for name in names} | known
        return [known.get(name, 0.0) for name in names]

    def parameters(self, zbl: ZBL | None = None) -> NepParameters:
        """Return the elite as the parameters of a ``nep.txt``."""
        return self.layout.to_nep(self.elite.vector, self.fitness.q_scaler, self.fitness.max_neighbors, zbl)

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        return {
            "fingerprint": self.fingerprint,
            "generation": self.generation,
            "snes": self.snes.state(),
            "q_scaler": self.fitness.q_scaler,
            "imported": self._imported,
            "elite": asdict(self.elite),
        }

    def restore(self, path: Path) -> None:
        """Load a checkpoint; see :func:`tnep_calc.training.common.checkpoint.load_matching` for the errors."""
        self.load_state(load_matching(path, self.fingerprint))

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        self.generation = state["generation"]
        self.snes.restore(state["snes"])
        self.fitness.q_scaler, self._imported = state["q_scaler"], state["imported"]
        self.elite = Elite(**state["elite"])
