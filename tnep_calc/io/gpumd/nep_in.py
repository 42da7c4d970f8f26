"""GPUMD's ``nep.in``: read, check and write every keyword of the ``nep`` program.

Keywords, defaults and limits are those of GPUMD 5.6 (https://gpumd.org/nep/input_parameters).  A keyword is either
applied, refused with a reason, or listed in ``NepInput.without_effect`` if it has no meaning for the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from ...errors import DataFileError, InputError
from ..files import atomic_output, read_text
from .nep_keywords import KEYWORDS, REFUSED
from .nep_parameters import KINDS, descriptor_dim

MAX_ANGULAR_DIM, MAX_DIM = 90, 103
"""Largest angular and total numbers of descriptor components."""


@dataclass(frozen=True)
class NepInput:
    """The content of a ``nep.in``; a field has the name of its keyword unless stated otherwise.

    Attributes
    ----------
    species : tuple of str
        Keyword ``type``: chemical symbols, in the order of ``nep.txt``.
    model_type : int
        0 potential, 1 dipole, 2 polarizability (or susceptibility).  The older name of the keyword is ``mode``.
    prediction : int
        1: evaluate ``nep.txt`` on ``train.xyz`` instead of training.
    cutoff : tuple of (float, float), in Å
        Radial and angular cutoff, either one pair for all species or one per species.
    n_max, basis_size : tuple of 2 int
        Radial and angular value.
    l_max : tuple of 7 int
        Largest l of the 3-body terms, then switches of the blocks 222, 1111, 112, 123, 233, 134 (0 = off).
    neuron : int
        Neurons of the hidden layer.
    population, generation : int
        Size of the population and number of generations of the evolution strategy.
    batch : int
        Structures per batch.
    full_batch : bool
        Second value of ``batch``: every generation uses the loss of all batches.
    lambda_1, lambda_2 : float or None
        Weights of the regularisation; None = ``sqrt(1e-6 * number of parameters / number of species)``.
    lambda_e, lambda_f, lambda_v : float
        Weights of energy, force and virial errors.  For model types 1 and 2, ``lambda_v`` weighs the error of the
        dipole or polarizability, and the other two are 0.
    lambda_shear : float
        Weight of off-diagonal components of virials and polarizabilities; their squared errors get its square.
    atomic_v : bool
        Fit dipoles or polarizabilities of atoms (``adipole``, ``apol``) instead of totals.
    type_weight : tuple of float
        Weight of the squared force errors of each species.
    force_delta : float, in eV/Å
        Reduces the weight of large forces F by ``1 / (1 + F / force_delta)``; 0 = equal weights.
    zbl : float or None, in Å
        Outer cutoff of the ZBL repulsion (the inner one is half of it); None = no repulsion.
    use_typewise_cutoff_zbl : float or None
        Factor on the sum of covalent radii that limits the cutoff of the repulsion per pair; None = not used.
    fine_tune : tuple of str, length 0, 2 or 3
        A ``nep.txt`` and a ``nep.restart`` to start from, and optionally "1" or "0": train the descriptor coefficients
        or keep them.
    import_q_scaler : bool
        Take the descriptor scaling from an existing ``nep.txt``.
    save_potential : tuple of 3 int
        Generations between saved copies of ``nep.txt``, their naming (0: ``nep_gen<generation>.txt``, 1: with date and
        time), and whether ``nep.restart`` is saved too.
    output_interval : int
        Generations between rows of ``loss.out`` and updates of ``nep.txt``, ``nep.restart`` and ``*_test.out``.
    output_descriptor : int
        Content of ``descriptor.out`` in prediction: 0 no file, 1 a row per structure, 2 a row per atom.
    initial_para : float
        Value of the parameters for which the descriptor scaling is determined.
    sigma0 : float
        Initial width of the search distribution.
    seed : int or None
        Seed of the random numbers (keyword of newer GPUMD versions); None = the program's default.
    given : mapping of str to int
        Line number of each keyword of the file; ignored in comparisons.
    without_effect : mapping of str to str
        Keywords of the file that have no meaning for the model type or in training, with the reason; ignored in
        comparisons.
    """

    species: tuple[str, ...]
    model_type: int = 0
    prediction: int = 0
    cutoff: tuple[tuple[float, float], ...] = ((8.0, 4.0),)
    n_max: tuple[int, int] = (6, 6)
    basis_size: tuple[int, int] = (6, 6)
    l_max: tuple[int, ...] = (4, 1, 0, 0, 0, 0, 0)
    neuron: int = 30
    population: int = 50
    generation: int = 100000
    batch: int = 1000
    full_batch: bool = False
    lambda_1: float | None = None
    lambda_2: float | None = None
    lambda_e: float = 1.0
    lambda_f: float = 1.0
    lambda_v: float = 0.1
    lambda_shear: float = 1.0
    atomic_v: bool = False
    type_weight: tuple[float, ...] = ()
    force_delta: float = 0.0
    zbl: float | None = None
    use_typewise_cutoff_zbl: float | None = None
    fine_tune: tuple[str, ...] = ()
    import_q_scaler: bool = False
    save_potential: tuple[int, int, int] = (100000, 1, 0)
    output_interval: int = 100
    output_descriptor: int = 0
    initial_para: float = 1.0
    sigma0: float = 0.1
    seed: int | None = None
    given: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    without_effect: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def kind(self) -> str:
        """``"potential"``, ``"dipole"`` or ``"polarizability"``."""
        return KINDS[self.model_type]

    @property
    def extra(self) -> tuple[bool, ...]:
        """Whether each of ``EXTRA_BLOCKS`` is used."""
        return tuple(bool(flag) for flag in self.l_max[1:])

    @property
    def dim(self) -> int:
        """Number of descriptor components."""
        return descriptor_dim(self.n_max, self.l_max[0], self.extra)

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters of networks and descriptor expansions."""
        t = len(self.species)
        networks = 2 if self.model_type == 2 else 1
        coefficients = sum((n + 1) * (k + 1) for n, k in zip(self.n_max, self.basis_size, strict=True))
        return networks * ((self.dim + 2) * self.neuron * t + 1) + t * t * coefficients

    @property
    def regularisation(self) -> tuple[float, float]:
        """``lambda_1`` and ``lambda_2`` with their defaults filled in."""
        default = math.sqrt(1e-6 * self.n_parameters / len(self.species))
        return tuple(default if v is None else v for v in (self.lambda_1, self.lambda_2))  # type: ignore[return-value]


