"""Linewidths of modes at Gamma as a text table, the input of ``tnep phonons --widths``.

Comment lines start with ``#``.  Every other line is ``mode  frequency/cm^-1  FWHM/cm^-1``.  Modes are counted from 1 by
ascending frequency, without the non-analytic term (transverse optical modes).  The width is the full width at half
maximum of the Lorentzian, ``2 Gamma``.  Gamma is the imaginary part of the self-energy, which phono3py calls gamma.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import DataFileError
from .files import atomic_output, read_text


def write_linewidths(path, frequencies, widths, parameters: Mapping[str, object] | None = None) -> None:
    """Write a table of linewidths; an existing file is replaced.

    Parameters
    ----------
    path : path
    frequencies, widths : array_like, shape (n_modes,), in cm^-1
        Frequencies and full widths at half maximum, by ascending frequency.
    parameters : mapping, optional
        Names and values that are written as comments.
    """
    lines = [f"# {name} = {value}" for name, value in (parameters or {}).items()]
    lines.append("# mode  frequency/cm^-1  FWHM/cm^-1")
    lines += [f"{k:6d}  {f:15.6f}  {w:11.6f}" for k, (f, w) in enumerate(zip(frequencies, widths, strict=True), 1)]
    with atomic_output(path, force=True) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_linewidths(path) -> tuple[np.ndarray, np.ndarray]:
    """Read a table of linewidths as written by :func:`write_linewidths`.

    Returns
    -------
    frequencies, widths : ndarray, shape (n_modes,), in cm^-1
        Frequencies and full widths at half maximum.

    Raises
    ------
    DataFileError
        If a line does not have three numbers, modes are not numbered from 1 on, or a width is negative or not finite.
    """
    path = Path(path)
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            mode, frequency, width = (float(word) for word in line.split())
        except ValueError as error:
            raise DataFileError(
                f"{path}, line {number}: expected mode, frequency and width, got '{line.strip()}'"
            ) from error
        if mode != len(rows) + 1:
            raise DataFileError(f"{path}, line {number}: expected mode {len(rows) + 1}, got {mode:g}")
        if not (np.isfinite([frequency, width]).all() and width >= 0):
            raise DataFileError(f"{path}, line {number}: frequency and width must be finite, and the width at least 0")
        rows.append((frequency, width))
    if not rows:
        raise DataFileError(f"{path}: the file has no modes")
    table = np.array(rows)
    return table[:, 0], table[:, 1]
