"""ABINIT: main output (text), DDB (text) and netCDF (``_GSR.nc``, ``_DDB.nc``); files of one geometry are merged.

The kinds of files contain:

* main output: energy, forces, stress, Berry-phase polarization, dielectric tensor and Born charges (from the response
  to the electric field).  Datasets in finite fields (``berryopt`` 4 and 14) are read separately.
* DDB: energy and derivatives in reduced coordinates, as far as they were calculated.  It has no polarization.  It does
  not say whether the run was in a field, so the DDB of such a run must not be given.
* ``_GSR.nc``: energy, forces, stress.
* ``_DDB.nc``: Born charges.

Reduced second derivatives D become Cartesian with the lattice vectors ``a_k`` in the rows of R (bohr) and G = R^-1:
``eps = 1 - 4 pi / V R^T D_EE R / (2 pi)^2`` and ``Z[a] = (G D_aE R / (2 pi))^T + z_ion``, with indices [field,
displacement].

In a field E with the sign of ``efield``, ABINIT minimizes ``etotal = U - E.P - eps0 V E^2 / 2``.  The printed Kohn-Sham
energy is the internal energy U, which does not depend on the branch of P.  The energy label is ``U - E.P``.  With the
reduced field of ``berryopt`` 14, the forces of version 9.6.2 are not those at the printed field: they differ from those
of ``berryopt`` 4 by the charge of the ions times 1 % of the field.  These forces are therefore not read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...conventions import ASE_ORDER, from_six
from ...errors import DataFileError
from ...polarization import fold_dipole
from ...progress import tracked
from ...structures import LabelledStructure, symmetric_part
from ...units import BOHR, EPSILON_0, HARTREE
from ..files import read_bytes, reading, text_of
from ..hdf5 import check_rows
from ..trial import tried
from .finite_field import FieldRun, combine, geometry_key
from .problems import Problems, collecting

_FLOAT = r"[-+]?\d+\.\d*(?:[EeDd][-+]?\d+)?"
_NETCDF = (b"CDF", b"\x89HDF")
_FIXED_FIELD, _OTHER_FIELDS = (4, 14), (6, 7, 16, 17)  # values of berryopt
_log = logging.getLogger(__name__)


def read_abinit(paths: Sequence[str | Path], problems: Problems | None = None) -> list[LabelledStructure]:
    """Read outputs of ABINIT (plain, ``.gz``, ``.bz2`` or ``.xz``).

    Parameters
    ----------
    paths : sequence of paths
        Main outputs, DDB files and netCDF files in any order. Files of the same geometry become one structure, with one
        more for each finite field (see ``finite_field``).
    problems : Problems, optional
        Collects the errors of files and sets, which are then left out; by default the first one is raised.

    Returns
    -------
    list of LabelledStructure
        In the order of the first file of each geometry, with the structure at zero field first. Born charges and
        polarizability are those of perturbation theory if available, else finite differences with the field.

    Raises
    ------
    DataFileError
        If a file cannot be read, is not converged, has several geometries or a fixed displacement field, or two files
        or datasets disagree on a label.
    """
    merged: dict[tuple, list[FieldRun]] = {}
    for path in tracked(map(Path, paths), _log, "files read"):
        with collecting(problems):
            for run in _read(path):
                runs = merged.setdefault(geometry_key(run.symbols, run.positions, run.cell), [])
                place = next((k for k, other in enumerate(runs) if not other.field.any()), None)
                if run.field.any() or place is None:
                    runs.append(run)
                else:
                    runs[place] = _merged(runs[place], run)
    structures: list[LabelledStructure] = []
    for runs in merged.values():
        with collecting(problems):
            structures += combine(runs, "berryopt = -1, rfdir = 1 1 1")
    return structures


def _merged(base: FieldRun, run: FieldRun) -> FieldRun:
    """Return the run `base` with the labels of `run` added; DataFileError if labels of both differ."""
    for name, value in run.labels.items():
        change = value - base.labels.get(name, value)
        if name == "dipole":
            change = fold_dipole(change, base.cell)
        if not (np.abs(change) <= 1e-5 + 1e-5 * np.abs(value)).all():
            raise DataFileError(f"{run.source}: {name} differs from that in {base.source} for the same geometry")
    return replace(base, labels={**run.labels, **base.labels})


def _read(path: Path) -> list[FieldRun]:
    data = read_bytes(path)
    with reading(path, "output of ABINIT"):
        return _read_data(path, data)


def _read_data(path, data) -> list[FieldRun]:
    if data.startswith(_NETCDF):
        return [tried(path, "the HDF5 library", lambda: _read_netcdf(path, data))]
    text = text_of(path, data)
    if "DERIVATIVE DATABASE" in text[:400]:
        return [_read_ddb(path, text)]
    if "of ABINIT" in text[:400]:
        return _read_main(path, text)
    raise DataFileError(f"{path}: is neither a main output nor a DDB of ABINIT")


def _run(source, znucl, typat, rows, reduced, labels, field=None) -> FieldRun:
    """Return the run of one file or dataset, with the lattice vectors `rows` (bohr) and `reduced` positions."""
    from ase.data import chemical_symbols

    symbols = tuple(chemical_symbols[round(znucl[t - 1])] for t in typat)
    cell = rows * BOHR
    if "polarizability" in labels:
        labels["polarizability"] = symmetric_part(labels["polarizability"], str(source), "polarizability")
    field = np.zeros(3) if field is None else field
    return FieldRun(str(source), symbols, reduced @ cell + 0.0, cell + 0.0, field, labels)


def _susceptible(epsilon, volume):
    return EPSILON_0 * volume * (epsilon - np.eye(3))


# main output -----------------------------------------------------------------------------------------------------


def _read_main(path: Path, text: str) -> list[FieldRun]:
    joined = len(re.findall(r"^\.Version.* of ABINIT", text, re.M))
    if joined > 1:
        raise DataFileError(f"{path}: has {joined} runs joined in one file: give them as separate files")
    at = text.rfind("echo values of variables after computation")
    if at < 0:
        raise DataFileError(f"{path}: the run did not finish (no echo of variables at the end)")
    echo = _Echo(path, text[at:])
    for name in ("xred", "rprim", "acell", "natom", "typat"):
        echo.single(name)
    n = int(echo.numbers("natom", [1.0])[0])  # ABINIT leaves out variables that have their default values
    rows = echo.numbers("rprim", np.eye(3).ravel()).reshape(3, 3) * echo.numbers("acell", np.ones(3))[:, None]
    volume = abs(np.linalg.det(rows))
    geometry = (
        echo.numbers("znucl"),
        echo.numbers("typat", np.ones(n)).astype(int),
        rows,
        echo.numbers("xred", np.zeros(3 * n)).reshape(n, 3),
    )
    parts = re.split(r"^== DATASET\s+(\d+) =+$", text[:at], flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True)) or {"": text[:at]}
    runs = []
    for suffix, section in sections.items():
        source = f"{path}, dataset {suffix}" if len(sections) > 1 else f"{path}"
        if section.rfind("was not enough SCF cycles to converge") > section.rfind("=>converged"):
            raise DataFileError(f"{source}: the SCF cycle has not converged (nstep)")
        berryopt = int(echo.of("berryopt", suffix, 0))
        field = _field(source, section, berryopt)
        if echo.of("optdriver", suffix, 0) == 0 and echo.of("iscf", suffix, 7) > 0:
            labels = _ground_state(echo, suffix, section, n, volume)
            if field is not None and field.any():
                _to_field(source, section, labels, berryopt)
            runs.append(_run(source, *geometry, labels, field))
        elif field is not None and field.any():
            raise DataFileError(f"{source}: is a response in a constant field, which is not supported")
    labels = {}
    epsilon = _table(text, "Dielectric tensor, in cartesian coordinates", n, field_only=True)
    if epsilon is not None:
        labels["polarizability"] = _susceptible(epsilon[0], volume * BOHR**3)
    born = _table(text, "(from electric field response)", n)
    if born is not None:
        labels["born_charges"] = born
    return [*runs, _run(path, *geometry, labels)] if labels or not runs else runs


def _ground_state(echo, suffix, section, n, volume) -> dict[str, object]:
    """Return the labels of one dataset; its energy is ``etotal`` (``_to_field`` replaces it in a field)."""
    labels: dict[str, object] = {}
    if (energy := echo.array("etotal", suffix)) is not None:
        labels["energy"] = float(energy[0]) * HARTREE
    if (forces := echo.array("fcart", suffix)) is not None:
        labels["forces"] = forces.reshape(n, 3) * HARTREE / BOHR
    if (stress := echo.array("strten", suffix)) is not None:
        labels["virial"] = -volume * from_six(stress, ASE_ORDER) * HARTREE
    heading = r"Polarization in cartesian coordinates \(a\.u\.\)"
    if totals := re.findall(rf"{heading}.*?Total:\s+({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})", section, re.S):
        labels["dipole"] = np.array(totals[-1], dtype=float) * volume * BOHR
    return labels


def _field(source, section, berryopt):
    """Return the electric field of a dataset, shape (3,), in V/Å, or None if ``berryopt`` asks for none."""
    if berryopt in _OTHER_FIELDS:
        raise DataFileError(
            f"{source}: displacement fields and mixed fields (berryopt = {berryopt}) are not supported; use "
            "berryopt = 4 with efield"
        )
    if berryopt not in _FIXED_FIELD:
        return None
    found = re.findall(rf"final values:.*?^\s+E:\s+({_FLOAT})\s+({_FLOAT})\s+({_FLOAT})", section, re.S | re.M)
    if not found:
        raise DataFileError(f"{source}: is in a constant field, but its output has no final values of it")
    return np.array(found[-1], dtype=float) * HARTREE / BOHR


def _to_field(source, section, labels, berryopt):
    """Replace the energy of a run in a field by the internal energy, and drop forces of ``berryopt`` 14."""
    found = re.findall(rf"(?:kohn_sham\s*:|Kohn-Sham energy=)\s*({_FLOAT})", section)
    if not found:
        raise DataFileError(f"{source}: is in a constant field, but its output has no Kohn-Sham energy")
    labels["energy"] = float(found[-1]) * HARTREE
    if berryopt == 14 and labels.pop("forces", None) is not None:
        _log.warning("%s: forces left out: with berryopt = 14 they are not those at the printed field", source)


def _table(text, heading, n, field_only=False):
    """Return ``[atom, field, displacement]`` from rows "displacement, atom, field, n + 2, value" after a heading."""
    at = text.rfind(heading)
    if at < 0:
        return None
    rows = re.findall(rf"^\s+([123])\s+(\d+)\s+([123])\s+{n + 2}\s+({_FLOAT})", text[at:].split("==")[0], re.M)
    tensor = np.full((1 if field_only else n, 3, 3), np.nan)
    for direction, pert, other, value in rows:
        atom = int(pert) - 1 if not field_only else int(pert) - (n + 2)
        if 0 <= atom < len(tensor) and np.isnan(tensor[atom, int(other) - 1, int(direction) - 1]):
            tensor[atom, int(other) - 1, int(direction) - 1] = float(value)
    return None if np.isnan(tensor).any() else tensor


class _Echo:
    """Variables of ABINIT's final echo, by name and by number of the dataset ('' for a value of all datasets)."""

    def __init__(self, path, text):
        self.path = path
        self.values: dict[str, dict[str, np.ndarray]] = {}
        pattern = rf"^[-P ]\s+([a-z_]+)(\d*)((?:\s+(?:{_FLOAT}|[-+]?\d+)(?=\s))+)"
        for name, suffix, numbers in re.findall(pattern, text, re.M):
            values = np.array(re.sub("[Dd]", "e", numbers).split(), dtype=float)
            self.values.setdefault(name, {})[suffix] = values

    def all(self, name):
        return self.values.get(name, {})

    def array(self, name, suffix):
        """Return the values in one dataset, or None if there are none."""
        values = self.all(name)
        return values.get(suffix, values.get(""))

    def single(self, name):
        if set(self.all(name)) - {""}:
            raise DataFileError(f"{self.path}: '{name}' differs between datasets: use one output per geometry")

    def of(self, name, suffix, default):
        """Return a number in one dataset."""
        values = self.array(name, suffix)
        return default if values is None else values[0]

    def numbers(self, name, default=None):
        if "" not in self.all(name):
            if default is None:
                raise DataFileError(f"{self.path}: no '{name}' in the echo of variables at the end")
            return np.asarray(default, dtype=float)
        return self.all(name)[""]


