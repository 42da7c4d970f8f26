"""Artifacts of electric-enthalpy models: of a single model, or of the mean of several, which is used like one model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..conventions import HYPERPOLARIZABILITY
from ..errors import InputError
from ..models.enthalpy.sites import EnthalpySites, SiteShape
from ..ops.enthalpy import NativeEnthalpy
from .archive import Artifact, load_stored, save_exact
from .metadata import DTYPES, UNITS, Metadata, check_dtype
from .training_range import TrainingRange, joined


def artifact_from_enthalpy(
    members: Sequence[EnthalpySites],
    species: tuple[str, ...],
    cutoff: float,
    n_radial: int,
    zbl: float = 0.0,
    dtype: str = "float64",
    provenance: dict | None = None,
    training_range: dict | None = None,
) -> Artifact:
    """Return an electric-enthalpy model, or the mean of several, as an artifact in memory (not scripted).

    Parameters
    ----------
    members : sequence of EnthalpySites
        Trained site functions of the models, in any dtype and on any device; they are copied.
    species, cutoff, n_radial, zbl
        See ``tnep_calc.models.enthalpy.model.Enthalpy``.
    dtype : {"float64", "float32"}
        Type of the arithmetic.
    provenance : dict, optional
        Where the model comes from.
    training_range : dict, optional
        Range of the training data, from :meth:`tnep_calc.artifact.training_range.TrainingRange.table`.

    Raises
    ------
    InputError
        If dtype is unknown, the members differ in their sizes, or species or n_radial do not match the members.
    """
    check_dtype(dtype)
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
    converted = [sites.converted(DTYPES[dtype]) for sites in members]
    units = UNITS | ({HYPERPOLARIZABILITY: "e*A^3/V^2"} if shape.hyperpolarizability else {})
    module = NativeEnthalpy(converted, tuple(species), cutoff, n_radial, zbl).eval()
    metadata = Metadata(
        family="enthalpy",
        kind="enthalpy",
        quantities=tuple(module.quantities),
        species=tuple(species),
        cutoff=cutoff,
        dtype=dtype,
        units=units,
        provenance=provenance or {},
        training_range=training_range,
    )
    return Artifact(module, metadata)


def export_enthalpy(
    members: Sequence[EnthalpySites],
    species: tuple[str, ...],
    cutoff: float,
    n_radial: int,
    zbl: float,
    path,
    dtype: str = "float64",
    provenance: dict | None = None,
    training_range: dict | None = None,
) -> Metadata:
    """Write an electric-enthalpy model, or the mean of several, as an artifact; the file is written atomically.

    The file has the weights in float64, so that it serves both precisions; `dtype` is the type of the arithmetic for
    those who ask for none.  The other arguments and errors are those of `artifact_from_enthalpy`; `path` is the file to
    write, usually named ``*.pt``.

    Returns
    -------
    Metadata
    """
    check_dtype(dtype)
    exact = artifact_from_enthalpy(members, species, cutoff, n_radial, zbl, "float64", provenance, training_range)
    return save_exact(exact, dtype, path)


def export_mean(paths: Sequence[str | Path], path: str | Path, provenance: dict | None = None) -> Metadata:
    """Write the mean of electric-enthalpy models as one artifact; the file is written atomically.

    Energy, forces, dipole, Born charges, polarizability and all other quantities are means over the models.  Neighbours
    and densities, which the models share, are computed once: the mean of four models costs about three times as much as
    one model.

    Parameters
    ----------
    paths : sequence of path
        Artifacts of single models with the same species, cutoff, sizes, repulsion and precision.
    path : path
        File to write, usually named ``*.pt``.
    provenance : dict, optional
        Where the models come from; the last folder and the name of each file are added as ``mean_of``.

    Returns
    -------
    Metadata

    Raises
    ------
    ModelFileError
        If a file cannot be read.
    InputError
        If a model is not of this family or is itself a mean, or the models differ in their configuration.
    """
    members: list[EnthalpySites] = []
    kinds: dict[tuple, str | Path] = {}
    ranges: list[TrainingRange | None] = []
    for name in paths:
        artifact = load_stored(name)
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
        ranges.append(TrainingRange.from_table(meta.training_range, meta.species))
        kinds.setdefault((meta.species, meta.cutoff, zbl, meta.dtype, sites[0].shape_), name)
    if len(kinds) != 1:
        words = [
            f"{name}: {' '.join(species)}, cutoff {cutoff:g} Å, repulsion to {zbl:g} Å, {dtype}, {shape}"
            for (species, cutoff, zbl, dtype, shape), name in kinds.items()
        ]
        raise InputError("a mean needs models of the same configuration, got\n  " + "\n  ".join(words or ["none"]))
    ((species, cutoff, zbl, dtype, shape),) = kinds
    together = joined(ranges)
    own = {"mean_of": ["/".join(Path(name).parts[-2:]) for name in paths], **(provenance or {})}
    return export_enthalpy(
        members, species, cutoff, shape.n_radial, zbl, path, dtype, own, together.table() if together else None
    )


def members_of(artifact: Artifact) -> list[EnthalpySites]:
    """Return the site functions of the members of an electric-enthalpy model that was read from a file.

    Raises
    ------
    InputError
        If the file was written by an older version of the package, which did not store the members.
    """
    plain: Any = artifact.module.plain
    if not hasattr(plain, "n_members"):
        raise InputError("an enthalpy model from an older version of tnep_calc: export it again from its training")
    state = artifact.module.state_dict()
    members = []
    for k in range(int(plain.n_members)):
        prefix = f"plain.members.{k}."
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        species, _, features, channels = own["contraction"].shape
        shape = SiteShape(species, features // species, channels, own["w1"].shape[2], "rank3" in own)
        members.append(EnthalpySites(shape, DTYPES[artifact.metadata.weights]))
        members[-1].load_state_dict(own)
    return members


def in_precision(artifact: Artifact, dtype: str) -> Artifact:
    """Return the model with the same weights in another type of the arithmetic.

    Raises
    ------
    InputError
        If the file was written by an older version of the package, see :func:`members_of`.
    """
    members, meta, plain = members_of(artifact), artifact.metadata, artifact.module.plain
    zbl = float(plain.zbl_radius)  # type: ignore[union-attr,arg-type]
    radial = members[0].shape_.n_radial
    return artifact_from_enthalpy(
        members, meta.species, meta.cutoff, radial, zbl, dtype, dict(meta.provenance), meta.training_range
    )
