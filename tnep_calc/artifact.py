"""The exported model file: TorchScript with metadata; the only module that touches ``torch.jit``.

An artifact is a TorchScript archive (a zip file) with one more member, ``extra/tnep_calc.json``: what the model is,
what it gives, and in which units.  ASE and LAMMPS read the same file and re-type nothing that it knows.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch

from . import __version__
from .errors import InputError, ModelFileError
from .io.files import atomic_output
from .io.nep_txt import NepParameters, read_nep
from .models.enthalpy import HYPERPOLARIZABILITY
from .models.enthalpy_sites import EnthalpySites
from .models.nep import QUANTITIES, response_factor
from .ops.native import NativeNEP
from .ops.native_enthalpy import NativeEnthalpy

FORMAT = 1
"""Version of the file format that this package writes; older ones are read, newer ones refused."""
METADATA_FILE = "tnep_calc.json"
DTYPES = {"float64": torch.float64, "float32": torch.float32}

_UNITS = {"length": "A", "energy": "eV", "dipole": "e*A", "polarizability": "e*A^2/V"}
torch.jit.export(NativeNEP.from_positions)  # scripts keep this method beside forward

_CONVENTIONS = {
    "vectors": "r_neighbor - r_center",
    "virial": "-sum r[a] dU/dr[b]",
    "virials": "attributed to the neighbour",
    "born_charges": "[atom, dipole component, displacement component]",
    "polarizability_gradient": "[atom, displacement component, i, j]",
    "piezoelectric": "[dipole component, a, b] = sum r[a] dP/dr[b]",
}


@dataclass(frozen=True)
class Metadata:
    """What an artifact knows about itself.

    Attributes
    ----------
    family : str
        Model family, ``"nep"`` or ``"enthalpy"``.
    kind : str
        ``"potential"``, ``"dipole"``, ``"polarizability"`` or ``"enthalpy"`` (all of them in one).
    quantities : tuple of str
        What ``forward`` gives (names of the contract in ``tnep_calc.models``).
    species : tuple of str
        Chemical symbols in the order of the species index.
    cutoff : float
        Largest cutoff in Å.
    dtype : str
        Type of the arithmetic, ``"float64"`` or ``"float32"`` (results are always float64).
    units : dict
        ``length`` (A), ``energy`` (eV), ``dipole`` (e*A), ``polarizability`` (e*A^2/V, or N*chi for the susceptibility
        times the number of atoms), ``hyperpolarizability`` (e*A^3/V^2) of enthalpy models of third order in the field.
    provenance : dict
        Where the model comes from (free text values).
    format, package_version, torch_version
        Version of the file format, of the package and of torch that wrote it.
    conventions : dict
        Index orders and signs, in words.
    """

    family: str
    kind: str
    quantities: tuple[str, ...]
    species: tuple[str, ...]
    cutoff: float
    dtype: str
    units: dict
    provenance: dict = field(default_factory=dict)
    format: int = FORMAT
    package_version: str = __version__
    torch_version: str = torch.__version__
    conventions: dict = field(default_factory=lambda: dict(_CONVENTIONS))

    @classmethod
    def from_json(cls, text: str, path) -> Metadata:
        """Return the metadata of a file, or say what is wrong with them."""
        try:
            data = json.loads(text)
            version = int(data["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path}: its {METADATA_FILE} cannot be read ({error})") from error
        if version > FORMAT:
            raise ModelFileError(
                f"{path}: file format {version}, written by tnep_calc {data.get('package_version', '?')}, is newer "
                f"than this tnep_calc {__version__} reads (format {FORMAT}): update the package, or export it again"
            )
        names = {f.name for f in fields(cls)}
        missing = sorted(names - set(data))
        if missing:
            raise ModelFileError(f"{path}: its metadata lack {', '.join(missing)}: export the model again")
        data = {name: data[name] for name in names}
        return cls(**{**data, "quantities": tuple(data["quantities"]), "species": tuple(data["species"])})


@dataclass(frozen=True)
class Artifact:
    """A model that is ready to be called, with its metadata.

    Attributes
    ----------
    module : torch.nn.Module
        Called as described in ``tnep_calc.models``.
    metadata : Metadata
    """

    module: torch.nn.Module
    metadata: Metadata

    def __call__(self, species, centers, offsets, neighbors, vectors, quantities, field=None):
        """Return the wanted quantities by name; arguments and results as in ``tnep_calc.models``."""
        # Without the profiling executor there is no warm-up of several slow calls, and the steady speed is higher.
        with torch.enable_grad(), torch.jit.optimized_execution(False):
            return self.module(species, centers, offsets, neighbors, vectors, quantities, field)


def artifact_from_nep(
    parameters: NepParameters, dtype: str = "float64", unit: str | None = None, provenance: dict | None = None
) -> Artifact:
    """Return a NEP or TNEP model as an artifact in memory (not scripted).

    Parameters
    ----------
    parameters : NepParameters
    dtype : {"float64", "float32"}
        Type of the arithmetic.
    unit : str, optional
        Unit of the training data of a dipole or polarizability model, see ``tnep_calc.models.nep.NEP``.
    provenance : dict, optional
        Where the model comes from.

    Raises
    ------
    InputError
        If dtype or unit is unknown.
    """
    _check_dtype(dtype)
    answer = response_factor(parameters.kind, unit)[1]
    units = dict(_UNITS)
    if parameters.kind == "polarizability":
        units["polarizability"] = answer
    metadata = Metadata(
        family="nep", kind=parameters.kind, quantities=QUANTITIES[parameters.kind], species=parameters.species,
        cutoff=parameters.cutoff, dtype=dtype, units=units, provenance=provenance or {},
    )  # fmt: skip
    return Artifact(NativeNEP(parameters, DTYPES[dtype], unit).eval(), metadata)


def artifact_from_enthalpy(
    members: Sequence[EnthalpySites], species: tuple[str, ...], cutoff: float, n_radial: int, zbl: float = 0.0,
    dtype: str = "float64", provenance: dict | None = None,
) -> Artifact:  # fmt: skip
    """Return an electric-enthalpy model, or the mean of several, as an artifact in memory (not scripted).

    Parameters
    ----------
    members : sequence of EnthalpySites
        Trained site functions of the models, in any dtype and on any device; they are copied.
    species, cutoff, n_radial, zbl
        See ``tnep_calc.models.enthalpy.Enthalpy``.
    dtype : {"float64", "float32"}
        Type of the arithmetic.
    provenance : dict, optional
        Where the model comes from.

    Raises
    ------
    InputError
        If dtype is unknown, the members differ in their sizes, or species or n_radial are not theirs.
    """
    _check_dtype(dtype)
    shapes = [sites.shape_ for sites in members]
    if len(set(shapes)) != 1:
        found = "; ".join(str(shape) for shape in dict.fromkeys(shapes))
        raise InputError(f"members of a mean must have the same sizes, got {found or 'no member'}")
    shape = shapes[0]
    if (len(species), n_radial) != (shape.n_species, shape.n_radial):
        raise InputError(
            f"the site functions have {shape.n_species} species and {shape.n_radial} radial functions, got "
            f"{len(species)} ({' '.join(species)}) and {n_radial}"
        )
    converted = []
    for sites in members:
        converted.append(copy.deepcopy(sites).requires_grad_(False).to("cpu", DTYPES[dtype]))
        converted[-1].site = sites.site.cpu().double()  # energies of free atoms are too large for float32
    units = _UNITS | ({HYPERPOLARIZABILITY: "e*A^3/V^2"} if shape.hyperpolarizability else {})
    module = NativeEnthalpy(converted, tuple(species), cutoff, n_radial, zbl).eval()
    metadata = Metadata(
        family="enthalpy", kind="enthalpy", quantities=tuple(module.quantities), species=tuple(species), cutoff=cutoff,
        dtype=dtype, units=units, provenance=provenance or {},
    )  # fmt: skip
    return Artifact(module, metadata)


def export_artifact(
    source, path, dtype: str = "float64", unit: str | None = None, model_type: str | None = None,
    provenance: dict | None = None,
) -> Metadata:  # fmt: skip
    """Write a model as an artifact for ASE and LAMMPS; the file appears complete or not at all.

    Parameters
    ----------
    source : str, path or NepParameters
        A ``nep.txt``, or what was read from one.
    path : str or path
        File to write, usually named ``*.pt``.
    dtype, unit, provenance
        See `artifact_from_nep`.
    model_type : str, optional
        Kind of a model whose old ``nep.txt`` does not tell it, see ``read_nep``.

    Returns
    -------
    Metadata

    Raises
    ------
    ModelFileError
        If the source cannot be read.
    InputError
        If dtype or unit is unknown.
    """
    parameters = source if isinstance(source, NepParameters) else read_nep(source, model_type)
    origin = {} if isinstance(source, NepParameters) else {"source": Path(source).name}
    artifact = artifact_from_nep(parameters, dtype, unit, {**origin, **(provenance or {})})
    save_artifact(artifact, path)
    return artifact.metadata


def export_enthalpy(
    members: Sequence[EnthalpySites], species: tuple[str, ...], cutoff: float, n_radial: int, zbl: float, path,
    dtype: str = "float64", provenance: dict | None = None,
) -> Metadata:  # fmt: skip
    """Write an electric-enthalpy model, or a mean of several, as an artifact; the file appears complete or not at all.

    Arguments and errors as of `artifact_from_enthalpy`; `path` is the file to write, usually named ``*.pt``.

    Returns
    -------
    Metadata
    """
    artifact = artifact_from_enthalpy(members, species, cutoff, n_radial, zbl, dtype, provenance)
    save_artifact(artifact, path)
    return artifact.metadata


def save_artifact(artifact: Artifact, path) -> None:
    """Script a model in memory and write it with its metadata; the file appears complete or not at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(artifact.module)
        buffer = io.BytesIO()
        extra = {METADATA_FILE: json.dumps(asdict(artifact.metadata), indent=1)}
        torch.jit.save(scripted, buffer, _extra_files=extra)
    with atomic_output(path, force=True) as temporary:
        temporary.write_bytes(buffer.getvalue())


