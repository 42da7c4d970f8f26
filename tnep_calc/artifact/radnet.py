"""Radnet models as artifacts."""

from __future__ import annotations

import copy

from ..errors import InputError
from ..models.radnet.model import RadNet
from ..models.radnet.sites import RadnetSites
from .archive import Artifact, save_artifact
from .metadata import DTYPES, UNITS, Metadata


def artifact_from_radnet(sites: RadnetSites, species: tuple[str, ...], provenance: dict | None = None) -> Artifact:
    """Return a radnet model as an artifact in memory (not scripted).

    Parameters
    ----------
    sites : RadnetSites
        Trained site functions, on any device; they are copied.  The artifact has their arithmetic.
    species : tuple of str
        Chemical symbols.
    provenance : dict, optional
        Where the model comes from.

    Raises
    ------
    InputError
        If there are more or fewer species than in the site functions.
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
    )
    return Artifact(module, metadata)


def export_radnet(sites: RadnetSites, species: tuple[str, ...], path, provenance: dict | None = None) -> Metadata:
    """Write a radnet model as an artifact for ASE and LAMMPS; the file appears complete or not at all.

    Arguments and errors as of `artifact_from_radnet`; `path` is the file to write, usually named ``*.pt``.

    Returns
    -------
    Metadata
    """
    artifact = artifact_from_radnet(sites, species, provenance)
    save_artifact(artifact, path)
    return artifact.metadata
