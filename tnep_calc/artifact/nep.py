"""Artifacts of NEP and TNEP models."""

from __future__ import annotations

from pathlib import Path

from ..io.gpumd.nep_parameters import NepParameters
from ..io.gpumd.nep_txt import read_nep
from ..models.nep.model import QUANTITIES, response_factor
from ..ops.nep import NativeNEP
from .archive import Artifact, save_exact
from .metadata import DTYPES, UNITS, Metadata, check_dtype


def artifact_from_nep(
    parameters: NepParameters,
    dtype: str = "float64",
    unit: str | None = None,
    provenance: dict | None = None,
    training_range: dict | None = None,
) -> Artifact:
    """Return a NEP or TNEP model as an artifact in memory (not scripted).

    Parameters
    ----------
    parameters : NepParameters
    dtype : {"float64", "float32"}
        Type of the arithmetic, to which the weights are rounded.
    unit : str, optional
        Unit of the training data of a dipole or polarizability model, see ``tnep_calc.models.nep.model.NEP``.
    provenance : dict, optional
        Where the model comes from.
    training_range : dict, optional
        Range of the training data, from :meth:`tnep_calc.artifact.training_range.TrainingRange.table`.

    Raises
    ------
    InputError
        If dtype or unit is unknown.
    """
    check_dtype(dtype)
    answer = response_factor(parameters.kind, unit)[1]
    units = dict(UNITS)
    if parameters.kind == "polarizability":
        units["polarizability"] = answer
    metadata = Metadata(
        family="nep",
        kind=parameters.kind,
        quantities=QUANTITIES[parameters.kind],
        species=parameters.species,
        cutoff=parameters.cutoff,
        dtype=dtype,
        units=units,
        provenance=provenance or {},
        training_range=training_range,
    )
    return Artifact(NativeNEP(parameters, DTYPES[dtype], unit).eval(), metadata)


def export_artifact(
    source,
    path,
    dtype: str = "float64",
    unit: str | None = None,
    model_type: str | None = None,
    provenance: dict | None = None,
    training_range: dict | None = None,
) -> Metadata:
    """Write a NEP or TNEP model as an artifact for ASE and LAMMPS; the file is written atomically.

    The file has the weights in float64, so that it serves both precisions.

    Parameters
    ----------
    source : str, path or NepParameters
        A ``nep.txt``, or the parameters read from one.
    path : str or path
        File to write, usually named ``*.pt``.
    dtype : {"float64", "float32"}
        Type of the arithmetic for those who ask for none.
    unit, provenance, training_range
        See `artifact_from_nep`.
    model_type : str, optional
        Kind of the model, if its ``nep.txt`` is too old to state it, see ``read_nep``.

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
    check_dtype(dtype)
    parameters = source if isinstance(source, NepParameters) else read_nep(source, model_type)
    origin = {} if isinstance(source, NepParameters) else {"source": Path(source).name}
    exact = artifact_from_nep(parameters, "float64", unit, {**origin, **(provenance or {})}, training_range)
    return save_exact(exact, dtype, path)
