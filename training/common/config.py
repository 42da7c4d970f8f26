"""Tables of configuration files: TOML parsed into frozen dataclasses, and the tables that all trainings share.

Every table of a file is one dataclass, every key one field, and the field's documentation is the key's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.files import files_matching, read_text
from tnep_calc.structures import FIELDS


@dataclass(frozen=True)
class BaseDataConfig:
    """Table ``[data]`` of every training.

    The fractions are fractions of the structures.  Structures of one geometry, such as calculations in several fields,
    are always in the same part.

    Attributes
    ----------
    files : tuple of str
        Data files in any format that ``tnep data`` reads; relative paths start at the folder of the configuration file.
        ``*``, ``?`` and ``[...]`` stand for any file that matches, sorted by name, and ``**`` for any folders.
    validation_fraction : float, default 0.1
        Fraction of the structures that are not fitted, but evaluated at every report.
    test_fraction : float, default 0.1
        Fraction of the structures that are evaluated once, at the end.
    seed : int, default 0
        Seed of the random split.
    fold_dipole : bool, default true
        Take dipole errors of periodic structures modulo e times the lattice vectors (the polarization quantum).
    keys : table, default {}
        Names of fields in the files, e.g. ``keys = { energy = "dft_energy" }``.
    """

    files: tuple[str, ...]
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0
    fold_dipole: bool = True
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseOutputConfig:
    """Table ``[output]`` of every training; the intervals count steps, or epochs of an enthalpy training.

    Attributes
    ----------
    directory : str
        Folder for all results; a relative path starts at the folder of the configuration file.
    report_interval : int, default 20
        Steps or epochs between two lines of progress (and rows of ``log.csv``).
    checkpoint_interval : int, default 50
        Steps or epochs between two checkpoints.  A checkpoint is also written when the last one is 30 s old, and when
        SIGINT (Ctrl-C) or SIGTERM stops the run.  Checkpoints do not change the result.
    """

    directory: str
    report_interval: int = 20
    checkpoint_interval: int = 50


@dataclass(frozen=True)
class EnsembleConfig:
    """Table ``[ensemble]``: several models of one configuration, each trained on another part of the structures.

    The structures that a member does not train on are its validation set, instead of ``data.validation_fraction``.
    ``data.test_fraction`` is set aside for all members.  The draws are those of calorine's ``setup_training``, except
    that structures of one geometry stay together.

    Attributes
    ----------
    n_splits : int, default 0
        Number of members; 0 = a single model.
    method : str, default "bagging"
        ``"bagging"``: random parts of the structures; ``"kfold"``: all but one of `n_splits` equal parts.
    train_fraction : float, default 0.9
        Fraction of the structures that a member trains on (bagging).  With 1.0 all members train on all structures and
        differ only in their seed; there are no validation structures then.
    seed : int, default 42
        Seed of the draws; member k starts from ``model.seed + k``.
    """

    n_splits: int = 0
    method: str = "bagging"
    train_fraction: float = 0.9
    seed: int = 42


LENGTHS = ("epochs", "steps", "lbfgs_steps", "restart_steps")
"""Keys of ``[optimizer]`` that set the length of a run; they may be changed for an existing run."""


@dataclass(frozen=True)
class BaseConfig:
    """A whole configuration file.

    Attributes
    ----------
    data, model, loss, optimizer, output
        The tables; each kind of training has its own ``[model]``, ``[loss]`` and ``[optimizer]``.
    base : Path
        Folder where relative paths start.
    ensemble : EnsembleConfig
        Several models instead of one.  It is not in `content`, as a member equals a single run with its structures.
    """

    data: BaseDataConfig
    model: Any
    loss: Any
    optimizer: Any
    output: BaseOutputConfig
    base: Path
    ensemble: EnsembleConfig = EnsembleConfig()

    @property
    def data_files(self) -> list[Path]:
        """Data files as paths; a pattern stands for all files that match it, sorted by name.

        A file that several entries name or match is read once.
        """
        found = [path for name in self.data.files for path in files_matching(self.base, name)]
        return list(dict.fromkeys(found))

    @property
    def directory(self) -> Path:
        """Output folder as a path."""
        return self.base / self.output.directory

    @property
    def start(self) -> Path | None:
        """Path of the file with the initial parameters; None if they are random."""
        return None

    def content(self) -> dict[str, Any]:
        """Return every setting that affects the result as plain values: no paths, memory, threads or device."""
        content = {name: asdict(getattr(self, name)) for name in ("data", "model", "loss", "optimizer")}
        del content["data"]["files"]
        for name in ("memory_gb", "threads", "device"):
            content["optimizer"].pop(name, None)
        return content

    def identity(self) -> dict[str, Any]:
        """Return the settings that identify a run: `content` without lengths, which may grow, and ``[output]``."""
        content = self.content()
        content.pop("output", None)
        content["optimizer"] = {name: value for name, value in content["optimizer"].items() if name not in LENGTHS}
        return content


Rules = Iterable[tuple[bool, str]]
"""Conditions on values, each with the error message for values that violate it."""


def check(rules: Rules) -> None:
    """Raise ``InputError`` for the first rule that does not hold."""
    for good, message in rules:
        if not good:
            raise InputError(message)


def one_of(key: str, value: str, known: tuple[str, ...]) -> tuple[bool, str]:
    """Return the rule that a value is one of some words."""
    return value in known, f"{key} must be {' or '.join(repr(word) for word in known)}, got '{value}'"


def common_rules(config: BaseConfig) -> list[tuple[bool, str]]:
    """Return the rules, other than bounds of numbers, that hold for every training."""
    d, species = config.data, config.model.species
    return [
        (len(d.files) > 0, "data.files must name at least one file"),
        (len(species) > 0 and len(set(species)) == len(species), "model.species must be different symbols"),
        (d.validation_fraction + d.test_fraction < 1, "data fractions must leave structures to train on"),
        (set(d.keys) <= set(FIELDS), f"data.keys may name only {', '.join(FIELDS)}; got {', '.join(d.keys)}"),
        one_of("ensemble.method", config.ensemble.method, ("bagging", "kfold")),
    ]


# -- from a file to dataclasses ----------------------------------------------------------------------------------------


def read_tables(path: str | Path) -> dict[str, Any]:
    """Return the tables of a file as nested mappings.

    Raises
    ------
    DataFileError
        If the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataFileError(f"{path}: cannot be read as a TOML configuration ({error})") from error


