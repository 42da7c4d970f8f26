"""Potentials of ``tnep fc``: given as a file or calculator, or trained from the displaced supercells."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path

from ..errors import InputError

KINDS = ("polymlp", "nep", "none")


def given_potential(args):
    """Return the potential of ``--potential FILE``, ``--energy`` or ``--calculator``, or None if none of them is given.

    Raises
    ------
    InputError
        If more than one is given, or if options of the training are given for a potential that is not trained.
    """
    from ..phonons.anharmonic.potential import Potential, potential_of_file

    given = [name for name in ("potential", "energy", "calculator") if getattr(args, name) is not None]
    if len(given) > 1:
        raise InputError(f"give one of {' and '.join('--' + name for name in given)}")
    file = args.energy or (args.potential if args.potential not in (None, *KINDS) else None)
    if (file or args.calculator or args.potential == "none") and (args.settings or args.ntrain or args.ntest):
        raise InputError("--set, --ntrain and --ntest need a potential to be trained: --potential polymlp or nep")
    if args.calculator:
        potential = Potential("calculator", args.calculator)
        potential()
        return potential
    return potential_of_file(file) if file else None


def fitting(args, data):
    """Return the function ``fit(train, test, folder)`` that trains the potential of ``--potential``."""
    settings = dict(_setting(text) for text in args.settings)
    if args.potential == "nep":
        from ..training.nep.linear.supercells import nep_settings

        of_nep = nep_settings(settings)
        return lambda train, test, folder: _fit_nep(data, train, test, Path(folder) / "nep", of_nep)
    from ..phonons.anharmonic.polymlp import polymlp_parameters, require_pypolymlp

    require_pypolymlp()
    parameters = polymlp_parameters(settings)
    return lambda train, test, folder: _train_polymlp(data, train, test, Path(folder), parameters)


def _setting(text: str):
    """Return name and value of ``NAME=VALUE``; the value is a number, a comma-separated list of numbers, or text."""
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
    from ..phonons.anharmonic.polymlp_fit import train_polymlp
    from ..phonons.anharmonic.potential import Potential

    path = folder / "polymlp.yaml"
    with _fitted_once(path, folder / "polymlp.json", parameters, train, test) as missing:
        if missing:
            print(f"fitting a polynomial potential to {len(train)} supercells", flush=True)
            train_polymlp(data, train, test, path, parameters)
    return Potential("polymlp", str(path))


@contextlib.contextmanager
def _fitted_once(path, record, parameters, train, test):
    """Yield whether the potential has to be fitted, and record afterwards from what it was fitted."""
    from ..io.content import read_json
    from ..io.files import atomic_output, sha256

    content = {
        "parameters": {name: list(v) if isinstance(v, tuple) else v for name, v in parameters.items()},
        "train": [int(k) for k in train],
        "test": [int(k) for k in test],
    }
    known = read_json(record, "the settings of a previous fit; delete it") if record.exists() else None
    if path.exists() and known == content | {"sha256": sha256(path)}:
        print(f"using {path} of the previous run")
        yield False
        return
    yield True
    with atomic_output(record, force=True) as temporary:
        temporary.write_text(json.dumps(content | {"sha256": sha256(path)}, indent=1))


def _fit_nep(data, train, test, folder, parameters):
    from ..phonons.anharmonic.potential import Potential
    from ..training.nep.linear.supercells import fit_nep

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nep.txt"
    with _fitted_once(path, folder / "nep.json", parameters, train, test) as missing:
        if missing:
            print(f"fitting a NEP to {len(train)} supercells", flush=True)
            checkpoint = folder / "equations.npz"
            fit_nep(data, train, test, path, parameters, checkpoint)
            checkpoint.unlink(missing_ok=True)
    return Potential("energy", str(path))


def print_errors(folder, data, potential, parts, executor) -> dict[str, dict]:
    """Print a table of the errors of a potential, and write them to ``errors.json`` in `folder`.

    Parameters
    ----------
    folder : Path
        Output folder.
    data : SupercellData
        Displaced supercells with energies and forces.
    potential : Potential
        Potential to test.
    parts : dict of str to sequence of int
        Name of each row of the table, and the indices of its supercells.
    executor : Executor or None
        Computes the supercells in parallel.

    Returns
    -------
    dict of str to dict
        The content of ``errors.json``.
    """
    from ..io.files import atomic_output
    from ..phonons.anharmonic.accuracy import ERROR_TABLE, potential_errors

    found = {name: potential_errors(data, potential, which, executor) for name, which in parts.items()}
    print(ERROR_TABLE)
    for name, errors in found.items():
        print(errors.row(name))
    content = {name: errors.content() for name, errors in found.items()}
    with atomic_output(folder / "errors.json", force=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1))
    return content
