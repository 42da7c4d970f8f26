"""The exported model file: a TorchScript archive with metadata, which both ASE and LAMMPS load.

`metadata` defines the metadata of a file, `archive` reads and writes the file, and each model family has a module that
turns its models into artifacts.
"""

from .archive import Artifact, is_artifact, read_metadata, save_artifact
from .enthalpy import artifact_from_enthalpy, export_enthalpy, export_mean
from .metadata import DTYPES, FORMAT, METADATA_FILE, Metadata
from .nep import artifact_from_nep, export_artifact
from .precision import in_precision, load_artifact
from .radnet import artifact_from_radnet, export_radnet

__all__ = [
    "DTYPES",
    "FORMAT",
    "METADATA_FILE",
    "Artifact",
    "Metadata",
    "artifact_from_enthalpy",
    "artifact_from_nep",
    "artifact_from_radnet",
    "export_artifact",
    "export_enthalpy",
    "export_mean",
    "export_radnet",
    "in_precision",
    "is_artifact",
    "load_artifact",
    "read_metadata",
    "save_artifact",
]
