"""The training loop of the enthalpy family: SOAP on batches of frames, averaged parameters, exact resume."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import DTYPES
from tnep_calc.datasets.values import field_of
from tnep_calc.device import CPU, resolve
from tnep_calc.errors import InputError
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.structures import LabelledStructure

from ..common.checkpoint import fingerprint, load_matching, save_checkpoint
from ..common.loop import run_steps
from ..common.memory import room_in_memory
from ..common.optimizers import SOAP, learning_rate
from ..common.splits import SPLITS, split_indices
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
_ROOM = "take fewer structures or a smaller cutoff"  # for a GPU that is full


class EnthalpyTrainer:
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
    sites : EnthalpySites
        The model that is stepped.
    average : EnthalpySites
        Moving average of its parameters: the result.
    history : list of dict
        A row per report: epoch, and RMSE of each label of the averaged model on the splits.
    """

    def __init__(
        self,
        config: EnthalpyConfig,
        structures: Sequence[LabelledStructure] | None = None,
        indices: Mapping[str, np.ndarray] | None = None,
        pool: Sequence[Frame] | None = None,
    ):
        torch.set_num_threads(config.optimizer.threads)
        self.config, opt, model = config, config.optimizer, config.model
        self.device = resolve(opt.device)
        self.weights = config.loss.weights()
        if structures is None:
            structures = read_structures(config)
        missing = [name for name in self.weights if all(getattr(s, name) is None for s in structures)]
        if missing:
            off = ", ".join(f"loss.{name} = 0" for name in missing)
            raise InputError(f"no structure has {', '.join(missing)}: set {off}, or give data.keys")
        self.fingerprint = fingerprint(config, structures)
        self.indices = dict(indices) if indices is not None else split_indices(structures, config)
        self.ridge = by_ridge(config, [structures[k] for k in self.indices["train"]])
        if self.ridge:
            del self.weights["polarizability"]
        dtype = DTYPES[opt.precision]
        if model.hyperpolarizability and not any(field_of(structures[k]).any() for k in self.indices["train"]):
            raise InputError(
                f"model.hyperpolarizability is learned from structures in a field, but none of the "
                f"{len(self.indices['train'])} to train on has an electric_field (V/Å): add some, or leave the key out"
            )
        shape = SiteShape(len(model.species), model.n_radial, model.channels, model.hidden, model.hyperpolarizability)
        self.sites, self.average = EnthalpySites(shape, dtype), EnthalpySites(shape, dtype)
        pool = frames_of(config, structures) if pool is None else pool
        with room_in_memory(_ROOM):
            self.pool = [frame.to(self.device) for frame in pool]
        self.frames = {name: [self.pool[k] for k in self.indices[name]] for name in SPLITS if len(self.indices[name])}
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
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, Any]] = []
        self._begin_pass()

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of one pass."""
        return math.ceil(len(self.frames["train"]) / self.config.optimizer.batch)

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run."""
        return self.config.optimizer.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Number of whole passes that are done."""
        return self.step // self.steps_per_epoch

    @property
    def progress(self) -> str:
        """Epochs that are done, for the log."""
        return f"{self.step / self.steps_per_epoch:.4g} of {self.config.optimizer.epochs} epochs"

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.step >= self.total_steps

    @property
    def report_due(self) -> bool:
        """Whether a report is due before the next step: never, as the first one follows the first epochs."""
        return False

    def learning_rate(self, step: int) -> float:
        """Return the learning rate: linear rise, then half a cosine to a hundredth."""
        done = step / self.total_steps
        return learning_rate(self.config.optimizer.lr, done, (done + 1e-4) / _WARM_UP)

    # -- running ---------------------------------------------------------------------------------------------------

    @room_in_memory(_ROOM)
    def run(self, on_report: Callable[[EnthalpyTrainer], None] | None = None, checkpoint: Path | None = None) -> None:
        """Train to the end, from the present state; arguments as :meth:`tnep_calc.training.nep.trainer.Trainer.run`.

        The intervals of ``[output]`` count epochs.
        """
        out, length = self.config.output, self.steps_per_epoch
        save = None if checkpoint is None else lambda: save_checkpoint(checkpoint, self.state())
        run_steps(self, length * out.report_interval, length * out.checkpoint_interval, on_report, save)

    def _begin_pass(self):
        """Draw the order of the training frames, and start the directions; they depend on seed and epoch alone."""
        seed = 1_000_003 * self.config.model.seed + self.epoch
        self._order = np.random.default_rng(seed).permutation(len(self.frames["train"]))
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def advance(self) -> None:
        """Do one step: the next batch of the pass over the training frames."""
        place, batch = self.step % self.steps_per_epoch, self.config.optimizer.batch
        if place == 0:
            self._begin_pass()
        chosen = self._order[place * batch : (place + 1) * batch]
        self._step([self.frames["train"][k] for k in chosen], self._generator)

    def _step(self, frames: list[Frame], generator: torch.Generator):
        directions = None
        if "born_charges" in self.weights:
            drawn = torch.randn(len(frames), 1, 3, generator=generator, dtype=torch.float64, device="cpu")
            directions = torch.nn.functional.normalize(drawn, dim=2).to(self.device)
        results = predict(self.sites, frames, directions)
        sums: dict[str, list[Tensor]] = {name: [] for name in self.weights}
        for k, (frame, result) in enumerate(zip(frames, results, strict=True)):
            found = errors(frame, result, None if directions is None else directions[k])
            for name in self.weights:
                if name in found:
                    scale = 1 / frame.n_atoms if name in _PER_ATOM else 1.0
                    sums[name].append((found[name] * scale * frame.weight).square().mean())
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        if self._branches_are_open():
            sums["dipole"] = []
        means = {name: torch.stack(parts).mean().double() for name, parts in sums.items() if parts}
        if not means:  # of structures with a polarizability alone, which has its own fit
            self.step += 1
            return
        values = torch.stack([mean.detach() for mean in means.values()]).tolist()  # waits for the device only once
        for (name, mean), value in zip(means.items(), values, strict=True):
            if not math.isfinite(value):
                raise InputError(f"the error of {name} is not finite in step {self.step}: lower optimizer.lr")
            before = self.mean_squares.get(name, value)
            self.mean_squares[name] = _AVERAGE * before + (1 - _AVERAGE) * value
            loss = loss + self.weights[name] * mean / (self.mean_squares[name] + 1e-30)
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            decay = min(self.config.optimizer.average, (1 + self.step) / (10 + self.step))
            for mean, parameter in zip(self.average.parameters(), self.sites.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)

    def _branches_are_open(self) -> bool:
        """Whether the model is too young for dipoles that are known up to a quantum: Born charges come first."""
        early = self.step < _OPEN * self.config.optimizer.epochs * self.steps_per_epoch
        return early and {"dipole", "born_charges"} <= set(self.weights) and self.config.data.fold_dipole

    # -- looking ---------------------------------------------------------------------------------------------------

    def compare(self, name: str, count: int | None = None) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return labels, predictions of the averaged model, and groups, for (the first `count` frames of) a split.

        By label, rows are structures or atoms and columns components: energy in eV per atom, forces, the virial as
        stress in eV/Å³, dipole and polarizability per cell, complete Born charges.  Dipoles are folded: the label is
        the branch nearest to the prediction.  The group of a row is the species for Born charges, else 0.
        """
        found: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}
        directions = torch.eye(3, dtype=torch.float64, device=self.device)
        for frame in self.frames[name][:count]:
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
        """Return all that is needed to go on exactly as if nothing had happened, on this device or another."""
        return {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "generator": self._generator.get_state(),
            "sites": self.sites.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "mean_squares": self.mean_squares,
            "history": self.history,
        }

    def restore(self, path: Path) -> None:
        """Take up the state of a checkpoint; errors as :meth:`tnep_calc.training.nep.trainer.Trainer.restore`."""
        state = load_matching(path, self.fingerprint)
        self.sites.load_state_dict(state["sites"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self._begin_pass()
        self._generator.set_state(state["generator"])
        self.mean_squares, self.history = state["mean_squares"], state["history"]


def _values(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
