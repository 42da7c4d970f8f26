"""Decomposition of a spectrum into parts of the system, such as species, molecules, groups or modes.

The dipole (or current, or polarizability) of the cell is a sum over parts, ``M = sum_g m_g``.  Its spectrum is the sum
of the self terms ``S_gg`` and the cross terms ``S_gh + S_hg`` of all pairs, of which the latter may be negative.  The
sum is exact to rounding.  The contribution of a part is the correlation of the part with the whole,
``S_gg + sum over h != g of Re S_gh``.  The contributions of all parts add up to the whole as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS, POLARIZABILITY_TO_A3
from .correlation import Piece, Signal, as_pieces, centre, one_sided_transform
from .dielectric import dielectric_function, dielectric_function_from_current, fluctuation_factor
from .estimate import estimate_spectrum
from .infrared import unit_vector
from .raman import INTENSITY, VH_ANISOTROPIC, VV_ANISOTROPIC, invariants
from .record import Spectrum
from .streaming import LazySignal

CONTRIBUTION, SELF, CROSS = "part", "self", "cross"


def partial_spectra(
    parts: Mapping[str, Signal],
    dt: float,
    volume: float,
    temperature: float,
    *,
    route: str = "dipole",
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    direction=None,
    max_wavenumber: float | None = None,
    pairs: bool = True,
) -> Spectrum:
    """Return the infrared absorption ``n(w) alpha(w)`` of a system as a sum over its parts.

    Parameters
    ----------
    parts : mapping of str to ndarray, shape (n, 3), or sequence of such
        Dipoles (e·Å), or currents (e·Å/fs), of the parts of the cell, all with pieces of the same lengths.
    dt : float, in fs
        Sampling interval.
    volume : float, in Å³
    temperature : float, in K
    route : {"dipole", "current"}
        Whether the parts are dipoles or currents.
    resolution, window, blocks, direction, max_wavenumber
        As in :func:`.infrared.infrared_spectrum`.
    pairs : bool
        Whether to compute self and cross terms. For many parts, such as modes, use False: contributions only.

    Returns
    -------
    Spectrum
        Of kind ``"partial"``, in cm^-1, with the column ``total`` and the contributions ``part_<name>``, which add up
        to it.  With `pairs`, there are also ``self_<name>`` and ``cross_<name>_<name>``, which add up to the total as
        well.  Blanks in names are replaced by underscores.

    Raises
    ------
    InputError
        If the route is unknown, there is no part, names are not unique, or the parts have different lengths.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = partial_spectra({"O": rng.normal(size=(4000, 3)), "H": rng.normal(size=(4000, 3))}, 1.0, 500.0, 300.0)
    >>> added = found.values["self_O"] + found.values["self_H"] + found.values["cross_O_H"]
    >>> bool(np.allclose(added, found.values["total"], rtol=1e-10, atol=1e-9))
    True
    """
    transforms = {"dipole": dielectric_function, "current": dielectric_function_from_current}
    if route not in transforms:
        raise InputError(f"the route must be dipole or current, got '{route}'")
    names = [name.replace(" ", "_") for name in parts]
    if not names or len(set(names)) < len(names):
        raise InputError("partial spectra need parts with different names")
    pieces = _joined(parts)
    if route == "dipole":
        pieces = centre(pieces)
    axis = None if direction is None else unit_vector(direction)
    factor = fluctuation_factor(volume, temperature)
    count = len(names)
    width = 3 if axis is None else 1  # components of each part
    signal: list[Piece] = [_with_sums(piece, count, axis, pairs) for piece in pieces]

    def evaluate(correlate, resolution):
        def absorption(correlation):
            wavenumber, eps = transforms[route](correlation / width, dt, resolution, factor)
            return wavenumber, 2 * np.pi * wavenumber * eps.imag

        def own(k):
            return correlate(slice(k * width, (k + 1) * width))

        wavenumber, total = absorption(own(count))
        values = {"total": total}
        if not pairs:
            # 2 <g T> = <(g + T)^2> - <g^2> - <T^2> needs autocorrelations only
            for g, name in enumerate(names):
                with_total = 0.5 * (own(count + 1 + g) - own(g) - own(count))
                values[f"{CONTRIBUTION}_{name}"] = absorption(with_total)[1]
            return wavenumber, values
        matrix = correlate(tensor=True)
        diagonal = np.arange(width)

        def between(g, h):
            return absorption(matrix[:, g * width + diagonal, h * width + diagonal].sum(axis=1))[1]

        values |= {f"{CONTRIBUTION}_{name}": between(g, count) for g, name in enumerate(names)}
        values |= {f"{SELF}_{name}": between(g, g) for g, name in enumerate(names)}
        for g, h in combinations(range(count), 2):
            values[f"{CROSS}_{names[g]}_{names[h]}"] = 2 * between(g, h)
        return wavenumber, values

    class Units(dict):
        def __missing__(self, key):
            return "cm^-1"

    spectrum = estimate_spectrum(
        "partial",
        signal,
        dt,
        evaluate,
        Units(),
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters={
            "temperature_K": float(temperature),
            "volume_A3": float(volume),
            "route": route,
            "direction": None if axis is None else axis.tolist(),
            "parts": names,
            "quantum_correction": "none (the classical form is exact for harmonic modes)",
        },
    )
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)


def _joined(parts: Mapping[str, Signal]) -> list[Piece]:
    """Return pieces with the components of all parts in columns; InputError if lengths differ."""
    columns = {name: as_pieces(signal, (3,), f"part '{name}'") for name, signal in parts.items()}
    lengths = {name: [len(piece) for piece in pieces] for name, pieces in columns.items()}
    first = next(iter(lengths.values()))
    for name, found in lengths.items():
        if found != first:
            raise InputError(f"part '{name}' has pieces of {found} samples, but the first part of {first}")
    if any(isinstance(piece, LazySignal) for pieces in columns.values() for piece in pieces):
        raise InputError("parts must be arrays, because a decomposition is computed in memory")
    return [np.hstack([np.asarray(piece) for piece in pieces]) for pieces in zip(*columns.values(), strict=True)]


def _with_sums(piece, count: int, axis, pairs: bool) -> np.ndarray:
    """Return columns of the parts, then of their sum, and without `pairs` also of each part plus the sum."""
    parts = piece.reshape(len(piece), count, 3)
    if axis is not None:
        parts = (parts @ axis)[:, :, None]
    total = parts.sum(axis=1, keepdims=True)
    columns = [parts, total] if pairs else [parts, total, parts + total]
    return np.concatenate(columns, axis=1).reshape(len(piece), -1)


def self_and_cross(
    molecules: np.ndarray,
    dt: float,
    volume: float,
    temperature: float,
    *,
    route: str = "dipole",
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    max_wavenumber: float | None = None,
) -> Spectrum:
    """Return the absorption of a liquid as the sum of the self terms of its molecules and of all cross terms.

    Parameters
    ----------
    molecules : ndarray, shape (n, molecules, 3), in e·Å or e·Å/fs
        Dipoles or currents of all molecules.
    dt, volume, temperature, route, resolution, window, blocks, max_wavenumber
        As in :func:`partial_spectra`.

    Returns
    -------
    Spectrum
        Columns ``total``, ``self`` (sum over molecules of ``S_mm``) and ``cross`` (total minus self), in cm^-1.

    Raises
    ------
    InputError
        If the array has another shape, or the series is too short.
    """
    signal = np.asarray(molecules, dtype=float)
    if signal.ndim != 3 or signal.shape[2] != 3:
        raise InputError(f"molecules must have shape (n, molecules, 3), got {signal.shape}")
    transform = dielectric_function if route == "dipole" else dielectric_function_from_current
    flat = signal.reshape(len(signal), -1)
    if route == "dipole":
        flat = flat - flat.mean(axis=0)
    total = flat.reshape(signal.shape).sum(axis=1)
    columns = np.hstack([total, flat])
    factor = fluctuation_factor(volume, temperature)

    def evaluate(correlate, resolution):
        wavenumber, whole = transform(correlate(slice(0, 3)) / 3, dt, resolution, factor)
        own = transform(correlate(slice(3, None)) / 3, dt, resolution, factor)[1]
        values = {"total": whole, "self": own, "cross": whole - own}
        return wavenumber, {name: 2 * np.pi * wavenumber * eps.imag for name, eps in values.items()}

    spectrum = estimate_spectrum(
        "partial",
        [columns],
        dt,
        evaluate,
        dict.fromkeys(("total", "self", "cross"), "cm^-1"),
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters={
            "temperature_K": float(temperature),
            "volume_A3": float(volume),
            "route": route,
            "molecules": signal.shape[1],
        },
    )
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)


def partial_raman(
    parts: Mapping[str, Signal],
    dt: float,
    *,
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    max_wavenumber: float | None = None,
) -> Spectrum:
    """Return the classical Raman line shape ``S[a] + (7/30) S[tr(B B)]`` (no analyser) as a sum over parts.

    It is the line shape of VV + VH without the factors of laser and temperature (:func:`.raman.raman_spectrum`).

    Parameters
    ----------
    parts : mapping of str to ndarray, shape (n, 3, 3), or sequence of such, in e·Å²/V
        Polarizabilities of the parts of the cell, which add up to that of the cell.
    dt : float, in fs
        Sampling interval.
    resolution, window, blocks, max_wavenumber
        As in :func:`.infrared.infrared_spectrum`.

    Returns
    -------
    Spectrum
        Of kind ``"partial"``, in Å^6 per cm^-1, with the columns ``total``, ``part_<name>`` (correlation of a part with
        the whole) and ``self_<name>``.  The contributions ``part_<name>`` add up to the total.

    Raises
    ------
    InputError
        If there is no part, names are not unique, or the parts have different lengths.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = partial_raman({name: rng.normal(size=(4000, 3, 3)) for name in ("O", "H")}, 1.0, resolution=100.0)
    >>> bool(np.allclose(found.values["part_O"] + found.values["part_H"], found.values["total"]))
    True
    """
    names = [name.replace(" ", "_") for name in parts]
    if not names or len(set(names)) < len(names):
        raise InputError("partial spectra need parts with different names")
    weights = np.sqrt([1.0, *[VV_ANISOTROPIC + VH_ANISOTROPIC] * 6])
    signals = []
    for name, signal in parts.items():
        pieces = centre(as_pieces(signal, (3, 3), f"part '{name}'"))
        if any(isinstance(piece, LazySignal) for piece in pieces):
            raise InputError("parts must be arrays, because a decomposition is computed in memory")
        columns = [np.column_stack(invariants(np.asarray(piece))) for piece in pieces]
        signals.append([POLARIZABILITY_TO_A3 * weights * rows for rows in columns])
    lengths = [[len(piece) for piece in pieces] for pieces in signals]
    if any(found != lengths[0] for found in lengths):
        raise InputError(f"parts must have pieces of the same lengths, got {lengths}")
    count, width = len(names), len(weights)
    joined: list[Piece] = []
    for of_parts in zip(*signals, strict=True):
        stack = np.stack(of_parts, axis=1)
        total = stack.sum(axis=1, keepdims=True)
        joined.append(np.concatenate([stack, total, stack + total], axis=1).reshape(len(stack), -1))

    def evaluate(correlate, resolution):
        def own(k):
            return correlate(slice(k * width, (k + 1) * width))

        def line(correlation):
            wavenumber, transform = one_sided_transform(correlation, dt, resolution)
            return wavenumber, transform.real * INV_CM_TO_RAD_PER_FS / np.pi

        wavenumber, total = line(own(count))
        values = {"total": total}
        for g, name in enumerate(names):
            values[f"{CONTRIBUTION}_{name}"] = line(0.5 * (own(count + 1 + g) - own(g) - own(count)))[1]
            values[f"{SELF}_{name}"] = line(own(g))[1]
        return wavenumber, values

    units = {"total": INTENSITY, **{f"{kind}_{name}": INTENSITY for kind in (CONTRIBUTION, SELF) for name in names}}
    spectrum = estimate_spectrum(
        "partial",
        joined,
        dt,
        evaluate,
        units,
        resolution=resolution,
        window=window,
        blocks=blocks,
        parameters={"parts": names},
    )
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)


def group_sums(per_atom: np.ndarray, groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the sums of per-atom vectors over groups of atoms.

    Parameters
    ----------
    per_atom : ndarray, shape (n, atoms, 3)
        Dipoles, or currents ``Z_j . v_j`` (:func:`atomic_currents`).
    groups : mapping of str to ndarray of int
        Atoms of each group. Every atom must belong to exactly one group.

    Returns
    -------
    dict of str to ndarray, shape (n, 3)

    Raises
    ------
    InputError
        If the array has another shape, or an atom is in no group or in several.

    Examples
    --------
    >>> sums = group_sums(np.ones((2, 3, 3)), {"O": np.array([0]), "H": np.array([1, 2])})
    >>> sums["H"][0].tolist()
    [2.0, 2.0, 2.0]
    """
    per_atom = np.asarray(per_atom, dtype=float)
    if per_atom.ndim != 3 or per_atom.shape[2] != 3:
        raise InputError(f"per-atom vectors must have shape (n, atoms, 3), got {per_atom.shape}")
    members = np.sort(np.concatenate([np.asarray(atoms, dtype=int) for atoms in groups.values()]))
    if not np.array_equal(members, np.arange(per_atom.shape[1])):
        raise InputError(f"each of the {per_atom.shape[1]} atoms must belong to exactly one group")
    return {name: per_atom[:, np.asarray(atoms, dtype=int)].sum(axis=1) for name, atoms in groups.items()}


def atomic_currents(born_charges: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Return ``Z_j . v_j`` of every atom; the sum over atoms is the time derivative of the dipole.

    Parameters
    ----------
    born_charges : ndarray, shape (atoms, 3, 3) or (n, atoms, 3, 3), in e
        ``Z[atom, dipole component, displacement component]``, constant (an approximation) or of every frame (exact).
    velocities : ndarray, shape (n, atoms, 3), in Å/fs

    Returns
    -------
    ndarray, shape (n, atoms, 3), in e·Å/fs

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    charges, velocities = np.asarray(born_charges, dtype=float), np.asarray(velocities, dtype=float)
    if velocities.ndim != 3 or charges.shape[-3:] != (velocities.shape[1], 3, 3):
        raise InputError(f"Born charges {charges.shape} and velocities {velocities.shape} have shapes that do not fit")
    return np.einsum("...jab,...jb->...ja", charges, velocities)
