"""Keywords of ``nep.in`` as settings: the model of both engines, and the configuration of the gradient trainer.

The gradient engine uses the keywords of the evolution strategy that have a meaning for any training: ``generation``
limits the steps, ``lambda_1`` and ``lambda_2`` set the penalty, ``output_interval`` and ``save_potential`` count steps.
Keywords of the search distribution have no such meaning: ``initial_para`` and ``sigma0`` must have their defaults, and
``population`` is explained in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import NepInput
from tnep_calc.io.gpumd.nep_txt import read_nep

from ..nep.config import LossConfig, ModelConfig, OptimizerConfig, TrainingConfig, parse_config
from .folder import NEP, Folder, RunOptions

_MANY, _BATCH = 300, 64
"""Number of structures from which SOAP is better than Adam, and its batch size."""

EVOLUTION_ONLY = ("population", "initial_para", "sigma0")
"""Keywords that the gradient engine does not use."""


def model_config(options: NepInput) -> ModelConfig:
    """Return the model that a ``nep.in`` describes."""
    pairs = options.cutoff if len(options.cutoff) > 1 else options.cutoff * len(options.species)
    radial, angular = zip(*pairs, strict=True)
    return ModelConfig(
        options.kind, options.species, radial, angular, options.n_max, options.basis_size, options.l_max, options.neuron
    )


def gradient_config(folder: Folder, run: RunOptions) -> TrainingConfig:
    """Return the configuration of the gradient trainer for a folder.

    Raises
    ------
    InputError
        If ``nep.in``, ``train.xyz`` or the options of the run need something that the engine does not support.
    """
    options = folder.options
    _refuse(folder, run)
    model = model_config(options)
    tables = {
        "data": {
            "files": ["train.xyz"],
            "validation_fraction": 0.0,
            "test_fraction": 0.0,
            "fold_dipole": False,
            "allow_missing": True,
        },
        "model": {
            "kind": model.kind,
            "species": list(model.species),
            "radial_cutoff": list(model.radial_cutoffs),
            "angular_cutoff": list(model.angular_cutoffs),
            "n_max": list(model.n_max),
            "basis_size": list(model.basis_size),
            "l_max": list(model.l_max),
            "neurons": model.neurons,
        },
        "loss": {**_loss(folder), "weight_decay": weight_decay(options)},
        "optimizer": {
            "precision": run.precision,
            "threads": run.threads,
            "device": run.device,
            "memory_gb": run.memory_gb,
            **_steps(folder, run),
            **_first_method(folder),
        },
        "output": {"directory": ".", "keep_best": run.patience > 0},
    }
    if options.seed is not None:
        tables["model"]["seed"] = options.seed
    if "output_interval" in options.given:
        tables["output"]["report_interval"] = options.output_interval
    if run.scratch is not None:
        tables["optimizer"]["scratch"] = str(Path(run.scratch).resolve())
    if options.kind == "potential":
        tables["loss"] |= {"species_weights": list(options.type_weight), "force_delta": options.force_delta}
    if (start := _start(folder, run)) is not None:
        tables["model"] |= {"start": str(start.resolve()), "freeze_descriptor": options.fine_tune[2:] == ("0",)}
    config = parse_config(tables, folder.path.resolve())
    return replace(config, optimizer=replace(config.optimizer, patience=run.patience))  # test.xyz is the validation


def _refuse(folder, run):
    """Raise ``InputError``, with the reason, for keywords and options that the gradient engine does not support."""
    options, nep_in = folder.options, folder.path / "nep.in"

    def refuse(keyword, reason):
        raise InputError(f"{nep_in}, line {options.given.get(keyword, '?')}: '{keyword}': {reason}")

    snes = "remove the line, or use --engine snes"
    if options.import_q_scaler:
        refuse(
            "import_q_scaler",
            f"the gradient engine scales each descriptor by its spread and cannot import a scaling; {snes}",
        )
    if min(options.basis_size) == 0:
        refuse("basis_size", "the gradient engine needs at least 1, radial and angular; raise it, or use --engine snes")
    default = NepInput(options.species)
    if options.initial_para != default.initial_para:
        refuse(
            "initial_para",
            f"{options.initial_para:g} is for the descriptor scaling of the evolution strategy; the "
            f"gradient engine scales each descriptor by its spread; {snes}",
        )
    if options.sigma0 != default.sigma0:
        refuse(
            "sigma0",
            f"{options.sigma0:g} is the initial width of the search distribution of the evolution "
            f"strategy; the gradient engine has none; {snes}",
        )
    if options.save_potential[2]:
        refuse(
            "save_potential",
            "the third value 1 asks for copies of nep.restart, which the gradient engine does not "
            "have (its state is tnep_checkpoint.pt); make it 0, or use --engine snes",
        )
    if run.patience and not folder.test:
        raise InputError(
            f"{folder.path}: --patience needs a test.xyz, whose loss decides when to stop: add one, or "
            "train this folder without --patience"
        )
    if run.restarts > 1 and (options.fine_tune or run.start is not None):
        raise InputError(
            f"{folder.path}: --restarts needs random initial parameters, but --start or fine_tune gives those of a "
            "model: remove one of them"
        )
    if run.restarts > 1 and options.generation < 2:
        refuse("generation", "--restarts needs at least 2: a step before the choice, and one after it")


def _steps(folder: Folder, run: RunOptions) -> dict[str, int]:
    """Return the numbers of steps: those of ``--steps`` or the trainer, scaled down to at most ``generation``."""
    own = OptimizerConfig()
    wanted = [own.restart_steps, own.steps, own.lbfgs_steps]
    if run.steps is not None:
        wanted[1:] = [run.steps, run.steps]
    if run.restarts == 1:
        wanted[0] = 0
    before, first, lbfgs = limited(wanted, folder.options.generation)
    return {
        "restarts": run.restarts,
        "restart_steps": before or own.restart_steps,
        "steps": first,
        "lbfgs_steps": lbfgs,
    }


def limited(steps: Sequence[int], most: int) -> list[int]:
    """Return numbers of steps whose sum is at most `most`, in the same proportion; earlier ones are rounded up.

    Examples
    --------
    >>> limited([0, 300, 300], 25)
    [0, 13, 12]
    """
    if sum(steps) <= most:
        return list(steps)
    ends = [-(-most * sum(steps[: k + 1]) // sum(steps)) for k in range(len(steps))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def weight_decay(options: NepInput) -> float:
    """Return the weight of the quadratic penalty that corresponds to ``lambda_1`` and ``lambda_2``.

    It is the default of the trainer times the mean of the two, relative to GPUMD's default for both of them,
    ``sqrt(1e-6 * number of parameters / number of species)``.
    """
    default = replace(options, lambda_1=None, lambda_2=None).regularisation
    return LossConfig.weight_decay * sum(options.regularisation) / sum(default)


def describe(config: TrainingConfig, folder: Folder, run: RunOptions) -> list[str]:
    """Return log lines that explain how the gradient engine treats keywords of the evolution strategy."""
    o, options, given = config.optimizer, folder.options, folder.options.given
    lines = []
    if "population" in given:
        lines.append(
            f"population {options.population}: number of samples from which the evolution strategy estimates its "
            "direction; the gradient engine computes the exact one"
        )
    if "lambda_1" in given or "lambda_2" in given:
        lambda_1, lambda_2 = options.regularisation
        default = replace(options, lambda_1=None, lambda_2=None).regularisation[0]
        lines.append(
            f"lambda_1 {lambda_1:g}, lambda_2 {lambda_2:g} (GPUMD's default: {default:.3g}): weight decay "
            f"{config.loss.weight_decay:.3g} (default: {LossConfig.weight_decay:g})"
        )
    total = o.steps + o.lbfgs_steps + (o.restart_steps if o.restarts > 1 else 0)
    if total == options.generation:
        lines.append(f"generation {total}: the largest number of steps")
    if "output_interval" in given and config.output.report_interval > total:
        lines.append(
            f"output_interval {options.output_interval}: the run has only {total} steps, so loss.out gets one row, at "
            "the end"
        )
    if options.fine_tune:
        lines.append(f"fine_tune: parameters of {config.start}; {options.fine_tune[1]} is for the evolution strategy")
    if run.patience:
        lines.append(
            f"patience {run.patience}: after this many rows of loss.out without a smaller loss on test.xyz, the "
            "first-order steps, and then L-BFGS, end; the best model is kept, so its errors on test.xyz are slightly "
            "too small"
        )
    return lines


def _first_method(folder):
    """Return method and batch size of the first-order steps; ``batch`` of ``nep.in`` has precedence."""
    options, n = folder.options, len(folder.train)
    many = n >= _MANY
    batch = _BATCH if many and "batch" not in options.given else options.batch
    return {"method": "soap" if many else "adam", "batch": batch if batch < n and not options.full_batch else 0}


def _start(folder, run):
    """Return the checked path of the model that training starts from, None for random parameters."""
    if run.start is None and not folder.options.fine_tune:
        return None
    path = folder.path / folder.options.fine_tune[0] if run.start is None else Path(run.start)
    if path.resolve() == (folder.path / NEP).resolve():
        raise InputError(f"{path}: the run writes its result there; copy the model to start from to another name")
    parameters = read_nep(path, folder.options.kind)
    if str(parameters.zbl) != str(folder.zbl):
        raise InputError(f"{path} has the repulsion {parameters.zbl}, but nep.in has {folder.zbl}: make them equal")
    return path


def _loss(folder):
    """Weights of the loss: those of ``nep.in``, for errors relative to the spread of their targets."""
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
