"""Spectra as text: a table that any program can plot, with its parameters in the header.

The file begins with comment lines ``# key: value``, with values in JSON, and a line of column names with units.
``numpy.loadtxt`` and gnuplot read the table; :func:`read_spectrum` also reads the header.  Columns ``<name>_error`` are
standard errors, and columns ``<name>_spread`` are standard deviations over the models of an ensemble.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ... import __version__
from ...errors import DataFileError
from ...spectra.record import Spectrum
from ..content import parse_json
from ..files import atomic_output, reading
from .columns import read_table

TITLE = "tnep_calc spectrum"
FORMAT_VERSION = 1
ERROR_SUFFIX = "_error"
SPREAD_SUFFIX = "_spread"


def write_spectrum(path, spectrum: Spectrum, force: bool = False) -> None:
    """Write a spectrum as text; the file appears complete or not at all.

    Raises
    ------
    InputError
        If the file exists and `force` is not set.
    """
    names = list(spectrum.values)
    columns = [("wavenumber", "cm^-1", spectrum.wavenumber)]
    columns += [(name, spectrum.units[name], spectrum.values[name]) for name in names]
    for suffix, found in ((ERROR_SUFFIX, spectrum.errors), (SPREAD_SUFFIX, spectrum.spreads)):
        columns += [(name + suffix, spectrum.units[name], found[name]) for name in names if name in found]
    lines = [f"# {TITLE} {FORMAT_VERSION}", f"# kind: {json.dumps(spectrum.kind)}"]
    lines += [f"# {key}: {json.dumps(value)}" for key, value in {"program": __version__, **spectrum.parameters}.items()]
    lines.append("# columns: " + " ".join(f"{name}[{unit}]" for name, unit, _ in columns))
    with atomic_output(path, force) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
        np.savetxt(stream, np.column_stack([values for _, _, values in columns]), fmt="%.9e")


def read_spectrum(path) -> Spectrum:
    """Read a spectrum written by :func:`write_spectrum`.

    Raises
    ------
    DataFileError
        If the file is not a spectrum, has a newer format version, or its header and table do not agree.
    """
    path = Path(path)
    table = read_table(path)
    with reading(path, "a spectrum of this program"):
        return _from_table(path, table)


def _from_table(path, table) -> Spectrum:
    texts = [text for _, text in table.comments]
    if not texts or not texts[0].startswith(TITLE):
        raise DataFileError(f"{path} is not a spectrum of this program: the first line must be '# {TITLE} ...'")
    try:
        if int(texts[0].removeprefix(TITLE)) > FORMAT_VERSION:
            raise DataFileError(
                f"{path} has a newer format version; this program reads up to {FORMAT_VERSION}: update tnep_calc"
            )
        header = dict(text.split(": ", 1) for text in texts[1:])
        columns = [word[:-1].rsplit("[", 1) for word in header.pop("columns").split()]
        parameters = {key: parse_json(value) for key, value in header.items()}
    except (ValueError, KeyError) as error:
        raise DataFileError(f"{path}: the header cannot be read ({error})") from error
    if len(columns) != table.values.shape[1]:
        raise DataFileError(f"{path}: the header names {len(columns)} columns, the table has {table.values.shape[1]}")
    if "wavenumber" not in dict(columns) or not isinstance(parameters.get("kind"), str):
        raise DataFileError(f"{path}: the header has no kind, or no column of wavenumbers")
    data = {name: table.values[:, k] for k, (name, _) in enumerate(columns)}
    names = [name for name in data if name != "wavenumber" and not name.endswith((ERROR_SUFFIX, SPREAD_SUFFIX))]
    kind = parameters.pop("kind")
    parameters.pop("program", None)
    return Spectrum(
        kind,
        data["wavenumber"],
        {name: data[name] for name in names},
        {name: unit for name, unit in columns if name in names},
        {name: data[name + ERROR_SUFFIX] for name in names if name + ERROR_SUFFIX in data},
        parameters,
        {name: data[name + SPREAD_SUFFIX] for name in names if name + SPREAD_SUFFIX in data},
    )
