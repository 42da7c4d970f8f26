"""Artifacts of radnet models."""

from __future__ import annotations

import copy

from ..errors import InputError
from ..models.radnet.model import RadNet
from ..models.radnet.sites import RadnetSites
from .archive import Artifact, save_artifact
from .metadata import DTYPES, UNITS, Metadata


def artifact_from_radnet(
    sites: RadnetSites, species: tuple[str, ...], provenance: dict | None = None, training_range: dict | None = None
) -> Artifact:
    """Return a radnet model as an artifact in memory (not scripted).

    Parameters
    ----------
    sites : RadnetSites
        Trained site functions, on any device; they are copied.  The artifact keeps their dtype.
    species : tuple of str
        Chemical symbols.
    provenance : dict, optional
        Where the model comes from.
    training_range : dict, optional
        Range of the training data, from :meth:`tnep_calc.artifact.training_range.TrainingRange.table`.

    Raises
    ------
    InputError
        If the number of species differs from that of the site functions.
    """
    if len(species) != sites.n_species:
        raise InputError(f"the site functions have {sites.n_species} species, got {len(species)} ({' '.join(species)})")
    module = RadNet(copy.deepcopy(sites).requires_grad_(False).to("cpu")).eval()
    dtype = next(name for name, dtype in DTYPES.items() if dtype == module.dtype)
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

    Arguments and errors are those of `artifact_from_radnet`; `path` is the file to write, usually named ``*.pt``.

    Returns
    -------
    Metadata
    """
    artifact = artifact_from_radnet(sites, species, provenance, training_range)
    save_artifact(artifact, path)
    return artifact.metadata
