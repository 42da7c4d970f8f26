"""Options of spectra with phonon modes: ``--modes`` (spectrum, shift, lifetime of each) and ``--equal-energies``."""

from __future__ import annotations

import argparse

from ..errors import InputError

REST = "rest"
"""Name of the part of the spectrum that is not linear in the normal coordinates."""

POLAR = 1e-3
"""Smallest strength of a mode whose energy is printed, relative to the strongest."""


def add_mode_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--modes``."""
    parser.add_argument(
        "--modes",
        metavar="FILE",
        help="also write the spectrum as a sum over phonon modes and a rest, and print frequency, shift, width and "
        "lifetime of every mode (needs 'tnep series --phonons')",
    )


def add_equal_energies_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--equal-energies``."""
    parser.add_argument(
        "--equal-energies",
        action="store_true",
        help="scale the part of each phonon mode so that its mean energy in the run is k_B T, which removes the chance "
        "energies of a short run from strengths, LO frequencies and the static constant; standard errors are upper "
        "bounds (needs 'tnep series --phonons' and velocities)",
    )


def modes_of(path: str, series, sampled, needed: str):
    """Return the modes of a series; InputError if it has none, lacks `needed`, or samples them at other times."""
    modes = series.modes
    if modes is None:
        raise InputError(f"{path} has no modes: write it again from the trajectory with 'tnep series --phonons DIR'")
    if getattr(modes, needed) is None:
        what = {"charges": "Born charges", "raman": "Raman tensors"}[needed]
        raise InputError(f"{path}: its phonons have no {what}: compute them with a model or file that gives these")
    same = (modes.dt, modes.starts, len(modes.coordinates)) == (sampled.dt, tuple(sampled.starts), len(sampled.values))
    if not same:
        raise InputError(f"{path}: modes and {needed} are sampled at different times, so they cannot be correlated")
    return modes


def _motion(path: str, modes, route: str):
    """Return coordinates (dipole) or velocities (current) of the modes; InputError if there are no velocities."""
    if route == "current" and modes.velocities is None:
        raise InputError(f"{path}: the frames had no velocities, so use --route dipole")
    return modes.coordinates if route == "dipole" else modes.velocities


def equal_energies(path: str, series, sampled, pieces, route: str, temperature: float, skip: float):
    """Return the dipole or current of modes with the energy k_B T each, and print the energies in the run.

    Parameters
    ----------
    path : str
        File of the series.
    series : TimeSeries
    sampled : Sampled
        Dipole or current of the series.
    pieces : list of ndarray, shape (samples, 3)
        Its pieces, on one branch.
    route : {"dipole", "current"}
    temperature : float, in K
    skip : float, in ps

    Returns
    -------
    pieces : list of ndarray, shape (samples, 3)
    energies : dict of str to float
        Mean energy of each set of modes in the run, in k_B T.
    """
    import numpy as np

    from ..spectra.equipartition import at_equal_energy, energy_ratios

    modes = modes_of(path, series, sampled, "charges")
    if modes.velocities is None:
        raise InputError(f"{path}: --equal-energies needs frames with velocities")
    rows = modes.rows(skip)
    ratios = energy_ratios([modes.velocities[part] for part in rows], modes.sets, temperature)
    energies = {label: float(np.trace(r) / len(r)) for label, r in zip(modes.labels, ratios, strict=True)}
    strengths = np.array([(modes.charges[list(group)] ** 2).sum() for group in modes.sets])
    polar = [label for label, s in zip(modes.labels, strengths, strict=True) if s > POLAR * strengths.max()]
    print("energies of the polar modes in the run, scaled to 1 (k_B T):")
    print("  " + ", ".join(f"{label} {energies[label]:.2f}" for label in polar))
    motion = _motion(path, modes, route)
    return at_equal_energy(pieces, [motion[part] for part in rows], modes.charges, modes.sets, ratios), energies


def infrared_modes(args: argparse.Namespace, path, series, sampled, pieces, route, volume, temperature) -> None:
    """Write the absorption as a sum over the modes, from the dipole or the current, and print the modes.

    Parameters
    ----------
    args : Namespace
        Options of ``tnep ir``.
    path : str
        File of the series.
    series : TimeSeries
    sampled : Sampled
        Dipole or current of the series.
    pieces : list of ndarray, shape (samples, 3)
        Its pieces, on one branch.
    route : {"dipole", "current"}
    volume : float, in Å³
    temperature : float, in K
    """
    from ..spectra.decomposition import partial_spectra

    _one_series(args)
    modes = modes_of(path, series, sampled, "charges")
    motion = _motion(path, modes, route)
    parts = {
        label: [motion[rows][:, group] @ modes.charges[list(group)] for rows in modes.rows(args.skip)]
        for label, group in zip(modes.labels, modes.sets, strict=True)
    }
    parts[REST] = _rest(pieces, parts)
    found = partial_spectra(
        parts,
        sampled.dt,
        volume,
        temperature,
        route=route,
        resolution=args.resolution,
        window=args.window,
        blocks=args.blocks,
        direction=args.direction,
        max_wavenumber=args.max_wavenumber,
        pairs=False,
    )
    _finish(args, path, modes, sampled, found, "absorption")