def read_nep_in(path: str | Path) -> NepInput:
    """Read a ``nep.in``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    NepInput

    Raises
    ------
    InputError
        If the file cannot be read, a keyword is unknown, not supported, repeated or in the wrong order, or a value is
        not what is expected; the message names file, line and keyword.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except DataFileError as error:
        raise InputError(f"{path}: cannot be read as a nep.in ({error})") from error
    values: dict[str, Any] = {}
    given: dict[str, int] = {}
    asked: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        keyword = "model_type" if words[0] == "mode" else words[0]

        def fail(reason, number=number, word=words[0]):
            raise InputError(f"{path}, line {number}: '{word}': {reason}")

        if keyword in given:
            fail(f"given twice (first on line {given[keyword]}); keep one of them")
        given[keyword], asked[keyword] = number, words[1:]
        values |= _parse(keyword, words[1:], values.get("species"), fail)
    if "species" not in values:
        raise InputError(f"{path}: the keyword 'type' is missing; expected e.g. 'type 2 B N'")
    result = NepInput(**values, given=given)
    if result.model_type:
        lambda_v = result.lambda_v if "lambda_v" in given else 1.0
        result = replace(result, lambda_e=0.0, lambda_f=0.0, lambda_v=lambda_v)
    _check(result, path)
    return replace(result, without_effect=_without_effect(result, asked))


def _without_effect(p, asked):
    """Return the keywords without effect and the reason; those with a neutral value (0, factors 1) are left out."""
    reasons = dict.fromkeys(("lambda_q", "lambda_z"), "only for models with charges")
    if p.model_type:
        names = ("lambda_e", "lambda_f", "force_delta", "type_weight", "zbl", "use_typewise_cutoff_zbl")
        reasons |= dict.fromkeys(names, "only for potentials")
    if p.kind == "dipole":
        reasons["lambda_shear"] = "only for tensors"
    if not p.prediction:
        reasons["output_descriptor"] = "only with 'prediction 1'"
    neutral = {"type_weight": 1.0, "lambda_shear": 1.0}

    def neutral_or_off(name):
        return asked[name] and all(_value(word) == neutral.get(name, 0.0) for word in asked[name])

    return {name: why for name, why in reasons.items() if name in asked and not neutral_or_off(name)}


def _value(word):
    try:
        return float(word)
    except ValueError:
        return math.nan


def _parse(keyword, words, species, fail):
    """Return the fields of :class:`NepInput` that a line sets."""
    if keyword == "type":
        return _parse_type(words, fail)
    if keyword in ("cutoff", "type_weight"):
        if species is None:
            fail("must come after 'type', which says how many species there are")
        return _parse_cutoff(words, len(species), fail) if keyword == "cutoff" else _parse_weights(words, species, fail)
    if keyword in REFUSED:
        asked_for = REFUSED[keyword]
        if asked_for is not None and words[:1] != ["0"]:
            fail(f"{asked_for} are not supported; remove the line to train a model without them")
        if asked_for is None and (len(words) != 1 or _numbers(words, (float,), "a number", fail)[0] < 0):
            fail(f"expected a number that is not negative, found '{' '.join(words)}'")
        return {}
    if keyword not in KEYWORDS:
        known = sorted([*KEYWORDS, *REFUSED, "type", "cutoff", "type_weight", "mode"])
        fail(f"unknown keyword; known: {', '.join(known)}")
    rule = KEYWORDS[keyword]
    types = rule.types(len(words))
    if types is None:
        fail(f"expected {rule.expected}, found {len(words)} values")
    numbers = _numbers(words, types, rule.expected, fail)
    if keyword == "model_type" and numbers == [3]:
        fail("temperature-dependent models (3) are not supported; expected 0, 1 or 2")
    if not rule.check(numbers):
        fail(f"expected {rule.expected}, found '{' '.join(words)}'")
    return {name: value for name, value in rule.fill(numbers).items() if name is not None}


def _numbers(words, types, expected, fail):
    numbers = []
    for word, of in zip(words, types, strict=True):
        try:
            number = of(word)
        except ValueError:
            fail(f"expected {expected}, found '{word}'")
        if of is not str and not math.isfinite(number):
            fail(f"expected {expected}, found '{word}'")
        numbers.append(number)
    return numbers


def _parse_type(words, fail):
    count = _numbers(words[:1], (int,), "a number of species", fail)[0] if words else 0
    species = words[1:]
    if not 1 <= count <= 94 or len(species) != count:
        fail(f"expected the number of species (1 to 94) and as many symbols, found '{' '.join(words)}'")
    unknown = [s for s in species if not 1 <= atomic_numbers.get(s, 0) <= 94]
    if unknown or len(set(species)) != count:
        fail(f"unknown or repeated chemical symbols (H to Pu, case matters): {' '.join(unknown or species)}")
    return {"species": tuple(species)}


def _parse_cutoff(words, n_species, fail):
    if len(words) not in (2, 2 * n_species):
        fail(f"expected a radial and an angular cutoff, once or for each of {n_species} species, found {len(words)}")
    numbers = _numbers(words, (float,) * len(words), "cutoffs in A", fail)
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    for radial, angular in pairs:
        if not 3 <= angular <= radial <= 100:
            fail(f"expected 3 <= angular <= radial <= 100 A, found radial {radial:g} and angular {angular:g}")
    return {"cutoff": pairs}


def _parse_weights(words, species, fail):
    numbers = _numbers(words, (float,) * len(words), "weights", fail)
    if len(numbers) != len(species) or min(numbers) < 0:
        fail(f"expected {len(species)} weights that are not negative, found '{' '.join(words)}'")
    return {"type_weight": tuple(numbers)}


def _check(p, path):
    """Check combinations of keywords."""
    angular = p.dim - p.n_max[0] - 1
    if angular > MAX_ANGULAR_DIM or p.dim > MAX_DIM:
        raise InputError(
            f"{path}: n_max and l_max give {p.dim} descriptor components, {angular} of them angular; at most {MAX_DIM} "
            f"and {MAX_ANGULAR_DIM} are allowed"
        )
    if p.atomic_v and p.model_type == 0:
        raise InputError(f"{path}: 'atomic_v' is for model_type 1 or 2 only; atomic energies cannot be fitted")
    if p.use_typewise_cutoff_zbl is not None and p.zbl is None and p.model_type == 0:
        raise InputError(f"{path}: 'use_typewise_cutoff_zbl' needs the keyword 'zbl'")


def format_nep_in(p: NepInput) -> str:
    """Return the text of a ``nep.in`` with the values that differ from the defaults.

    Examples
    --------
    >>> print(format_nep_in(NepInput(("B", "N"), generation=20000)), end="")
    type             2 B N
    generation       20000
    """
    default = NepInput(p.species)
    if p.model_type:
        default = replace(default, lambda_e=0.0, lambda_f=0.0, lambda_v=1.0)
    lines = [("type", [len(p.species), *p.species])]

    def add(keyword, name, values):
        if getattr(p, name) != getattr(default, name):
            lines.append((keyword, values))

    add("cutoff", "cutoff", [r for pair in p.cutoff for r in pair])
    for name in ("model_type", "prediction", "n_max", "basis_size", "l_max", "neuron", "population", "generation"):
        value = getattr(p, name)
        add(name, name, value if isinstance(value, tuple) else [value])
    if (p.batch, p.full_batch) != (default.batch, default.full_batch):
        lines.append(("batch", [p.batch, 1] if p.full_batch else [p.batch]))
    for name in (
        "lambda_1",
        "lambda_2",
        "lambda_e",
        "lambda_f",
        "lambda_v",
        "lambda_shear",
        "force_delta",
        "zbl",
        "use_typewise_cutoff_zbl",
        "output_interval",
        "output_descriptor",
        "initial_para",
        "sigma0",
        "seed",
    ):
        add(name, name, [getattr(p, name)])
    for name in ("type_weight", "save_potential", "fine_tune"):
        add(name, name, getattr(p, name))
    for name in ("atomic_v", "import_q_scaler"):
        add(name, name, [int(getattr(p, name))])
    return "".join(f"{keyword:<16} {' '.join(map(_plain, values))}\n" for keyword, values in lines)


def _plain(value):
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def write_nep_in(path: str | Path, p: NepInput, force: bool = False) -> None:
    """Write a ``nep.in`` with the values that differ from the defaults; the file appears complete or not at all.

    Raises
    ------
    InputError
        If the file exists and `force` is not set.
    """
    with atomic_output(path, force) as temporary:
        temporary.write_text(format_nep_in(p), encoding="utf-8")
