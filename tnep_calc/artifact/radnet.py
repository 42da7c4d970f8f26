"""Artifacts of radnet models."""

from __future__ import annotations

from ..errors import InputError
from ..models.radnet.model import RadNet
from ..models.radnet.sites import RadnetSites
from .archive import Artifact, save_exact
from .metadata import DTYPES, UNITS, Metadata, check_dtype


def artifact_from_radnet(
    sites: RadnetSites,
    species: tuple[str, ...],
    provenance: dict | None = None,
    training_range: dict | None = None,
    dtype: str | None = None,
) -> Artifact:
    """Return a radnet model as an artifact in memory (not scripted).

    Parameters
    ----------
    sites : RadnetSites
        Trained site functions, on any device; they are copied.
    species : tuple of str
        Chemical symbols.
    provenance : dict, optional
        Where the model comes from.
    training_range : dict, optional
        Range of the training data, from :meth:`tnep_calc.artifact.training_range.TrainingRange.table`.
    dtype : {"float64", "float32"}, optional
        Type of the arithmetic; None means that of the site functions.

    Raises
    ------
    InputError
        If dtype is unknown, or the number of species differs from that of the site functions.
    """
    if len(species) != sites.n_species:
        raise InputError(f"the site functions have {sites.n_species} species, got {len(species)} ({' '.join(species)})")
    dtype = dtype or _type_of(sites)
    check_dtype(dtype)
    module = RadNet(sites.converted(DTYPES[dtype])).eval()
    metadata = Metadata(
        family="radnet",
        kind="radnet",
        quantities=tuple(module.quantities),
        species=tuple(species),
        cutoff=sites.shape_.cutoff,
        dtype=dtype,
        units=dict(UNITS),
        provenance=provenance or {},
        training_range=training_range,
    )
    return Artifact(module, metadata)


def export_radnet(
    sites: RadnetSites,
    species: tuple[str, ...],
    path,
    provenance: dict | None = None,
    training_range: dict | None = None,
) -> Metadata:
    """Write a radnet model as an artifact for ASE and LAMMPS; the file is written atomically.

    The file has the weights in float64, so that it serves both precisions; the type of the site functions is that of
    the arithmetic for those who ask for none.  Arguments and errors are those of `artifact_from_radnet`; `path` is the
    file to write, usually named ``*.pt``.

    Returns
    -------
    Metadata
    """
    exact = artifact_from_radnet(sites, species, provenance, training_range, "float64")
    return save_exact(exact, _type_of(sites), path)


def _type_of(sites: RadnetSites) -> str:
    return next(name for name, dtype in DTYPES.items() if dtype == sites.spread.dtype)