def raman_modes(args: argparse.Namespace, path, series, sampled) -> None:
    """Write the classical Raman line shape (no analyser) as a sum over the modes, and print the modes.

    Parameters
    ----------
    args : Namespace
        Options of ``tnep raman``.
    path : str
        File of the series.
    series : TimeSeries
    sampled : Sampled
        Polarizability of the series.
    """
    import numpy as np

    from ..spectra.decomposition import partial_raman

    _one_series(args)
    modes = modes_of(path, series, sampled, "raman")
    parts = {
        label: [
            np.einsum("tm,mij->tij", modes.coordinates[rows][:, group], modes.raman[list(group)])
            for rows in modes.rows(args.skip)
        ]
        for label, group in zip(modes.labels, modes.sets, strict=True)
    }
    parts[REST] = _rest(sampled.pieces(args.skip), parts)
    found = partial_raman(
        parts,
        sampled.dt,
        resolution=args.resolution,
        window=args.window,
        blocks=args.blocks,
        max_wavenumber=args.max_wavenumber,
    )
    _finish(args, path, modes, sampled, found, "Raman intensity")


def _one_series(args: argparse.Namespace) -> None:
    if len(args.series) > 1:
        raise InputError("--modes needs one series, not those of an ensemble")


def _rest(pieces, parts) -> list:
    """Return the pieces minus the sum of the parts."""
    import numpy as np

    return [np.asarray(piece) - np.sum([part[k] for part in parts.values()], axis=0) for k, piece in enumerate(pieces)]


def _finish(args, path, modes, sampled, found, quantity: str) -> None:
    """Add the power spectra of the modes to the parts, print the table of the modes, and write the file."""
    from dataclasses import asdict

    import numpy as np

    from ..io.series.spectrum_store import save_spectrum
    from ..spectra.modes import mode_spectra, modes_in_run
    from .spectra_options import provenance

    motion = modes.coordinates if modes.velocities is None else modes.velocities
    if modes.velocities is None:
        motion = motion - motion.mean(axis=0)
    power = mode_spectra(
        [motion[rows] for rows in modes.rows(args.skip)],
        modes.dt,
        found.parameters["resolution_fwhm_cm-1"],
        args.window,
        args.blocks,
        args.max_wavenumber,
        sets=modes.sets,
        labels=modes.labels,
        displacements=modes.velocities is None,
    )
    harmonic = [float(np.mean(modes.wavenumbers[list(group)])) for group in modes.sets]
    rows = modes_in_run(power, harmonic)
    whole = found.values["total"].sum()
    shares = {label: float(found.values[f"part_{label}"].sum() / whole) for label in (*modes.labels, REST)}
    width = max(len(label) for label in modes.labels)
    print(f"modes in the run (cm^-1; lifetime in ps; share of the {quantity}):")
    print(f"  {'mode':<{width}}  harmonic       in the run       shift            width  lifetime   share")
    for label, row in zip(modes.labels, rows, strict=True):
        lifetime = f"{row.lifetime:8.3g}" if row.resolved else f"{'long':>8}"
        errors = [
            f" +- {error:<6.2g}" if label in power.errors else " " * 10
            for error in (row.frequency_error, row.width_error)
        ]
        print(
            f"  {label:<{width}}  {row.harmonic:8.2f}  {row.frequency:8.2f}{errors[0]}"
            f"{row.shift:+8.2f}  {row.width:6.2f}{errors[1]}{lifetime}  {100 * shares[label]:6.1f} %"
        )
    print(f"  {REST:<{width}}  {'':>57}  {100 * shares[REST]:6.1f} %")
    for label in modes.labels:
        name = f"power_{label}"
        found.values[name], found.units[name] = power.values[label], power.units[label]
        if label in power.errors:
            found.errors[name] = power.errors[label]
    found.parameters.update(
        provenance(path, sampled),
        skipped_ps=args.skip,
        phonons=modes.source,
        modes={label: asdict(row) | {"share": shares[label]} for label, row in zip(modes.labels, rows, strict=True)},
    )
    args.numbers["modes"] = found.parameters["modes"]
    save_spectrum(args.modes, found, args.force)
    print(f"wrote {args.modes}")
