"""Reference spectra, such as experiments: two columns of numbers, or a spectrum of this program."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataFileError
from ...spectra.record import Spectrum
from ..files import read_text
from .spectrum_store import BINARY, load_spectrum
from .spectrum_text import TITLE

COMMENTS = ("#", "%", ";", "!", "//", "@")


def read_reference(path) -> Spectrum:
    """Read a reference spectrum.

    The file is either a spectrum of this program (text, HDF5, JSON), or a table of two columns, wavenumber in cm^-1 and
    intensity.  Columns are separated by blanks, tabs, commas or semicolons, and wavenumbers may have any order.  Header
    lines without numbers and lines that begin with ``# % ; ! // @`` are skipped.  Points at the same wavenumber are
    averaged.

    Returns
    -------
    Spectrum
        For a table, of kind ``"reference"`` with the column ``reference`` in arbitrary units.

    Raises
    ------
    DataFileError
        If the file does not have two columns of finite numbers, or has fewer than three points.
    """
    path = Path(path)
    if path.suffix.lower() in (*BINARY, ".json"):
        return load_spectrum(path)
    text = read_text(path).lstrip("\ufeff")
    if text.startswith(f"# {TITLE}"):
        return load_spectrum(path)
    rows: list[tuple[float, float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(COMMENTS):
            continue
        words = line.replace(",", " ").replace(";", " ").split()
        try:
            row = (float(words[0]), float(words[1]))
        except (ValueError, IndexError):
            if rows:
                raise DataFileError(
                    f"{path}, line {number}: expected wavenumber and intensity, found '{line.strip()[:40]}'"
                ) from None
            continue
        if len(words) != 2:
            raise DataFileError(f"{path}, line {number}: expected two columns, found {len(words)}")
        if not np.isfinite(row).all():
            raise DataFileError(f"{path}, line {number}: the values must be finite")
        rows.append(row)
    if len(rows) < 3:
        raise DataFileError(f"{path}: a reference needs at least 3 lines of wavenumber (cm^-1) and intensity")
    x, y = np.array(rows).T
    grid, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    values = np.bincount(which, weights=y) / counts
    return Spectrum(
        "reference", grid, {"reference": values}, {"reference": "arbitrary"}, parameters={"source": path.name}
    )
