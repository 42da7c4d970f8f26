"""Everything that follows from the phonons of a crystal and their response: modes, splittings, spectra, bands."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..spectra.record import Spectrum
from .bands import Bands, DensityOfStates, band_structure, density_of_states
from .infrared import (
    DEFAULT_WIDTH,
    check_widths,
    infrared_modes_spectrum,
    mode_charges,
    oscillator_strengths,
    principal_axes,
    static_dielectric,
)
from .loto import (
    AngleScan,
    Branch,
    LyddaneSachsTeller,
    angle_scan,
    assign,
    check_directions,
    lo_to,
    lyddane_sachs_teller,
)
from .modes import GammaModes
from .raman import raman_modes_spectrum, raman_tensors
from .raman_crystal import porto_spectrum, powder_average
from .workflow import Phonons

POLAR = 1e-7
"""Modes with a smaller infrared intensity than this (e²/amu) have none."""


@dataclass(frozen=True)
class Conditions:
    """Conditions of the spectra.

    Attributes
    ----------
    temperature : float, in K
    laser : float, in nm
    widths : float or ndarray, shape (n_modes,), in cm^-1
        Full widths at half maximum.
    directions : array, shape (n, 3), optional
        Directions of q for the LO-TO table; None: the three principal axes.
    porto : tuple of str
        Scattering geometries, in Porto notation.
    lattice_directions : bool
        Brackets in them are in lattice vectors of the conventional cell, not Cartesian.
    max_wavenumber : float, in cm^-1, optional
        End of the spectra; None: 1.15 times the highest mode.
    step : float, in cm^-1
    bands : bool
        Calculate bands and density of states.
    """

    temperature: float = 300.0
    laser: float = 532.0
    widths: float | np.ndarray = DEFAULT_WIDTH
    directions: np.ndarray | None = None
    porto: tuple[str, ...] = ()
    lattice_directions: bool = False
    max_wavenumber: float | None = None
    step: float = 0.5
    bands: bool = True


@dataclass(frozen=True, eq=False)
class Analysis:
    """Results; what the response does not allow is None or empty.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        Principal axes of the dielectric tensor as rows.
    charges : ndarray, shape (n_modes, 3), in e/sqrt(amu)
        Of the modes.
    strengths : ndarray, shape (n_modes, 3, 3)
        Contributions of the modes to the static dielectric tensor.
    static : ndarray, shape (3, 3)
        Static dielectric tensor.
    splittings : list of (direction, GammaModes, list of Branch, LyddaneSachsTeller)
    scan : AngleScan
        From the third to the first principal axis.
    tensors : ndarray, shape (n_modes, 3, 3), in Å²/sqrt(amu)
    infrared : dict of str to Spectrum
        ``average`` and one per principal axis that differs.
    raman : Spectrum
        Of a powder.
    oriented : dict of str to tuple (Spectrum, GammaModes, intensities)
        By Porto notation.
    bands, dos
    notes : list of str
    """

    axes: np.ndarray
    charges: np.ndarray | None = None
    strengths: np.ndarray | None = None
    static: np.ndarray | None = None
    splittings: list[tuple[np.ndarray, GammaModes, list[Branch], LyddaneSachsTeller]] = field(default_factory=list)
    scan: AngleScan | None = None
    tensors: np.ndarray | None = None
    infrared: dict[str, Spectrum] = field(default_factory=dict)
    raman: Spectrum | None = None
    oriented: dict[str, tuple] = field(default_factory=dict)
    bands: Bands | None = None
    dos: DensityOfStates | None = None
    notes: list[str] = field(default_factory=list)


def different_axes(tensors, axes) -> list[int]:
    """Return the indices of principal axes along which any of the symmetric tensors differs from those before it."""
    found: list[int] = []
    values = np.array([[axis @ t @ axis for axis in axes] for t in tensors])
    for k in range(3):
        scale = 1e-4 * max(1.0, np.abs(values).max())
        if all(np.abs(values[:, k] - values[:, other]).max() > scale for other in found):
            found.append(k)
    return found


def analyse(result: Phonons, conditions: Conditions | None = None) -> Analysis:
    """Return all spectra and tables that a calculation allows.

    Spectra are left out, with a note, where optical modes are imaginary.

    Parameters
    ----------
    result : Phonons
        As of `workflow.run_phonons`.
    conditions : Conditions, optional

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        If a condition does not fit.
    """
    c = Conditions() if conditions is None else conditions
    modes, phonon, charges = result.modes, result.phonon, result.charges
    if not c.step > 0:
        raise InputError(f"the step of the spectra must be positive, got {c.step}")
    top = float(modes.wavenumbers.max())
    if charges is not None:
        top = max(top, float(lo_to(phonon, np.eye(3)).max()))
    end = 1.15 * top if c.max_wavenumber is None else float(c.max_wavenumber)
    grid = np.arange(c.step, end + c.step / 2, c.step)
    stable = not modes.imaginary()
    if stable:
        check_widths(c.widths, modes)
    found: dict = {"axes": np.eye(3), "notes": []}
    if charges is not None:
        found["charges"] = mode_charges(charges.used, modes)
        found["axes"] = principal_axes(charges.dielectric)
    if charges is not None and stable:
        found["static"] = static_dielectric(charges.dielectric, found["charges"], modes)
        found["axes"] = principal_axes(found["static"])
        found["strengths"] = oscillator_strengths(found["charges"], modes)
        found |= _splittings(phonon, modes, charges, c, found)
        arguments = (grid, charges.dielectric, found["charges"], modes, c.widths)
        found["infrared"] = {"average": infrared_modes_spectrum(*arguments)}
        for k in different_axes([charges.dielectric, found["static"]], found["axes"]):
            axis = found["axes"][k]
            found["infrared"][axis_name(axis)] = infrared_modes_spectrum(*arguments, direction=axis)
    if result.gradient is not None:
        found["tensors"] = raman_tensors(result.gradient, modes)
        if stable:
            found |= _raman(result, found["tensors"], grid, c, found["notes"])
    if c.bands:
        found |= {"bands": band_structure(phonon), "dos": density_of_states(phonon)}
    return Analysis(**found)


def axis_name(axis) -> str:
    """Return ``x``, ``y`` or ``z`` for a Cartesian axis, else its components."""
    for name, unit in zip("xyz", np.eye(3), strict=True):
        if np.abs(np.abs(axis @ unit) - 1) < 1e-9:
            return name
    return "_".join(f"{value:.3f}" for value in axis)


def _splittings(phonon, modes, charges, c, found) -> dict:
    """LO-TO per direction, and the scan of the angle between the third and the first principal axis."""
    axes = found["axes"]
    if c.directions is None:
        directions = axes[different_axes([charges.dielectric, found["static"]], axes)]
    else:
        directions = check_directions(c.directions)
    polar = bool((modes.of_sets((found["charges"] ** 2).sum(axis=1)) > POLAR).any())
    if not polar:
        found["notes"].append("No mode is polar: there is no LO-TO splitting.")
        return {}
    rows = []
    for q in directions:
        at_q, branches = assign(phonon, q, modes)
        rows.append((q, at_q, branches, lyddane_sachs_teller(phonon, q, modes)))
    return {"splittings": rows, "scan": angle_scan(phonon, axes[2], axes[0], 31)}


def _raman(result, tensors, grid, c, notes) -> dict:
    """Spectrum of a powder, over directions of q where polar modes scatter, and those of oriented crystals."""
    modes, phonon = result.modes, result.phonon
    width = float(np.mean(check_widths(c.widths, modes)[~modes.external]))
    both = [
        k
        for k in modes.optical_sets
        if result.charges is not None and modes.raman_active[k] and modes.infrared_active[k]
    ]
    if both:
        powder = powder_average(
            phonon, result.gradient, grid, c.temperature, c.laser, width, result.hyperpolarizability
        )
        notes.append(
            "The Raman spectrum of the powder is averaged over directions of q (backscattering), as polar modes "
            "scatter."
            + (
                ""
                if result.hyperpolarizability is not None
                else " The electro-optic term of LO modes is left out: the model has no hyperpolarizability."
            )
        )
    else:
        powder = raman_modes_spectrum(grid, tensors, modes, c.temperature, c.laser, c.widths)
    if np.ndim(c.widths) and (both or c.porto):
        notes.append(f"Spectra of LO modes use the mean width of all modes, {width:.2f} cm^-1.")
    lattice = phonon.unitcell.cell if c.lattice_directions else None
    oriented = {
        name: porto_spectrum(
            phonon, result.gradient, name, grid, c.temperature, c.laser, width, result.hyperpolarizability, lattice
        )
        for name in c.porto
    }
    return {"raman": powder, "oriented": oriented}