def _check_dtype(dtype):
    if dtype not in DTYPES:
        raise InputError(f"dtype must be {' or '.join(DTYPES)}, got '{dtype}'")


def is_artifact(path) -> bool:
    """Tell whether a file starts like an artifact (a zip archive) rather than like a ``nep.txt``."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"PK"
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_metadata(path) -> Metadata:
    """Return the metadata of an artifact without loading the model.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, not an artifact, or of a newer format.
    """
    if not is_artifact(path):
        raise ModelFileError(f"{path}: not an artifact (expected a TorchScript archive written by 'tnep export')")
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = [n for n in archive.namelist() if n.endswith(f"extra/{METADATA_FILE}")]
            text = archive.read(names[0]).decode() if names and broken is None else ""
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ModelFileError(f"{path}: truncated or damaged archive ({error}): copy or export it again") from error
    if broken is not None:
        raise ModelFileError(f"{path}: damaged archive (checksum of {broken}): copy or export it again")
    if not names:
        raise ModelFileError(
            f"{path}: an archive without {METADATA_FILE}, so not written by tnep_calc: use 'tnep export' on the nep.txt"
        )
    return Metadata.from_json(text, path)


def load_artifact(path, device: str = "cpu") -> Artifact:
    """Load an artifact.

    Parameters
    ----------
    path : str or path
    device : str, default "cpu"
        A torch device, e.g. ``"cuda"``.

    Returns
    -------
    Artifact

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, foreign, of a newer format, or cannot be run by this torch.
    """
    metadata = read_metadata(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelFileError(
            f"{path}: written with torch {metadata.torch_version}, cannot be loaded by torch {torch.__version__} "
            f"({reason}): export the model again with this torch"
        ) from error
    return Artifact(module.eval(), metadata)