# DDB -------------------------------------------------------------------------------------------------------------


def _read_ddb(path: Path, text: str) -> FieldRun:
    text = re.sub(r"(?<=\d)[Dd](?=[-+]\d)", "E", text)
    header, _, blocks = text.partition("Database of total energy derivatives")
    values = {
        name: np.array(v.split(), dtype=float)
        for name, v in re.findall(rf"^\s+([a-z]+)((?:\s+(?:{_FLOAT}|-?\d+)(?=\s))+)", header, re.M)
    }
    missing = [name for name in ("natom", "typat", "znucl", "zion", "acell", "rprim", "xred") if name not in values]
    if missing or not blocks:
        raise DataFileError(f"{path}: no {' '.join(missing) or 'block of derivatives'} in this DDB")
    n, typat = int(values["natom"][0]), values["typat"].astype(int)
    rows = values["rprim"].reshape(3, 3) * values["acell"][:, None]
    volume, to_cartesian = abs(np.linalg.det(rows)), np.linalg.inv(rows)
    labels: dict[str, object] = {}
    if energy := re.search(rf"Total energy\s+- # elements.*\n\s*({_FLOAT})", blocks):
        labels["energy"] = float(energy[1]) * HARTREE
    first = _elements(blocks, "1st derivatives", 2, n)
    if np.isfinite(first[:, :n]).all():
        forces = -(to_cartesian @ first[:, :n]).T * HARTREE / BOHR
        labels["forces"] = forces - forces.mean(axis=0)  # as ABINIT does for its other outputs
    if np.isfinite(first[:, n + 2 :]).all():
        labels["virial"] = -volume * from_six(np.concatenate([first[:, n + 2], first[:, n + 3]]), ASE_ORDER) * HARTREE
    second = _elements(blocks, "2nd derivatives", 4, n)
    field = second[:, n + 1, :, n + 1]
    if np.isfinite(field).all():
        epsilon = np.eye(3) - 4 * np.pi / volume * rows.T @ field @ rows / (2 * np.pi) ** 2
        labels["polarizability"] = _susceptible(epsilon, volume * BOHR**3)
    mixed = second[:, :n, :, n + 1].transpose(1, 0, 2)  # [atom, displacement, field]
    if np.isfinite(mixed).all():
        labels["born_charges"] = _born(mixed, rows, values["zion"][typat - 1])
    if not labels:
        raise DataFileError(f"{path}: this DDB has no energy, forces, dielectric tensor or Born charges (at q = 0)")
    return _run(path, values["znucl"], typat, rows, values["xred"].reshape(n, 3), labels)


