"""Correlation functions that ``fix tnep/spectrum`` of LAMMPS accumulates: files whose size is limited for any run.

The first line is JSON: ``format``, ``format_version``, ``run``, ``dt_fs``, ``lags``, ``samples``, ``first_step``,
``last_step``, ``temperature_K`` and ``volume_A3`` (means over the samples), ``volume_relative_spread``, ``cell_A``, and
``quantities``, a list of ``name``, ``unit`` and ``numbers``.  The numbers (float64, little endian) of the quantities
follow.  They are: components c, lags, block length, number of blocks; the origin (c), which was subtracted from all
samples; and for every block: samples n, 1 if it starts an uninterrupted piece (else 0), the sum of the samples (c), the
products ``sum over t of (x_a(t) x_b(t + k) + x_b(t) x_a(t + k)) / 2`` (pairs ab in the order 00 01 .. 11 12 .., lags),
and its first and its last min(n, lags - 1) samples (rows, c).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataFileError, InputError
from ...spectra.accumulated import AccumulatedSignal, CorrelationBlock
from ..content import parse_json
from ..files import check_readable, reading, sha256
from .timeseries import QUANTITIES, TimeSeries, read_timeseries

FORMAT = "tnep_calc correlations"
FORMAT_VERSION = 1
_TENSOR = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # stored components of a polarizability
_HEADER = 1 << 16  # largest length of the first line


@dataclass(frozen=True)
class Accumulated:
    """A quantity of which correlation functions are known, with the interface of :class:`.timeseries.Sampled`.

    Attributes
    ----------
    signals : list of AccumulatedSignal
        The uninterrupted pieces, of shape (n, 3) in e·Å or e·Å/fs, or (n, 3, 3) in e·Å²/V.
    dt : float, in fs
        Sampling interval.
    provenance : dict of str to str
    """

    signals: list[AccumulatedSignal]
    dt: float
    provenance: dict[str, str]

    def pieces(self, skip: float = 0.0) -> list[AccumulatedSignal]:
        """Return the pieces; InputError if `skip` is not zero."""
        if skip:
            raise InputError("accumulated correlations have no samples to skip: equilibrate before fix tnep/spectrum")
        return self.signals


def read_signals(path) -> TimeSeries:
    """Read a time series (:func:`.timeseries.read_timeseries`), or the correlations of ``fix tnep/spectrum``.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, or neither of them.
    """
    path = check_readable(path)
    with reading(path, "a time series"), open(path, "rb") as stream:
        first = stream.read(1)
    return _read_correlations(path) if first == b"{" else read_timeseries(path)


def _read_correlations(path: Path) -> TimeSeries:
    with reading(path, "correlations of fix tnep/spectrum"):
        with open(path, "rb") as stream:
            header = parse_json(stream.readline(_HEADER))
            if header.get("format") != FORMAT:
                raise DataFileError(f"{path} is not a file of correlations written by fix tnep/spectrum")
            if int(header["format_version"]) > FORMAT_VERSION:
                raise DataFileError(
                    f"{path} has a newer format version; this program reads up to {FORMAT_VERSION}: update tnep_calc"
                )
            found = header["quantities"]
            data = [np.frombuffer(stream.read(8 * int(item["numbers"])), "<f8") for item in found]
            if [len(part) for part in data] != [int(item["numbers"]) for item in found] or stream.read(1):
                raise DataFileError(f"{path}: has not the length that its first line says: truncated or damaged")
        provenance = {
            "source": f"fix tnep/spectrum, steps {header['first_step']} to {header['last_step']}",
            "source_sha256": sha256(path),
        }
        quantities: dict[str, Any] = {}
        for item, numbers in zip(found, data, strict=True):
            name = str(item["name"])
            if item["unit"] != QUANTITIES[name][1]:
                raise DataFileError(f"{path}: {name} is in '{item['unit']}', expected '{QUANTITIES[name][1]}'")
            if not np.isfinite(numbers).all():
                raise DataFileError(f"{path}: {name} has values that are not finite")
            quantities[name] = Accumulated(_pieces(name, numbers), float(header["dt_fs"]), provenance)
        return TimeSeries(
            temperature=float(header["temperature_K"]),
            volume=float(header["volume_A3"]),
            volume_spread=float(header["volume_relative_spread"]),
            cell=np.array(header["cell_A"], dtype=float),
            command="fix tnep/spectrum",
            **quantities,
        )


def _pieces(name: str, numbers: np.ndarray) -> list[AccumulatedSignal]:
    """Return the pieces of a quantity from its packed numbers."""
    position = 0

    def take(*shape):
        nonlocal position
        size = int(np.prod(shape))
        if size < 0 or position + size > len(numbers):
            raise ValueError("the blocks are longer than the data")
        part = numbers[position : position + size].reshape(shape)
        position += size
        return part

    c, lags, _, n_blocks = (int(value) for value in take(4))
    shape = QUANTITIES[name][0]
    if c != (6 if shape == (3, 3) else 3) or lags < 3:
        raise ValueError(f"{c} components and {lags} lags")
    origin = take(c)
    upper = np.triu_indices(c)
    blocks: list[list[CorrelationBlock]] = []
    for _ in range(n_blocks):
        samples, starts = (int(value) for value in take(2))
        total, packed = take(c), take(len(upper[0]), lags)
        products = np.empty((lags, c, c))
        products[:, upper[0], upper[1]] = products[:, upper[1], upper[0]] = packed.T
        rows = min(samples, lags - 1)
        block = CorrelationBlock(samples, total, products, take(rows, c), take(rows, c))
        if starts or not blocks:
            blocks.append([])
        blocks[-1].append(block)
    if position != len(numbers) or not blocks:
        raise ValueError(f"{len(numbers)} numbers, expected {position}")
    matrix = np.zeros((c, *shape))
    for k in range(c):
        for index in {_TENSOR[k], _TENSOR[k][::-1]} if c == 6 else {(k,)}:
            matrix[(k, *index)] = 1.0
    return [AccumulatedSignal(piece, matrix, np.tensordot(origin, matrix, 1)) for piece in blocks]
