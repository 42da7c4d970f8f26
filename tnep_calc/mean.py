"""The mean of several trained electric-enthalpy models as one model, which runs wherever one does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .artifact import DTYPES, Artifact, Metadata, export_enthalpy, load_artifact
from .errors import InputError
from .models.enthalpy_sites import EnthalpySites, SiteShape


def export_mean(paths: Sequence[str | Path], path: str | Path, provenance: dict | None = None) -> Metadata:
    """Write the mean of electric-enthalpy models as one artifact; the file appears complete or not at all.

    Energy, forces, dipole, Born charges, polarizability, ... are the means of those of the models.  Neighbours and
    densities, which the models share, are computed once: the mean of four costs about three times one.

    Parameters
    ----------
    paths : sequence of path
        Artifacts of single models with the same species, cutoff, sizes, repulsion and precision.
    path : path
        File to write, usually named ``*.pt``.
    provenance : dict, optional
        Where the models come from; files and folders of the models are added.

    Returns
    -------
    Metadata

    Raises
    ------
    ModelFileError
        If a file cannot be read.
    InputError
        If a model is not of this family, is a mean itself, or the models do not fit together.
    """
    members: list[EnthalpySites] = []
    kinds: dict[tuple, str | Path] = {}
    for name in paths:
        artifact = load_artifact(name)
        meta = artifact.metadata
        if meta.family != "enthalpy":
            raise InputError(f"{name}: a {meta.kind} model of the family {meta.family}; means are for enthalpy models")
        try:
            sites = members_of(artifact)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        if len(sites) > 1:
            raise InputError(f"{name}: the mean of {len(sites)} models itself: give the single models")
        members += sites
        plain: Any = artifact.module.plain
        zbl = float(plain.zbl_radius)
        kinds.setdefault((meta.species, meta.cutoff, zbl, meta.dtype, sites[0].shape_), name)
    if len(kinds) != 1:
        words = [
            f"{name}: {' '.join(species)}, cutoff {cutoff:g} Å, repulsion to {zbl:g} Å, {dtype}, {shape}"
            for (species, cutoff, zbl, dtype, shape), name in kinds.items()
        ]
        raise InputError("only models of one configuration have a mean, got\n  " + "\n  ".join(words or ["none"]))
    ((species, cutoff, zbl, dtype, shape),) = kinds
    own = {"mean_of": ["/".join(Path(name).parts[-2:]) for name in paths], **(provenance or {})}
    return export_enthalpy(members, species, cutoff, shape.n_radial, zbl, path, dtype, own)


def members_of(artifact: Artifact) -> list[EnthalpySites]:
    """Return the site functions of the members of an electric-enthalpy model that was read from a file."""
    plain: Any = artifact.module.plain
    if not hasattr(plain, "n_members"):
        raise InputError("an enthalpy model of an older version: export it again from its training")
    state = artifact.module.state_dict()
    members = []
    for k in range(int(plain.n_members)):
        prefix = f"plain.members.{k}."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        species, _, features, channels = own["contraction"].shape
        shape = SiteShape(species, features // species, channels, own["w1"].shape[2], "rank3" in own)
        members.append(EnthalpySites(shape, DTYPES[artifact.metadata.dtype]))
        members[-1].load_state_dict(own)
    return members