def _born(mixed, rows, ions):
    cartesian = np.linalg.inv(rows) @ mixed @ rows / (2 * np.pi)
    return cartesian.transpose(0, 2, 1) + ions[:, None, None] * np.eye(3)


def _elements(blocks, kind, n_indices, n):
    """Return the elements of all blocks of a kind at q = 0, indexed as in the file but from 0; NaN if missing."""
    array = np.full((3, n + 4) * (n_indices // 2), np.nan)
    row = re.compile(r"^\s*" + r"(\d+)\s+" * n_indices + rf"({_FLOAT})\s+{_FLOAT}\s*$")
    active = False
    for line in blocks.splitlines():
        if "# elements" in line:
            active = kind in line
        elif line.split()[:1] == ["qpt"]:
            active = active and not any(float(w) for w in line.split()[1:4])
        elif active and (match := row.match(line)):
            place = tuple(int(k) - 1 for k in match.groups()[:-1])
            if all(p < size for p, size in zip(place, array.shape, strict=True)):
                array[place] = float(match.groups()[-1])
    return array


# netCDF ----------------------------------------------------------------------------------------------------------


def _read_netcdf(path: Path, data: bytes) -> FieldRun:
    import io

    import h5py

    try:
        file = h5py.File(io.BytesIO(data))
    except OSError as error:
        raise DataFileError(f"{path}: is not netCDF-4 (older kinds cannot be read here): {error}") from error
    with file:
        for name in ("primitive_vectors", "reduced_atom_positions", "atomic_numbers", "atom_species"):
            if name not in file:
                raise DataFileError(f"{path}: no '{name}' in this netCDF file")
        for data_set in (item for item in file.values() if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu"):
            check_rows(data_set, path, len(data))
        rows, species = file["primitive_vectors"][()], file["atom_species"][()]
        volume = abs(np.linalg.det(rows))
        labels: dict[str, object] = {}
        if "e_elecfield" in file and file["e_elecfield"][()] != 0:
            raise DataFileError(f"{path}: is in a constant field that it does not state; give the main output")
        if "etotal" in file:
            labels["energy"] = float(file["etotal"][()]) * HARTREE
        if "cartesian_forces" in file:
            labels["forces"] = file["cartesian_forces"][()] * HARTREE / BOHR
        if "cartesian_stress_tensor" in file:
            labels["virial"] = -volume * from_six(file["cartesian_stress_tensor"][()], ASE_ORDER) * HARTREE
        name = "born_effective_charge_tensor"
        if name in file and file[f"{name}_mask"][()].all():
            mixed = file[name][()].transpose(1, 2, 0)  # from [field, atom, displacement]
            labels["born_charges"] = _born(mixed, rows, file["valence_charges"][()][species - 1])
        if not labels:
            raise DataFileError(f"{path}: no energy, forces or Born charges in this netCDF file")
        return _run(path, file["atomic_numbers"][()], species, rows, file["reduced_atom_positions"][()], labels)
