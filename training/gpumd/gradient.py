"""The gradient engine in a GPUMD training folder: the trainer of ``tnep train`` on all structures of ``train.xyz``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tnep_calc.conventions import GPUMD_ORDER, from_six
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd_training import parity_tables, table_errors
from tnep_calc.io.nep_keywords import MAX_NEURONS
from tnep_calc.io.nep_txt import read_nep

from ..checkpoint import load_checkpoint, save_checkpoint
from ..config import TrainingConfig, parse_config
from ..moments import STRAIN_ORDER
from ..pool import MomentPool
from ..trainer import Trainer
from .evaluate import without_zbl
from .folder import CHECKPOINT, NEP, RESTART, Folder, RunOptions
from .snes_trainer import model_config

log = logging.getLogger(__name__)

_MANY, _BATCH = 300, 64
"""Structures from which on SOAP on batches of so many is the better start."""

REPLACED = {
    "population": "steps of first order and of L-BFGS", "generation": "steps of first order and of L-BFGS",
    "lambda_1": "a weight decay of {weight_decay:g}",
    "lambda_2": "a weight decay of {weight_decay:g}", "initial_para": "whitened descriptors", "sigma0": "nothing",
    "save_potential": "a checkpoint every {checkpoint_interval} steps",
    "output_interval": "a report every {report_interval} steps",
}  # fmt: skip
"""Keywords of the evolution strategy, and what the gradient engine has instead."""

_AS_EVALUATED = {"atomic_dipole": "dipoles", "atomic_polarizability": "polarizabilities"}
"""Names in :func:`tnep_calc.training.gpumd.evaluate.evaluate` where they differ from those of labels."""


def gradient_config(folder: Folder, run: RunOptions) -> TrainingConfig:
    """Return the configuration of the gradient trainer for a folder.

    Raises
    ------
    InputError
        If ``nep.in`` or ``train.xyz`` ask for a loss that the gradient engine does not have.
    """
    options = folder.options
    if options.import_q_scaler:
        raise InputError(
            f"{folder.path / 'nep.in'}, line {options.given.get('import_q_scaler', '?')}: 'import_q_scaler': the "
            "gradient engine scales each descriptor by its spread and has no given scaling; remove the line, or use "
            "--engine snes"
        )
    if options.kind == "potential" and any(frame.energy_weight != 1 for frame in folder.train):
        raise InputError(
            f"{folder.path / 'train.xyz'}: 'energy_weight' is not supported; remove it, or use 'weight'"
        )
    model = model_config(options)
    tables = {
        "data": {"files": ["train.xyz"], "validation_fraction": 0.0, "test_fraction": 0.0, "fold_dipole": False,
                 "allow_missing": True},
        "model": {
            "kind": model.kind, "species": list(model.species), "radial_cutoff": list(model.radial_cutoffs),
            "angular_cutoff": list(model.angular_cutoffs), "n_max": list(model.n_max),
            "basis_size": list(model.basis_size), "l_max": list(model.l_max), "neurons": model.neurons,
        },
        "loss": _loss(folder),
        "optimizer": {"precision": run.precision, "threads": run.threads, "device": run.device,
                      "memory_gb": run.memory_gb, **_first_method(folder)},
        "output": {"directory": ".", "keep_best": False},
    }  # fmt: skip
    if options.seed is not None:
        tables["model"]["seed"] = options.seed
    if run.steps is not None:
        tables["optimizer"] |= {"steps": run.steps, "lbfgs_steps": run.steps}
    if options.kind == "potential":
        tables["loss"] |= {"species_weights": list(options.type_weight), "force_delta": options.force_delta}
    if (start := _start(folder, run)) is not None:
        tables["model"] |= {"start": str(start.resolve()), "freeze_descriptor": options.fine_tune[2:] == ("0",)}
    return parse_config(tables, folder.path.resolve())


def _first_method(folder):
    """Return method and batch of the first steps; of many structures small batches, unless ``nep.in`` has its own."""
    options, n = folder.options, len(folder.train)
    many = n >= _MANY
    batch = _BATCH if many and "batch" not in options.given else options.batch
    return {"method": "soap" if many else "adam", "batch": batch if batch < n and not options.full_batch else 0}


def _start(folder, run):
    """Return the file that the parameters start from, checked."""
    if run.start is None and not folder.options.fine_tune:
        return None
    path = folder.path / folder.options.fine_tune[0] if run.start is None else Path(run.start)
    if path.resolve() == (folder.path / NEP).resolve():
        raise InputError(f"{path}: the run writes its result there; copy the model to start from to another name")
    parameters = read_nep(path, folder.options.kind)
    if str(parameters.zbl) != str(folder.zbl):
        raise InputError(f"{path} has the repulsion {parameters.zbl}, nep.in asks for {folder.zbl}: make them equal")
    return path


def _loss(folder):
    """Weights of the loss: those of ``nep.in``, of errors relative to the spread of their targets."""
    options = folder.options
    if options.model_type:
        names = {options.kind: 0.0, f"atomic_{options.kind}": 0.0}
        fitted = f"atomic_{options.kind}" if options.atomic_v else options.kind
        shear = {"shear": options.lambda_shear} if options.kind == "polarizability" else {}
        return names | {fitted: options.lambda_v} | shear
    weights = {"energy": options.lambda_e, "forces": options.lambda_f, "virial": options.lambda_v}
    if all(frame.structure.virial is None for frame in folder.train):
        weights["virial"] = 0.0
    return weights | {"shear": options.lambda_shear}


def _structures(frames):
    """Return the structures with weights and targets of atoms as the trainer has them."""
    result = []
    for frame in frames:
        tensors = frame.atomic_polarizability
        result.append(replace(
            frame.structure, weight=frame.weight, atomic_dipole=frame.atomic_dipole,
            atomic_polarizability=None if tensors is None else from_six(tensors, GPUMD_ORDER),
        ))  # fmt: skip
    return result


def train_gradient(folder: Folder, run: RunOptions, pool: MomentPool | None = None) -> None:
    """Train by gradients, with GPUMD's files; goes on from our checkpoint if there is one.

    In ``loss.out`` the generation is the number of steps, the total that of the gradient trainer (squared errors
    relative to the spread of the targets), L1 is 0 and L2 the weight decay; the errors are GPUMD's.
    """
    options, zbl = folder.options, folder.zbl
    config = gradient_config(folder, run)
    given = {"weight_decay": config.loss.weight_decay, "checkpoint_interval": config.output.checkpoint_interval,
             "report_interval": config.output.report_interval}  # fmt: skip
    replaced = [f"{name} ({text.format(**given)})" for name, text in REPLACED.items() if name in options.given]
    if options.fine_tune:
        replaced.append(f"{options.fine_tune[1]} of fine_tune (parameters of {config.start})")
    elif (folder.path / RESTART).exists():
        replaced.append(f"{RESTART} ({'parameters of ' + str(config.start) if config.start else 'random parameters'})")
    if replaced:
        log.warning("of the evolution strategy, and not used by the gradient engine (what it has instead): %s",
                    ", ".join(replaced))  # fmt: skip
    frames = folder.train if zbl is None else without_zbl(folder.train, options, zbl)
    known = sum(frame.structure.virial is not None for frame in frames)
    if options.kind == "potential" and options.lambda_v > 0 and known < len(frames):
        log.info("virials: %d of %d structures have one", known, len(frames))
    trainer = _FolderTrainer(config, _structures(frames), folder, pool)
    checkpoint = folder.path / CHECKPOINT
    if checkpoint.exists():
        trainer.restore(checkpoint)
        folder.trim_loss(load_checkpoint(checkpoint)["loss_rows"])
        log.info("going on from %s after %s", checkpoint, trainer.progress)
    log.info("gradient engine: %d parameters, %d structures, %d to test; %d steps (%s), %d of L-BFGS; moments: %s; "
             "weights %s",
             trainer.model.n_parameters, len(frames), len(folder.test), config.optimizer.steps,
             config.optimizer.method, config.optimizer.lbfgs_steps, trainer.storage,
             ", ".join(f"{k} {v:g}" for k, v in trainer.weights.items()))  # fmt: skip

    def parameters():
        return replace(trainer.parameters(), zbl=zbl)

    _check_neurons(parameters().neurons, config.model.neurons, folder)

    def report(t: Trainer):
        if t.step == 0:
            return
        if len(t.weights) == len(folder.error_names):
            order = [frames[k] for k in t.indices["train"]]
            tables = parity_tables(options.kind, order, _evaluated(t.evaluate("train")), options.atomic_v)
        else:
            tables = folder.tables(parameters(), folder.train)
        errors = table_errors(tables, options.atomic_v)
        penalty = config.loss.weight_decay * float(t.vector.detach().square().mean())
        loss = t.history[-1]["loss_train"] + penalty
        folder.report(t.step, (loss, 0.0, penalty), [errors[name] for name in folder.error_names], parameters())

    if not checkpoint.exists():
        save_checkpoint(checkpoint, trainer.state())  # from here on, a killed run goes on by itself
    trainer.run(report, checkpoint)
    folder.write_train(parameters())


def _check_neurons(written, trained, folder):
    """Say that ``nep.txt`` has one neuron more than ``nep.in``, or raise ``InputError`` if GPUMD would not read it."""
    if written == trained:
        return
    if written > MAX_NEURONS:
        raise InputError(
            f"{folder.path / 'nep.in'}: 'neuron' is {trained}, and nep.txt needs one more, which carries the constants "
            f"of the species; GPUMD reads at most {MAX_NEURONS}: use {MAX_NEURONS - 1}, or --engine snes"
        )
    log.info("nep.txt has %d neurons: one more than nep.in, which carries the constants of the species", written)


class _FolderTrainer(Trainer):
    """Trainer whose checkpoints know the length of ``loss.out``, and settings for the report."""

    def __init__(self, config, structures, folder: Folder, pool: MomentPool | None):
        super().__init__(config, structures, pool=pool)
        self._folder = folder

    def state(self):
        o, loss = self.config.optimizer, self.config.loss
        used = {"engine": "gradient", "method": o.method, "steps": o.steps, "lbfgs_steps": o.lbfgs_steps,
                "batch": o.batch or "all", "precision": o.precision, "weight_decay": loss.weight_decay}  # fmt: skip
        return {**super().state(), "loss_rows": self._folder.loss_rows(), "used": used}


def _evaluated(predictions):
    """Return predictions of the trainer as :func:`parity_tables` takes them."""
    out = {}
    for name, value in predictions.items():
        array = value.detach().double().numpy()
        if name in ("virial", "polarizability", "atomic_polarizability"):
            array = from_six(array, STRAIN_ORDER)
        out[_AS_EVALUATED.get(name, name)] = array
    return out
