"""Spectra in files, with the format chosen by the suffix: text (a table for any program), HDF5 or JSON (complete).

An HDF5 file has the dataset ``wavenumber``, and the groups ``values``, ``errors``, ``spreads`` and ``replicas`` with
one dataset per column and its unit.  Its attribute ``parameters`` is JSON.  A JSON file uses the same names.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from ... import __version__
from ...errors import DataFileError, InputError
from ...spectra.record import Spectrum
from ..content import parse_json
from ..files import DAMAGED, atomic_output, check_readable, read_text
from ..hdf5 import hdf5_output, read_dataset
from ..trial import tried
from .spectrum_text import read_spectrum, write_spectrum

FORMAT = "tnep_calc spectrum"
FORMAT_VERSION = 1
GROUPS = ("values", "errors", "spreads", "replicas")
BINARY = (".h5", ".hdf5")


def save_spectrum(path, spectrum: Spectrum, force: bool = False) -> None:
    """Write a spectrum as text (any name), HDF5 (``.h5``, ``.hdf5``) or JSON (``.json``).

    Text has no jackknife replicas.  The file appears complete or not at all.

    Raises
    ------
    InputError
        If the file exists and `force` is not set.
    """
    suffix = Path(path).suffix.lower()
    if suffix in BINARY:
        _write_hdf5(path, spectrum, force)
    elif suffix == ".json":
        content = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "program_version": __version__,
            "kind": spectrum.kind,
            "units": spectrum.units,
            "parameters": spectrum.parameters,
            "wavenumber": spectrum.wavenumber.tolist(),
            **{group: {k: v.tolist() for k, v in getattr(spectrum, group).items()} for group in GROUPS},
        }
        with atomic_output(path, force) as temporary:
            temporary.write_text(json.dumps(content, allow_nan=True), encoding="utf-8")
    else:
        write_spectrum(path, spectrum, force)


def _write_hdf5(path, spectrum, force):
    size = sum(np.asarray(column).nbytes for group in GROUPS for column in getattr(spectrum, group).values())
    with hdf5_output(path, force, size + spectrum.wavenumber.nbytes) as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["program_version"] = __version__
        file.attrs["kind"] = spectrum.kind
        file.attrs["parameters"] = json.dumps(spectrum.parameters)
        file.create_dataset("wavenumber", data=spectrum.wavenumber).attrs["unit"] = "cm^-1"
        for group in GROUPS:
            for name, column in getattr(spectrum, group).items():
                # h5py would make a group of a name with a slash
                data = file.create_group(group, track_order=True) if group not in file else file[group]
                data = data.create_dataset(name.replace("/", "\u2215"), data=column)
                data.attrs["name"], data.attrs["unit"] = name, spectrum.units[name]


def load_spectrum(path) -> Spectrum:
    """Read a spectrum written by :func:`save_spectrum`.

    Raises
    ------
    DataFileError
        If the file is missing, is not a spectrum of this program, or has a newer format version.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataFileError(f"{path}: no such file")
    if suffix not in (*BINARY, ".json"):
        return read_spectrum(path)
    try:
        if suffix in BINARY:
            content = tried(check_readable(path), "the HDF5 library", lambda: _read_hdf5(path))
        else:
            content = parse_json(read_text(path))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DataFileError(f"{path} is not a spectrum of this program")
        if int(content["format_version"]) > FORMAT_VERSION:
            raise DataFileError(
                f"{path} has a newer format version; this program reads up to {FORMAT_VERSION}: update tnep_calc"
            )
        columns = {
            group: {str(k): np.array(v, dtype=float) for k, v in content.get(group, {}).items()} for group in GROUPS
        }
        return Spectrum(
            kind=str(content["kind"]),
            wavenumber=np.array(content["wavenumber"], dtype=float),
            units={str(k): str(v) for k, v in content["units"].items()},
            parameters=dict(content["parameters"]),
            **columns,
        )
    except DataFileError:
        raise
    except (*DAMAGED, InputError) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataFileError(f"{path} cannot be read as a spectrum ({words})") from error


def _read_hdf5(path):
    """Return the content of an HDF5 file under the names of the JSON format."""
    with h5py.File(path, "r") as file:
        content = {key: file.attrs[key] for key in ("format", "format_version", "kind") if key in file.attrs}
        if content.get("format") != FORMAT:
            return content
        content["parameters"] = parse_json(file.attrs["parameters"])
        content["wavenumber"] = read_dataset(file["wavenumber"], path)
        content["units"] = {}
        for group in GROUPS:
            content[group] = {}
            for data in file[group].values() if group in file else ():
                content[group][data.attrs["name"]] = read_dataset(data, path)
                content["units"][data.attrs["name"]] = data.attrs["unit"]
        return content
