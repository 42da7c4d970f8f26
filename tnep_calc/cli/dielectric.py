"""``tnep dielectric``: the complete dielectric response from a time series."""

from __future__ import annotations

import argparse

from ..errors import InputError
from .mode_output import add_equal_energies_argument, equal_energies
from .spectra_options import (
    add_route_argument,
    add_spectrum_arguments,
    chosen_route,
    dipole_pieces,
    finish,
    load_series,
    provenance,
    volume_of,
)

EPILOG = """\
The table has eps'(w), eps''(w), n*alpha, refractive index n, extinction k, absorption coefficient, reflectivity (normal
incidence), loss -Im(1/eps), emissivity and conductivity, each with its standard error; with --tensor the six components
of eps as well; with --angle the reflectivity for s and p polarization.

Two routes give the same numbers: the dipole, whose mean is subtracted and whose branch --unwrap follows, or the current
sum_j Z_j . v_j in the series, which has no branches. Peaks of eps'' are transverse frequencies, and peaks of the loss
are longitudinal ones. The motion of the ions does not contain eps_inf. Without --eps-inf the optical quantities
are those of the ions alone.

No quantum correction is applied, because the classical fluctuation-dissipation formula is already exact for harmonic
modes.

In a crystal the energies of the few modes that absorb still fluctuate in a run of some ten picoseconds. With
--equal-energies each of them gets k_B T.

example:
  tnep dielectric run.h5 -o eps.txt --eps-inf series --plot eps.png --static eps0.png
  tnep dielectric run.h5 -o eps.h5 --eps-inf 2.1 2.1 2.4 --tensor --angle 60 --route current
  tnep dielectric run.h5 -o eps.h5 --eps-inf 2.4 --equal-energies    # run.h5 from 'tnep series --phonons DIR'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tnep dielectric``."""
    parser.epilog = EPILOG
    add_spectrum_arguments(parser)
    add_route_argument(parser)
    add_equal_energies_argument(parser)
    parser.add_argument("--volume", type=float, metavar="A3", help="volume in A^3 (default: that of the series)")
    parser.add_argument(
        "--eps-inf",
        nargs="+",
        metavar="EPS",
        help="electronic dielectric constant: one number, three (xx yy zz), nine (row by row), or 'series' for "
        "1 + <alpha>/(eps0 V) from the polarizability in the series (default: 1)",
    )
    parser.add_argument(
        "--direction",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="field direction for one component of an oriented crystal (default: average over directions)",
    )
    parser.add_argument("--tensor", action="store_true", help="add the six components xx yy zz yz xz xy of eps")
    parser.add_argument(
        "--angle",
        type=float,
        metavar="DEG",
        help="angle of incidence for the reflectivity with s and p polarization (with --tensor: of a crystal with its "
        "surface normal to z, plane of incidence xz)",
    )
    parser.add_argument(
        "--unwrap", action="store_true", help="undo jumps between polarization branches (needs the cell in the series)"
    )
    parser.add_argument(
        "--parts",
        metavar="FILE",
        help="also write the absorption as a sum over species, with self and cross terms, from the currents of the "
        "species in the series ('tnep series --current')",
    )
    parser.add_argument(
        "--static", metavar="FILE", help="figure to write: static dielectric constant against the length of the run"
    )


def electronic(words: list[str] | None, series, volume: float):
    """Return the electronic dielectric constant or tensor that ``--eps-inf`` stands for, and print where it is from.

    Parameters
    ----------
    words : list of str, optional
        Words of ``--eps-inf``: one number, three, nine, or ``series``.
    series : TimeSeries
        Needs a polarizability for ``series``.
    volume : float, in Å³
        Volume of the cell.

    Returns
    -------
    float, array of shape (3, 3), or None
        None if the option was not given.

    Raises
    ------
    InputError
        If the words are not as above, or the series has no polarizability.
    """
    import numpy as np

    from ..spectra import electronic_dielectric

    if words is None:
        print("note: without --eps-inf, eps, n, R and the loss are those of the ions in vacuum (eps_inf = 1)")
        return None
    if words == ["series"]:
        if series.polarizability is None:
            raise InputError("--eps-inf series needs a polarizability in the series")
        found = electronic_dielectric(series.polarizability.pieces(), volume)
        print("eps_inf = 1 + <alpha>/(eps0 V), its standard error, and its rms change with the motion of the atoms:")
        for name, k in zip("xyz", range(3), strict=True):
            print(
                f"  {name}{name} {found.tensor[k, k]:.4f} +- {found.errors[k, k]:.2g}   rms {found.dynamic[k, k]:.2g}"
            )
        return 0.5 * (found.tensor + found.tensor.T)
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise InputError(f"--eps-inf must be numbers or 'series', got '{' '.join(words)}'") from None
    if len(numbers) not in (1, 3, 9):
        raise InputError(f"--eps-inf is one number, three (xx yy zz) or nine, got {len(numbers)}")
    if len(numbers) == 1:
        return numbers[0]
    return np.diag(numbers) if len(numbers) == 3 else np.reshape(numbers, (3, 3))