_Config = TypeVar("_Config", bound=BaseConfig)


def load(path: str | Path, output: str | None, parse: Callable[[dict[str, Any], Path], _Config]) -> _Config:
    """Read a configuration file.

    Parameters
    ----------
    path : path
        TOML file.
    output : str or None
        Replaces ``output.directory``; a relative path starts at the current folder.
    parse : callable
        Makes the configuration from nested mappings and the folder where relative paths start.

    Raises
    ------
    DataFileError
        If the file cannot be read or is not TOML.
    InputError
        If `parse` raises it; the name of the file is added.
    """
    path = Path(path)
    tables = read_tables(path)
    if output is not None and isinstance(table := tables.setdefault("output", {}), dict):
        table["directory"] = str(Path(output).resolve())
    try:
        return parse(tables, path.resolve().parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_tables(classes: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataclass of every known table, or raise ``InputError`` for unknown or invalid content.

    Parameters
    ----------
    classes : mapping
        Name of each known table -> its dataclass.
    tables : mapping
        Nested mappings, as TOML gives; a missing table has the defaults.
    """
    unknown = sorted(set(tables) - set(classes))
    if unknown:
        raise InputError(f"unknown table [{unknown[0]}]; known: {', '.join(f'[{name}]' for name in classes)}")
    return {name: _parse_table(cls, tables.get(name, {}), name) for name, cls in classes.items()}


def _parse_table(cls, table, name):
    if not isinstance(table, Mapping):
        raise InputError(f"'{name}' must be a table [{name}]")
    known = {f.name: f for f in fields(cls)}
    for key in table:
        if key not in known:
            raise InputError(f"unknown key '{key}' in [{name}]; known: {', '.join(known)}")
    values = {}
    for key, f in known.items():
        if key in table:
            values[key] = _convert(table[key], f.type, f"{name}.{key}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"key '{key}' is missing in [{name}]")
    return cls(**values)


_TYPES: dict[str, tuple[str, Any]] = {
    "str": ("a string", lambda v: isinstance(v, str)),
    "int": ("an integer", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    "float": ("a number", lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)),
    "bool": ("true or false", lambda v: isinstance(v, bool)),
    "tuple[str, ...]": ("a list of strings", lambda v: _is_list(v, str)),
    "tuple[int, ...]": ("a list of integers", lambda v: _is_list(v, int)),
    "float | tuple[float, ...]": (
        "a number or a list of numbers",
        lambda v: _is_list(v if isinstance(v, (list, tuple)) else [v], (int, float)),
    ),
    "tuple[float, ...]": ("a list of numbers", lambda v: _is_list(v, (int, float))),
    "Mapping[str, str]": ("a table of strings", lambda v: isinstance(v, Mapping) and _is_list([*v.values()], str)),
}
"""Annotation of a field, as text -> the expected value in words, and a function that tests a value."""


def _is_list(value, of):
    return isinstance(value, (list, tuple)) and all(isinstance(v, of) and not isinstance(v, bool) for v in value)


def _convert(value, annotation, where):
    if isinstance(annotation, type):  # in a module without postponed annotations
        annotation = annotation.__name__
    annotation = str(annotation)
    expected, fits = _TYPES[annotation]
    if not fits(value):
        raise InputError(f"{where} must be {expected}, got {value!r}")
    if annotation.startswith("float") and not isinstance(value, (list, tuple)):
        return float(value)
    if "tuple[float, ...]" in annotation:
        return tuple(map(float, value))
    return tuple(value) if annotation.startswith("tuple") else value
