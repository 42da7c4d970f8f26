"""Start of the evolution strategy: a search distribution, and the descriptor scaling that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tnep_calc.errors import DataFileError, InputError, ModelFileError
from tnep_calc.io.gpumd.nep_parameters import KINDS, ZBL, NepParameters
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.io.gpumd.training_output import read_restart

from ..folder import NEP, OLD, RESTART, Folder
from ..keywords import model_config
from .parameters import ParameterOrder


@dataclass(frozen=True)
class Start:
    """Start of a run; the trainer draws or computes what is None.

    Attributes
    ----------
    path : Path or None
        The ``nep.restart`` with the distribution.
    distribution : tuple of two ndarray, shape (n_parameters,), or None
        Means and widths.
    q_scaler : ndarray, shape (dim,), or None
        Descriptor scaling.
    """

    path: Path | None = None
    distribution: tuple[np.ndarray, np.ndarray] | None = None
    q_scaler: np.ndarray | None = None

    def __post_init__(self):
        if self.distribution is not None and not self.distribution[1].any():
            raise DataFileError(
                f"{self.path}: the width of every parameter is 0, so no parameter would change: start from another file"
            )


def find_start(folder: Folder, restart: bool = False) -> Start:
    """Return the start of a run in a folder: from ``nep.restart``, or from some species of a model (``fine_tune``).

    Parameters
    ----------
    folder : Folder
    restart : bool, default False
        Ignore the ``nep.restart`` of a previous run.

    Raises
    ------
    InputError
        If ``nep.in`` does not fit the files it names.
    ModelFileError, DataFileError
        If one of these files cannot be read.
    """
    options, path = folder.options, folder.path / RESTART
    if options.fine_tune:
        return _fine_tuned(folder, restart)
    if restart or not path.exists():
        return Start(q_scaler=_imported(folder))
    return Start(path, read_restart(path, options.n_parameters), _imported(folder))


def _imported(folder):
    """Return the descriptor scaling of ``import_q_scaler``, None without this keyword."""
    path, options = folder.path / NEP, folder.options
    if not options.import_q_scaler:
        return None
    q_scaler = read_nep(path).q_scaler
    if len(q_scaler) != options.dim:
        raise ModelFileError(
            f"{path}: expected {options.dim} descriptor components as in nep.in, found {len(q_scaler)}: its q_scaler "
            "cannot be imported"
        )
    return q_scaler


def _fine_tuned(folder: Folder, fresh: bool) -> Start:
    """Return the start that ``fine_tune`` describes, with GPUMD's meaning.

    Means and widths are those of the given ``nep.restart`` for the species of ``nep.in``, and the descriptor scaling is
    that of the given ``nep.txt``.  The means therefore predict exactly the same as those of the given model.  The
    parameters in ``nep.txt`` itself, one draw from the distribution, are not used.  The descriptor coefficients are
    trained unless ``train_descriptor`` (the third value) is 0; then their widths are 0 and they keep the means of
    ``nep.restart``.

    Sources: https://gpumd.org/nep/input_parameters/fine_tune.html (the architecture must be repeated in ``nep.in``);
    import_q_scaler.html there and pull request 1605 of GPUMD (the scaling is taken over); pull request 1295 (the
    coefficients are trained by default since January 2026; before, they were fixed).  GPUMD before pull request 1599
    always kept the angular coefficients.
    """
    nep_in, options = folder.path / "nep.in", folder.options
    model, restart = (folder.path / name for name in options.fine_tune[:2])
    for path, own in ((model, NEP), (restart, RESTART), (restart, f"{RESTART}{OLD}")):
        if path.resolve() == (folder.path / own).resolve():
            raise InputError(f"{path}: the run writes its result there; copy the file to start from to another name")
    if options.import_q_scaler:
        raise InputError(f"{nep_in}: fine_tune takes the descriptor scaling of {model}; remove 'import_q_scaler'")
    if not fresh and (folder.path / RESTART).exists():
        raise InputError(
            f"{folder.path / RESTART} exists, but fine_tune of nep.in starts from {restart}: use --restart to start "
            "there, or resume from the existing file with 'import_q_scaler 1' in place of fine_tune"
        )
    parameters = read_nep(model)
    _check_model(parameters, model, folder)
    config = model_config(options)
    whole = ParameterOrder(
        replace(
            config,
            species=parameters.species,
            radial_cutoff=tuple(parameters.radial_cutoffs),
            angular_cutoff=tuple(parameters.angular_cutoffs),
        )
    )
    layout = ParameterOrder(config)
    places = layout.places_in(whole)
    mu, sigma = (values[places] for values in read_restart(restart, whole.n_parameters, str(model)))
    if options.fine_tune[2:] == ("0",):
        sigma[layout.n_networks :] = 0
    return Start(restart, (mu, sigma), parameters.q_scaler)


def _check_model(p: NepParameters, path: Path, folder: Folder) -> None:
    """Raise if the architecture of ``nep.in`` is not that of a model, or the model lacks a species."""
    options, nep_in = folder.options, folder.path / "nep.in"
    if p.version != 4:
        raise ModelFileError(f"{path}: expected a model of version 4, like its nep.restart, found nep{p.version}")
    missing = [s for s in options.species if s not in p.species]
    if missing:
        raise InputError(
            f"{nep_in}: {path} has no {' '.join(missing)} (it has {' '.join(p.species)}): fine_tune needs species that "
            "the model was trained on"
        )
    own = [p.species.index(s) for s in options.species]
    cutoffs = options.cutoff if len(options.cutoff) > 1 else options.cutoff * len(own)
    asked = _header(options.kind, cutoffs, options.n_max, options.basis_size, options.l_max, options.neuron, folder.zbl)
    of_file = np.transpose([p.radial_cutoffs[own], p.angular_cutoffs[own]])
    found = _header(p.kind, of_file, p.n_max, p.basis_size, (p.l_max, *p.extra), p.neurons, p.zbl)
    wrong = [f"'{name}' must be {found[name]}, found {asked[name]}" for name in asked if asked[name] != found[name]]
    if wrong:
        raise InputError(f"{nep_in}: fine_tune keeps the architecture of {path}: {'; '.join(wrong)}")


def _header(kind, cutoffs, n_max, basis_size, l_max, neurons, zbl):
    """Return the architecture as text, by keyword of ``nep.in``, with as many digits as in a ``nep.txt``."""
    numbers = {
        "cutoff": np.ravel(cutoffs),
        "n_max": n_max,
        "basis_size": basis_size,
        "l_max": [l_max[0], *map(bool, l_max[1:])],
        "neuron": [neurons],
    }
    words = {name: " ".join(f"{number:g}" for number in values) for name, values in numbers.items()}
    return {"model_type": f"{KINDS.index(kind)} ({kind})", **words, "zbl": _zbl_words(zbl)}


def _zbl_words(zbl: ZBL | None) -> str:
    if zbl is None:
        return "absent"
    if zbl.flexible is not None:
        return "flexible (which is not supported)"
    factor = "" if zbl.typewise_factor is None else f" with use_typewise_cutoff_zbl {zbl.typewise_factor:g}"
    return f"{zbl.outer:g} (from {zbl.inner:g}){factor}"