def run(args: argparse.Namespace) -> None:
    """Compute and write the response."""
    from ..plotting.dielectric import plot_dielectric
    from ..spectra import dielectric_spectrum, static_dielectric

    spectra, static = [], None
    route = chosen_route(args)
    if args.static and route == "current":
        raise InputError("--static needs the dipole: the current has no static fluctuation")
    for option in ("static", "parts"):
        if getattr(args, option) and len(args.series) > 1:
            raise InputError(f"--{option} needs one series, not those of an ensemble")
    for path, series, sampled, temperature in load_series(args, route):
        volume = volume_of(args, path, series)
        pieces = dipole_pieces(args, path, series, sampled) if route == "dipole" else sampled.pieces(args.skip)
        energies = None
        if args.equal_energies:
            pieces, energies = equal_energies(path, series, sampled, pieces, route, temperature, args.skip)
        eps_inf = electronic(args.eps_inf, series, volume)
        spectrum = dielectric_spectrum(
            sampled.dt,
            volume,
            temperature,
            eps_inf=eps_inf,
            resolution=args.resolution,
            window=args.window,
            blocks=args.blocks,
            direction=args.direction,
            tensor=args.tensor,
            angle=args.angle,
            max_wavenumber=args.max_wavenumber,
            **{route: pieces},
        )
        spectrum.parameters.update(provenance(path, sampled), unwrapped=args.unwrap, skipped_ps=args.skip)
        if energies is not None:
            spectrum.parameters["scaled_energies_kT"] = energies
        spectra.append(spectrum)
        if args.parts:
            write_parts(args, path, series, volume, temperature)
        if route == "dipole":
            static = static_dielectric(pieces, volume, temperature, eps_inf, sampled.dt)
            spectrum.parameters["static_dielectric"] = static.mean
            spectrum.parameters["static_dielectric_error"] = static.error
            print_static(static)
    if static is not None:
        args.numbers["static_dielectric"] = {"mean": static.mean, "error": static.error, "tensor": static.tensor}
    shown = ["eps_real", "eps_imag", "reflectivity", "loss"]
    finish(args, spectra, "eps_imag", plot_dielectric, shown, {"loss": "longitudinal peaks"})
    if static is not None and args.static:
        import matplotlib

        matplotlib.use("Agg")
        from ..plotting.dielectric import plot_static
        from ..plotting.style import save_figure

        save_figure(plot_static(static).figure, args.static, args.force)
        print(f"wrote {args.static}")


def write_parts(args: argparse.Namespace, path: str, series, volume: float, temperature: float) -> None:
    """Write the absorption as a sum over species and print the share of each."""
    from ..io.series.spectrum_store import save_spectrum
    from ..spectra.decomposition import partial_spectra

    if not series.current_parts:
        raise InputError(f"{path} has no currents of the species: write it again with 'tnep series --current'")
    parts = {
        name: type(series.current)(part, series.current.dt, series.current.starts).pieces(args.skip)
        for name, part in series.current_parts.items()
    }
    found = partial_spectra(
        parts,
        series.current.dt,
        volume,
        temperature,
        route="current",
        resolution=args.resolution,
        window=args.window,
        blocks=args.blocks,
        direction=args.direction,
        max_wavenumber=args.max_wavenumber,
    )
    found.parameters.update(provenance(path, series.current), skipped_ps=args.skip)
    save_spectrum(args.parts, found, args.force)
    whole = found.values["total"].sum()
    shares = (f"{name} {100 * found.values[f'part_{name}'].sum() / whole:.1f} %" for name in series.current_parts)
    print(f"shares of the absorption: {', '.join(shares)} (their spectra add up to the total); wrote {args.parts}")


def print_static(found) -> None:
    """Print a static dielectric constant with its error, and a note if the run is too short for that error."""
    from ..spectra.static import error_text

    ionic = found.mean - float(found.eps_inf.trace() / 3)
    print(
        f"static dielectric constant {found.mean:.4g}{error_text(found.error)} (ions {ionic:.4g}), diagonal "
        + " ".join(f"{found.tensor[k, k]:.4g}{error_text(found.errors[k, k])}" for k in range(3))
    )
    if not error_text(found.error):
        print("note: this run is too short for an error bar")
    elif not found.converged:
        print(
            f"note: this run is short: its {found.blocks} blocks of {found.block_length:.3g} ps are shorter than 10 "
            f"correlation times ({found.correlation_time:.2g} ps), so that the error is a lower bound"
        )
