"""GPUMD's ``nep.txt``: read and write NEP and TNEP models without changing a value.

The format is described in the GPUMD manual (https://gpumd.org).  The equations are in Fan et al., J. Chem. Phys. 157,
114801 (2022) (NEP) and Xu et al., J. Chem. Theory Comput. 20, 3273 (2024) (TNEP).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from ...errors import DataFileError, InputError, MissingFileError, ModelFileError
from ..files import atomic_output, read_text
from .nep_parameters import KINDS, ZBL, NepParameters, descriptor_dim

MAX_CUTOFF = 100.0
"""Largest cutoff in Å."""
_LARGEST = 100_000  # largest allowed integer in the header
_REFUSED = {"temperature": "temperature-dependent", "charge": "charge (qNEP)", "vdw": "van der Waals"}


def _network_counts(version, n_species):
    return 1 if version == 3 else n_species


def _parameter_blocks(p_version, n_species, neurons, dim, networks):
    """Yield (name, network, species or None, shape) in file order of the network part."""
    per = _network_counts(p_version, n_species)
    for network in range(networks):
        for t in range(per):
            yield "w0", network, t, (neurons, dim)
            yield "b0", network, t, (neurons,)
            yield "w1", network, t, (neurons,)
            if p_version == 5:
                yield "species_bias", network, t, ()
        yield "b1", network, None, ()


class _Header:
    """Reader of the header, which checks the keyword and the number of values of each line."""

    def __init__(self, path, lines):
        self.path, self.lines, self.at = path, lines, 0

    def fail(self, reason):
        raise ModelFileError(f"{self.path}, line {self.at}: {reason}")

    def take(self, keyword, counts):
        if self.at >= len(self.lines):
            self.at += 1
            self.fail(f"expected '{keyword}', found the end of the file: the file is truncated")
        words = self.lines[self.at].split()
        self.at += 1
        if not words or words[0] != keyword:
            self.fail(f"expected '{keyword}', found '{' '.join(words[:4])}'")
        if counts and len(words) - 1 not in counts:
            self.fail(f"'{keyword}' needs {' or '.join(map(str, counts))} values, found {len(words) - 1}")
        try:
            values = [float(w) for w in words[1:]]
        except ValueError:
            self.fail(f"'{keyword}' needs numbers, found '{' '.join(words[1:])[:60]}'")
        if not np.isfinite(values).all():
            self.fail(f"'{keyword}' needs finite numbers, found '{' '.join(words[1:])[:60]}'")
        return values

    def take_integers(self, keyword, counts):
        values = self.take(keyword, counts)
        if any(v != int(v) or abs(v) > _LARGEST for v in values):
            self.fail(f"'{keyword}' needs integers up to {_LARGEST}, found {' '.join(f'{v:g}' for v in values)}")
        return [int(v) for v in values]


def _read_tag(header, model_type):
    if not header.lines or not header.lines[0].split():
        raise ModelFileError(f"{header.path}: the file is empty; expected a nep.txt that starts with e.g. 'nep4 2 B N'")
    words = header.lines[0].split()
    header.at = 1
    parts = words[0].split("_")
    if parts[0] not in ("nep3", "nep4", "nep5"):
        header.fail(f"expected a tag such as nep4, nep4_zbl or nep4_dipole, found '{words[0][:40]}': not a nep.txt")
    for part in parts[1:]:
        for key, name in _REFUSED.items():
            if part.startswith(key):
                header.fail(f"{name} models ('{words[0]}') are not supported")
        if part not in ("zbl", "dipole", "polarizability"):
            header.fail(f"unknown model tag '{words[0]}'")
    kind = next((k for k in KINDS[1:] if k in parts), "potential")
    if model_type is not None and model_type != kind:
        if kind != "potential":
            header.fail(f"this is a {kind} model, but model_type='{model_type}' was given")
        kind = model_type
    try:
        count = int(words[1])
    except (IndexError, ValueError):
        header.fail(f"expected the number of species after '{words[0]}'")
    species = tuple(words[2:])
    if len(species) != count or count < 1:
        header.fail(f"expected {count} species, found {len(species)}: {' '.join(species)}")
    unknown = [s for s in species if s not in atomic_numbers or atomic_numbers[s] == 0]
    if unknown or len(set(species)) != count:
        header.fail(f"unknown or repeated chemical symbols: {' '.join(unknown or species)}")
    return int(parts[0][3:]), kind, species, "zbl" in parts


def _cutoffs(header, t):
    """Return radial and angular cutoffs (one pair, or one per species), and the largest numbers of neighbours.

    The line ends with the two numbers of neighbours, except in old files.  Files of GPUMD 3.9.5 to 4.7 may have three
    factors of typewise cutoffs after them, which are -1 if not used.
    """
    values = header.take("cutoff", sorted({2, 4, 7, 2 * t + 2}))
    if len(values) == 7:
        names = ("use_typewise_cutoff", "use_typewise_cutoff", "use_typewise_cutoff_zbl")
        used = [name for name, factor in zip(names, values[4:], strict=True) if factor > 0]
        if used:
            header.fail(
                f"the model was trained with {used[0]} (factors {' '.join(f'{v:g}' for v in values[4:])}), "
                "which is not supported"
            )
        values = values[:4]
    radii, counts = (values, [0, 0]) if len(values) == 2 else (values[:-2], values[-2:])
    if not all(0 < r <= MAX_CUTOFF for r in radii):
        header.fail(f"cutoffs must be above 0 and at most {MAX_CUTOFF:g} Å, found {' '.join(f'{r:g}' for r in radii)}")
    if any(n != int(n) or not 0 <= n <= _LARGEST for n in counts):
        header.fail(f"numbers of neighbours must be integers, found {' '.join(f'{n:g}' for n in counts)}")
    return radii, tuple(int(n) for n in counts)


def read_nep(path, model_type: str | None = None) -> NepParameters:
    """Read a NEP or TNEP model from a ``nep.txt`` file (plain or ``.gz``).

    Parameters
    ----------
    path : str or path
        The file.
    model_type : {"potential", "dipole", "polarizability"}, optional
        Kind of the model, for files written before mid-2023, whose tag does not tell it. None: as the tag says.

    Returns
    -------
    NepParameters

    Raises
    ------
    ModelFileError
        If the file cannot be read, is truncated, has too many numbers or numbers that are not finite, or is of an
        unsupported kind (temperature, charge or van der Waals models, two hidden layers).
    MissingFileError
        If the file does not exist.
    InputError
        If `model_type` is not one of the three kinds.
    """
    if model_type is not None and model_type not in KINDS:
        raise InputError(f"model_type must be one of {', '.join(KINDS)}, got '{model_type}'")
    path = Path(path)
    try:
        text = read_text(path)
    except DataFileError as error:
        kind_of_error = ModelFileError if path.exists() else MissingFileError
        raise kind_of_error(f"{path}: cannot be read as a nep.txt ({str(error).removeprefix(f'{path}: ')})") from error
    lines = text.splitlines()
    header = _Header(path, lines)
    version, kind, species, has_zbl = _read_tag(header, model_type)
    t = len(species)

    zbl_values = header.take("zbl", (2, 3)) if has_zbl else None
    radii, max_neighbors = _cutoffs(header, t)
    pairs = np.array(radii).reshape(-1, 2)
    radial_cutoffs, angular_cutoffs = np.broadcast_to(pairs, (t, 2)).T.copy()
    n_max = header.take_integers("n_max", (2,))
    basis_size = header.take_integers("basis_size", (2,))
    l_max, *flags = header.take_integers("l_max", (1, 2, 3, 4, 5, 6, 7))
    neurons, second_layer = header.take_integers("ANN", (2,))
    if second_layer:
        header.fail("two hidden layers are not supported")
    if min(*n_max, *basis_size, l_max) < 0 or l_max > 8 or neurons < 1:
        header.fail("n_max, basis_size, l_max (0..8) or neurons are out of range")
    extra = tuple(bool(f) for f in (flags + [0] * 6)[:6])

    dim = descriptor_dim(n_max, l_max, extra)
    networks = 2 if kind == "polarizability" else 1
    values = _numbers(path, lines[header.at :], header.at, text.endswith("\n"))
    take = _Taker(path, values)
    per = _network_counts(version, t)
    arrays = {
        "w0": np.empty((networks, per, neurons, dim)),
        "b0": np.empty((networks, per, neurons)),
        "w1": np.empty((networks, per, neurons)),
        "b1": np.empty(networks),
        "species_bias": np.empty((networks, per)),
    }
    for name, network, s, shape in _parameter_blocks(version, t, neurons, dim, networks):
        arrays[name][(network,) if s is None else (network, s)] = take(shape)
    c_radial = take((n_max[0] + 1, basis_size[0] + 1, t, t))
    c_angular = take((n_max[1] + 1, basis_size[1] + 1, t, t))
    q_scaler = take((dim,))
    zbl = None
    if zbl_values is not None:
        inner, outer = zbl_values[:2]
        flexible = take((t * (t + 1) // 2, 10)) if inner == 0 and outer == 0 else None
        zbl = ZBL(inner, outer, zbl_values[2] if len(zbl_values) == 3 else None, flexible)
    take.finish(kind, version)
    return NepParameters(
        version=version,
        kind=kind,
        species=species,
        radial_cutoffs=radial_cutoffs,
        angular_cutoffs=angular_cutoffs,
        max_neighbors=max_neighbors,
        n_max=(n_max[0], n_max[1]),
        basis_size=(basis_size[0], basis_size[1]),
        l_max=l_max,
        extra=extra,
        neurons=neurons,
        w0=arrays["w0"],
        b0=arrays["b0"],
        w1=arrays["w1"],
        b1=arrays["b1"],
        species_bias=arrays["species_bias"] if version == 5 else None,
        c_radial=c_radial,
        c_angular=c_angular,
        q_scaler=q_scaler,
        zbl=zbl,
    )


_ALIKE = 8
"""Number of lines that must end a file in one form to see that its last number is cut."""


def _form(word):
    """Return the form of a number without its signs, e.g. ``0.000e00`` of ``-1.234e-02``."""
    return re.sub(r"\d", "0", re.sub(r"[-+]", "", word.lower()))


def _numbers(path, lines, offset, ends_with_newline=True):
    try:
        values = np.array(" ".join(lines).split(), dtype=float)
    except ValueError:
        for number, line in enumerate(lines, start=offset + 1):
            try:
                [float(w) for w in line.split()]
            except ValueError:
                hint = " (last line: the file is truncated?)" if number == offset + len(lines) else ""
                found = line.strip()[:40]
                raise ModelFileError(f"{path}, line {number}: expected a number, found '{found}'{hint}") from None
        raise
    if len(lines) > 1 and not ends_with_newline:
        last, before = lines[-1].strip(), lines[-2].strip()
        forms = {_form(line.strip()) for line in lines[-_ALIKE:-1]}
        shorter = len(lines) > _ALIKE and len(forms) == 1 and _form(last) not in forms
        if shorter or ("e" in before.lower() and "e" not in last.lower()):
            raise ModelFileError(f"{path}: its last line, '{last[:40]}', is cut: the file is truncated")
    if not np.isfinite(values).all():
        raise ModelFileError(f"{path}: parameter {int(np.argmin(np.isfinite(values))) + 1} is not finite")
    return values


class _Taker:
    """Reader of consecutive parameter blocks, which checks the total number of parameters at the end."""

    def __init__(self, path, values):
        self.path, self.values, self.at = path, values, 0

    def __call__(self, shape):
        count = int(np.prod(shape, dtype=int))
        block = self.values[self.at : self.at + count]
        self.at += count
        if block.size < count:
            block = np.zeros(count)
        return block.reshape(shape)

    def finish(self, kind, version):
        if self.at == self.values.size:
            return
        hint = "the file is truncated"
        if self.values.size > self.at:
            hint = "header and parameters do not fit together"
            if kind == "potential":
                hint += " (a file from before mid-2023 may be a polarizability model: use model_type='polarizability')"
        raise ModelFileError(
            f"{self.path}: the header of this nep{version} {kind} model asks for {self.at} parameters, "
            f"the file has {self.values.size}: {hint}"
        )


def _plain(value):
    """Return a number of the header as GPUMD prints it (%g)."""
    return f"{value:g}"


def format_nep(p: NepParameters, decimals: int = 7) -> str:
    """Return the text of a ``nep.txt``, with numbers in GPUMD's format ``%15.7e`` or with more decimals."""
    lines = [f"{p.tag} {p.n_species} {' '.join(p.species)} "]
    if p.zbl is not None:
        factor = "" if p.zbl.typewise_factor is None else f" {_plain(p.zbl.typewise_factor)}"
        lines.append(f"zbl {_plain(p.zbl.inner)} {_plain(p.zbl.outer)}{factor}")
    radii = np.stack([p.radial_cutoffs, p.angular_cutoffs], axis=1)
    if (radii == radii[0]).all():
        radii = radii[:1]
    lines += [
        " ".join(["cutoff", *map(_plain, radii.ravel()), *(map(str, p.max_neighbors) if any(p.max_neighbors) else [])]),
        f"n_max {p.n_max[0]} {p.n_max[1]}",
        f"basis_size {p.basis_size[0]} {p.basis_size[1]}",
        _l_max_line(p),
        f"ANN {p.neurons} 0",
    ]
    networks = 2 if p.kind == "polarizability" else 1
    blocks = []
    for name, network, s, _ in _parameter_blocks(p.version, p.n_species, p.neurons, p.dim, networks):
        blocks.append(np.ravel(getattr(p, name)[(network,) if s is None else (network, s)]))
    blocks += [p.c_radial.ravel(), p.c_angular.ravel(), p.q_scaler]
    if p.zbl is not None and p.zbl.flexible is not None:
        blocks.append(p.zbl.flexible.ravel())
    values = np.concatenate(blocks)
    if not np.isfinite(values).all():
        raise InputError("a NEP model with non-finite parameters cannot be written")
    return "\n".join(lines) + "\n" + "".join(f"{v:{decimals + 8}.{decimals}e}\n" for v in values)


def _l_max_line(p):
    flags = [2 if p.extra[0] else 0, *(int(f) for f in p.extra[1:])]
    while len(flags) > 2 and not flags[-1]:
        flags.pop()
    return f"l_max {p.l_max} " + " ".join(map(str, flags))


def write_nep(path, parameters: NepParameters, decimals: int = 7) -> None:
    """Write a ``nep.txt`` that GPUMD, calorine and LAMMPS can read; the file appears complete or not at all.

    An existing file is replaced.  By default numbers have eight significant digits, like those of GPUMD, so that
    reading and writing a file reproduces its values.

    Parameters
    ----------
    path : path
    parameters : NepParameters
    decimals : int, default 7
        Digits after the point; 16 keep the values of float64.

    Raises
    ------
    InputError
        If a parameter is not finite.
    """
    text = format_nep(parameters, decimals)
    with atomic_output(path, force=True) as temporary:
        temporary.write_text(text)
