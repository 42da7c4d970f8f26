"""The training loop of the enthalpy family: SOAP on batches of frames, averaged parameters, exact resume."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.datasets.values import field_of
from tnep_calc.device import CPU
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.progress import tracked
from tnep_calc.structures import LabelledStructure

from ..common import processes
from ..common.epochs import ADVICE, EpochTrainer
from ..common.memory import memory_errors_explained
from ..common.optimizers import SOAP, learning_rate
from ..common.splits import SPLITS
from .config import EnthalpyConfig
from .data import frames_of, read_structures, unseen_warnings
from .frames import Frame
from .initial import initialise
from .prediction import errors, predict
from .readout import by_ridge, fit_polarizability

log = logging.getLogger(__name__)

_WARM_UP, _OPEN = 0.02, 0.05  # of all steps: rise of the learning rate, and start of folded dipoles
_AVERAGE = 0.98  # of the running mean squared errors
_LOOKED_AT = 20  # structures of a split in the progress lines
_PER_ATOM = ("energy", "virial", "dipole")


class EnthalpyTrainer(EpochTrainer):
    """One training run.

    Parameters
    ----------
    config : EnthalpyConfig
    structures : list of LabelledStructure, optional
        Instead of reading the files of the configuration.
    indices : mapping of str to array of int, optional
        Structures of each split, instead of drawing them by the fractions of the configuration.
    pool : sequence of Frame, optional
        All structures precomputed, from another run with the same cutoff, instead of doing that.

    Attributes
    ----------
    device : torch.device
        Where frames, parameters and the state of the optimizer are; what is compared comes back as arrays.
    pool : sequence of Frame
        All structures; ``frames`` has them by split.
    training_structures : list of LabelledStructure
        Structures that the model is trained on.
    sites : EnthalpySites
        The model that is stepped.
    average : EnthalpySites
        Moving average of its parameters: the result.
    history : list of dict
        A row per report: epoch, and RMSE of each label of the averaged model on the splits.
    """

    config: EnthalpyConfig
    sites: EnthalpySites
    average: EnthalpySites

    def __init__(
        self,
        config: EnthalpyConfig,
        structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None,
        pool: Sequence[Frame] | None = None,
    ):
        super().__init__(config, config.loss.weights(), structures, indices, read_structures)
        opt, model, structures = config.optimizer, config.model, self.structures
        self.ridge = by_ridge(config, self.training_structures)
        if self.ridge:
            del self.weights["polarizability"]
        dtype = DTYPES[opt.precision]
        if model.hyperpolarizability and not any(field_of(s).any() for s in self.training_structures):
            raise InputError(
                f"model.hyperpolarizability is learned from structures in a field, but none of the "
                f"{len(self.indices['train'])} to train on has an electric_field (V/Å): add some, or leave the key out"
            )
        shape = SiteShape(len(model.species), model.n_radial, model.channels, model.hidden, model.hyperpolarizability)
        self.sites, self.average = EnthalpySites(shape, dtype), EnthalpySites(shape, dtype)
        pool = frames_of(config, structures) if pool is None else pool
        with memory_errors_explained(ADVICE):
            self.pool = [frame.to(self.device) for frame in pool]
        self.frames = {name: [self.pool[k] for k in self.indices[name]] for name in SPLITS if len(self.indices[name])}
        self.n_train = len(self.frames["train"])
        for line in unseen_warnings(self.frames, model.species):
            log.warning(line)
        # The start is found on the CPU: signs of eigenvectors, and with them the model, could be others elsewhere.
        without_pairs = [replace(frame, pairs=[]).to(CPU) for frame in self.frames["train"]]
        initialise(self.sites, without_pairs, model.seed)
        self.sites.to(self.device)
        self.average.to(self.device).load_state_dict(self.sites.state_dict())
        self.average.requires_grad_(False)
        last = [self.sites.w3]  # not decayed: outputs of labels with small weights would die
        matrices = [p for p in self.sites.parameters() if p.dim() > 2 and p is not self.sites.w3]
        vectors = [p for p in self.sites.parameters() if p.dim() == 2]
        decay = config.loss.weight_decay
        groups = [{"params": matrices, "weight_decay": decay}, {"params": last}, {"params": vectors, "stacked": 2}]
        self.optimizer = SOAP(groups, lr=opt.lr)
        self.mean_squares: dict[str, float] = {}
        self.begin_pass()

    def learning_rate(self, step: int) -> float:
        """Return the learning rate: linear rise, then half a cosine to a hundredth."""
        done = step / self.total_steps
        return learning_rate(self.config.optimizer.lr, done, (done + 1e-4) / _WARM_UP)

    # -- steps -----------------------------------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Draw the order of the training frames, and start the directions; they depend on seed and epoch alone."""
        seed = 1_000_003 * self.config.model.seed + self.epoch
        self._order = np.random.default_rng(seed).permutation(self.n_train)
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def train_on(self, chosen: np.ndarray) -> None:
        """Do one step on a batch of training frames."""
        frames = [self.frames["train"][k] for k in chosen]
        directions = None
        if "born_charges" in self.weights:
            drawn = torch.randn(len(frames), 1, 3, generator=self._generator, dtype=torch.float64, device="cpu")
            directions = torch.nn.functional.normalize(drawn, dim=2).to(self.device)
        sums = self._sums(frames, directions)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        zero = loss.new_zeros(())
        together = torch.stack([torch.stack([sums[name][0].detach(), zero + sums[name][1]]) for name in self.weights])
        processes.add_up(together)
        if not together[:, 1].any():  # of structures with a polarizability alone, which has its own fit
            self.step += 1
            return
        for name, (total, count) in zip(self.weights, together.tolist(), strict=True):  # waits for the device only once
            if not count:
                continue
            value = total / count
            if not math.isfinite(value):
                raise InputError(f"the error of {name} is not finite in step {self.step}: lower optimizer.lr")
            before = self.mean_squares.get(name, value)
            self.mean_squares[name] = _AVERAGE * before + (1 - _AVERAGE) * value
            loss = loss + self.weights[name] * sums[name][0] / (count * (self.mean_squares[name] + 1e-30))
        self.optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        processes.add_up_gradients(self.sites.parameters())
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.step()
        self.step += 1
        self.update_average()

    def _sums(self, frames: Sequence[Frame], directions: Tensor | None) -> dict[str, tuple[Tensor, int]]:
        """Return the sum of the squared errors of each label, and its number of frames, of this process's share."""
        places = processes.own_places(len(frames))
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        sums = dict.fromkeys(self.weights, (zero, 0))
        if not places:
            return sums
        own = [frames[k] for k in places]
        along = None if directions is None else directions[places]
        for k, (frame, result) in enumerate(zip(own, predict(self.sites, own, along), strict=True)):
            found = errors(frame, result, None if along is None else along[k])
            for name in self.weights:
                if name in found and not (name == "dipole" and self._branches_are_open()):
                    scale = 1 / frame.n_atoms if name in _PER_ATOM else 1.0
                    total, count = sums[name]
                    sums[name] = total + (found[name] * scale * frame.weight).square().mean().double(), count + 1
        return sums

    def _branches_are_open(self) -> bool:
        """Whether the model is too young for dipoles that are known up to a quantum: Born charges come first."""
        return self.step < _OPEN * self.config.optimizer.epochs * self.steps_per_epoch and self.dipole_can_wait()

    # -- looking ---------------------------------------------------------------------------------------------------

    def compare(self, name: str, count: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return labels, predictions of the averaged model, and groups, for (the first `count` frames of) a split.

        By label, rows are structures or atoms and columns components: energy in eV per atom, forces, the virial as
        stress in eV/Å³, dipole and polarizability per cell, complete Born charges.  Dipoles are folded: the label is
        the branch nearest to the prediction.  The group of a row is the species for Born charges, else 0.
        """
        found: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        directions = torch.eye(3, dtype=torch.float64, device=self.device)
        frames = self.frames[name][:count]
        for frame in tracked(frames, log, "structures predicted", len(frames)):
            result = predict(self.average, [frame], directions[None], create_graph=False)[0]
            result["born_charges"] = result["born"].permute(1, 0, 2)
            for label, error in errors(frame, result, directions).items():
                difference = _values(error.permute(1, 0, 2) if label == "born_charges" else error)
                value = _values(result[label])
                if label in ("energy", "virial"):
                    scale = 1 / frame.n_atoms if label == "energy" else -1 / (frame.volume or 1.0)
                    difference, value = scale * difference, scale * value
                rows = len(value) if label in ("forces", "born_charges") else 1
                group = frame.species.cpu().numpy() if label == "born_charges" else np.zeros(rows, dtype=int)
                value, difference = value.reshape(rows, -1), difference.reshape(rows, -1)
                found.setdefault(label, []).append((value - difference, value, group))
        return {
            label: tuple(np.concatenate(x) for x in zip(*parts, strict=True))  # type: ignore[misc]
            for label, parts in found.items()
        }

    def report(self) -> None:
        """Add a row to the history."""
        row: dict[str, Any] = {"epoch": self.epoch, "seconds": self.seconds}
        if self.ridge:
            fit = fit_polarizability(self.average, self.frames["train"])
            if self.finished:
                log.info("polarizability: %s", fit.words())
        for name in ("train", "validation"):
            if name in self.frames:
                for label, (target, prediction, _) in self.compare(name, _LOOKED_AT).items():
                    row[f"rmse_{label}_{name}"] = float(np.sqrt(np.square(prediction - target).mean()))
                    row[f"mae_{label}_{name}"] = float(np.abs(prediction - target).mean())
        self.history.append(row)

    # -- state -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the state of the base class, that of the random directions, and the running errors."""
        return super().state() | {"generator": self._generator.get_state(), "mean_squares": self.mean_squares}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        super().load_state(state)
        self._generator.set_state(state["generator"])
        self.mean_squares = state["mean_squares"]


def _values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
