"""Potentials of ``tnep fc``: given as a file or calculator, or trained from the displaced supercells."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from ..errors import InputError

KINDS = ("polymlp", "nep", "none")

NEP_DEFAULTS: dict[str, dict] = {
    "model": {
        "radial_cutoff": 8.0,
        "angular_cutoff": 6.0,
        "n_max": [7, 5],
        "basis_size": [8, 8],
        "l_max": [4, 2, 0],
        "neurons": 30,
    },
    "loss": {"energy": 0.03, "virial": 0.0, "weight_decay": 1e-9},
    "optimizer": {"method": "soap", "batch": 4, "lr": 0.005, "steps": 3000, "lbfgs_steps": 0},
    "output": {"report_interval": 100, "checkpoint_interval": 500},
}
"""Configuration of the NEP training for the small displacements of force constants, where it differs from that of
``tnep train``."""


def given_potential(args):
    """Return the potential that is given by --potential FILE, --energy or --calculator; None if there is none.

    Raises
    ------
    InputError
        If more than one is given, or options do not fit.
    """
    from ..phonons.anharmonic.potential import Potential, potential_of_file

    given = [name for name in ("potential", "energy", "calculator") if getattr(args, name) is not None]
    if len(given) > 1:
        raise InputError(f"give one of {' and '.join('--' + name for name in given)}")
    file = args.energy or (args.potential if args.potential not in (None, *KINDS) else None)
    if (file or args.calculator or args.potential == "none") and (args.settings or args.ntrain or args.ntest):
        raise InputError("--set, --ntrain and --ntest are for a potential that is trained: --potential polymlp or nep")
    if args.calculator:
        potential = Potential("calculator", args.calculator)
        potential()
        return potential
    return potential_of_file(file) if file else None


def fitting(args, data):
    """Return the function that trains the wanted kind of potential, ``fit(train, test, folder)``."""
    settings = dict(_setting(text) for text in args.settings)
    if args.potential == "nep":
        return lambda train, test, folder: _train_nep(data, train, Path(folder) / "nep", settings)
    from ..phonons.anharmonic.polymlp import polymlp_parameters, require_pypolymlp

    require_pypolymlp()
    parameters = polymlp_parameters(settings)
    return lambda train, test, folder: _train_polymlp(data, train, test, Path(folder), parameters)


def _setting(text: str):
    """Return name and value of ``NAME=VALUE``; the value is a number, a list of numbers (commas), or text."""
    name, sign, value = (part.strip() for part in text.partition("="))
    if not (name and sign and value):
        raise InputError(f"--set takes NAME=VALUE, got '{text}'")
    words = value.strip("[]").split(",")
    for candidate in (value, f"[{', '.join(words)}]" if len(words) > 1 else value):
        try:
            return name, tomllib.loads(f"x = {candidate}")["x"]
        except tomllib.TOMLDecodeError:
            continue
    return name, value


def _train_polymlp(data, train, test, folder, parameters):
    from ..io.files import atomic_output, sha256
    from ..phonons.anharmonic.polymlp import train_polymlp
    from ..phonons.anharmonic.potential import Potential

    path, record = folder / "polymlp.yaml", folder / "polymlp.json"
    content = {
        "parameters": {name: list(v) if isinstance(v, tuple) else v for name, v in parameters.items()},
        "train": [int(k) for k in train],
        "test": [int(k) for k in test],
    }
    if path.exists() and record.exists():
        known = json.loads(record.read_text())
        if known == content | {"sha256": sha256(path)}:
            print(f"{path} is used again")
            return Potential("polymlp", str(path))
    print(f"a polynomial potential is fitted to {len(train)} supercells", flush=True)
    train_polymlp(data, train, test, path, parameters)
    with atomic_output(record, force=True) as temporary:
        temporary.write_text(json.dumps(content | {"sha256": sha256(path)}, indent=1))
    return Potential("polymlp", str(path))


def _train_nep(data, train, folder, settings):
    """Train a NEP; what is not set differs from the defaults of ``tnep train`` as ``NEP_DEFAULTS`` says."""
    from ..io.structures.extxyz import write_dataset
    from ..phonons.anharmonic.potential import Potential
    from ..training.nep.config import parse_config
    from ..training.nep.run import run_training

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "supercells.extxyz"
    write_dataset(file, labelled(data, train), force=True)
    tables: dict[str, dict] = {name: dict(table) for name, table in NEP_DEFAULTS.items()}
    tables["model"] |= {"kind": "potential", "species": list(dict.fromkeys(data.supercell.symbols))}
    tables["data"] = {"files": [file.name], "validation_fraction": 0.0, "test_fraction": 0.0}
    tables["output"] |= {"directory": "."}
    for name, value in settings.items():
        table, dot, key = name.partition(".")
        if not dot or table not in ("model", "loss", "optimizer", "output"):
            raise InputError(f"--set of a NEP takes keys like model.neurons or optimizer.lbfgs_steps, got '{name}'")
        tables.setdefault(table, {})[key] = value
    results = folder / "results.json"
    if not (results.exists() and (folder / "nep.txt").exists()):
        run_training(parse_config(tables, folder))
    else:
        print(f"{folder / 'nep.txt'} is used again")
    return Potential("energy", str(folder / "nep.txt"))


def labelled(data, which):
    """Return displaced supercells with energies and forces as labelled structures."""
    import numpy as np

    from ..structures import LabelledStructure

    cell = data.supercell
    return [
        LabelledStructure(
            f"supercell {k + 1}",
            tuple(cell.symbols),
            cell.positions + data.displacements[k],
            np.array(cell.cell),
            np.array([True] * 3),
            energy=float(data.energies[k]),
            forces=data.forces[k],
        )
        for k in which
    ]


def print_errors(folder, data, potential, parts, executor) -> None:
    """Print the table of the errors of a potential, and write them to ``errors.json``."""
    from ..io.files import atomic_output
    from ..phonons.anharmonic.accuracy import ERROR_TABLE, potential_errors

    found = {name: potential_errors(data, potential, which, executor) for name, which in parts.items()}
    print(ERROR_TABLE)
    for name, errors in found.items():
        print(errors.row(name))
    with atomic_output(folder / "errors.json", force=True) as temporary:
        temporary.write_text(json.dumps({name: errors.content() for name, errors in found.items()}, indent=1))
