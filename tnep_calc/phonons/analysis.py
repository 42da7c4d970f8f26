"""Analysis of the phonons of a crystal and their response: splittings, spectra, bands and density of states."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..spectra.porto import parse_porto
from ..spectra.quantum import check_temperature, laser_factor
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
from .raman_crystal import PolarizationScan, porto_spectrum, powder_average, scan_geometry, scan_polarization
from .workflow import Phonons

POLAR = 1e-7
"""Smallest infrared intensity (e²/amu) of a polar mode."""

NEED_RAMAN = (
    "oriented Raman spectra (--porto, --polarization-scan) need Raman tensors: add a susceptibility, radnet or "
    "enthalpy model, or --raman-from, and leave out --no-raman"
)
"""Error of oriented spectra without Raman tensors."""

UNSTABLE = 0.01
"""Smallest imaginary wavenumber along the path, relative to the highest mode, that counts as an instability."""


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
        Cartesian directions of q for the LO-TO table. Default: the principal axes that differ.
    porto : tuple of str
        Scattering geometries in Porto notation.
    polarization_scans : tuple of str
        Direction of the light and polarization at angle 0, e.g. ``"z(x)"``, of scans of the polarization.
    lattice_directions : bool
        Whether brackets in `porto` and `polarization_scans` are in lattice vectors of the conventional cell instead of
        Cartesian.
    max_wavenumber : float, in cm^-1, optional
        Last wavenumber of the spectra. Default: 1.15 times the highest mode.
    step : float, in cm^-1
        Distance of the points of the spectra.
    bands : bool
        Whether to compute bands and density of states.

    Raises
    ------
    InputError
        If a value is not valid. Brackets in lattice vectors are not checked here, as the cell is not known.
    """

    temperature: float = 300.0
    laser: float = 532.0
    widths: float | np.ndarray = DEFAULT_WIDTH
    directions: np.ndarray | None = None
    porto: tuple[str, ...] = ()
    polarization_scans: tuple[str, ...] = ()
    lattice_directions: bool = False
    max_wavenumber: float | None = None
    step: float = 0.5
    bands: bool = True

    def __post_init__(self):
        check_temperature(self.temperature)
        laser_factor(0.0, self.laser)
        for name in ("widths", "step", "max_wavenumber"):
            value = getattr(self, name)
            if value is not None and np.ndim(value) == 0 and not (np.isfinite(value) and value > 0):
                raise InputError(f"{name} of the spectra must be positive numbers of cm^-1, got {value}")
        if self.directions is not None:
            check_directions(self.directions)
        if not self.lattice_directions:
            self.check_geometries()

    def check_geometries(self, cell=None) -> None:
        """Raise InputError if a Porto notation or a scan is not valid; `cell` as in :func:`.porto_spectrum`."""
        for notation in self.porto:
            parse_porto(notation, cell)
        for notation in self.polarization_scans:
            scan_geometry(notation, cell)


@dataclass(frozen=True, eq=False)
class Analysis:
    """Results of an analysis; those that need missing data are None or empty.

    Attributes
    ----------
    axes : ndarray, shape (3, 3)
        Principal axes of the dielectric tensor in rows.
    charges : ndarray, shape (n_modes, 3), in e/sqrt(amu)
        Mode charges.
    strengths : ndarray, shape (n_modes, 3, 3)
        Contributions of the modes to the static dielectric tensor.
    static : ndarray, shape (3, 3)
        Static dielectric tensor.
    splittings : list of (direction, GammaModes, list of Branch, LyddaneSachsTeller or None)
        LO-TO splitting for each direction of q; the Lyddane-Sachs-Teller check is None if modes are imaginary.
    scan : AngleScan
        Modes for directions of q from the third to the first principal axis.
    tensors : ndarray, shape (n_modes, 3, 3), in Å²/sqrt(amu)
        Raman tensors.
    infrared : dict of str to Spectrum
        ``average``, and one spectrum for each principal axis that differs, by the name of the axis.
    raman : Spectrum
        Raman spectrum of a powder.
    oriented : dict of str to tuple (Spectrum, GammaModes, intensities)
        Raman spectra of oriented crystals, by Porto notation.
    polarization_scans : dict of str to PolarizationScan
        By their notation.
    bands : Bands
    dos : DensityOfStates
    notes : list of str
        Remarks on the methods and on missing parts.
    """

    axes: np.ndarray
    charges: np.ndarray | None = None
    strengths: np.ndarray | None = None
    static: np.ndarray | None = None
    splittings: list[tuple[np.ndarray, GammaModes, list[Branch], LyddaneSachsTeller | None]] = field(
        default_factory=list
    )
    scan: AngleScan | None = None
    tensors: np.ndarray | None = None
    infrared: dict[str, Spectrum] = field(default_factory=dict)
    raman: Spectrum | None = None
    oriented: dict[str, tuple] = field(default_factory=dict)
    polarization_scans: dict[str, PolarizationScan] = field(default_factory=dict)
    bands: Bands | None = None
    dos: DensityOfStates | None = None
    notes: list[str] = field(default_factory=list)


def different_axes(tensors, axes) -> list[int]:
    """Return the indices of principal axes, without those along which all tensors equal those along an earlier axis.

    Parameters
    ----------
    tensors : sequence of array, shape (3, 3)
    axes : array, shape (3, 3)
        Axes in rows.
    """
    found: list[int] = []
    values = np.array([[axis @ t @ axis for axis in axes] for t in tensors])
    for k in range(3):
        scale = 1e-4 * max(1.0, np.abs(values).max())
        if all(np.abs(values[:, k] - values[:, other]).max() > scale for other in found):
            found.append(k)
    return found


def analyse(result: Phonons, conditions: Conditions | None = None) -> Analysis:
    """Return all spectra and tables that the data of a calculation allow.

    If optical modes are imaginary, there is LO-TO splitting, but no static dielectric tensor and no spectra.

    Parameters
    ----------
    result : Phonons
        Result of :func:`.workflow.run_phonons`.
    conditions : Conditions, optional

    Returns
    -------
    Analysis

    Raises
    ------
    InputError
        If a condition is not valid.
    """
    c = Conditions() if conditions is None else conditions
    modes, phonon, charges = result.modes, result.phonon, result.charges
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
        if not stable:
            found |= _splittings(phonon, modes, charges, c, found)
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
    if result.gradient is None and (c.porto or c.polarization_scans):
        raise InputError(NEED_RAMAN)
    if result.gradient is not None:
        found["tensors"] = raman_tensors(result.gradient, modes)
        if stable:
            found |= _raman(result, found["tensors"], grid, c, found["notes"])
    if not modes.optical_sets:
        found["notes"].append("The primitive cell has one atom, so that there are no optical modes at Gamma.")
    if c.bands:
        found |= {"bands": band_structure(phonon), "dos": density_of_states(phonon)}
        found["notes"] += _imaginary_bands(found["bands"])
    return Analysis(**found)


def _imaginary_bands(bands: Bands) -> list[str]:
    """Return a note on the lowest imaginary wavenumber along the path, if it is more than noise."""
    lowest = min(range(len(bands.ends)), key=lambda k: bands.wavenumbers[k].min())
    values = bands.wavenumbers[lowest].min(axis=1)
    point, top = int(values.argmin()), max(float(w.max()) for w in bands.wavenumbers)
    if values[point] > -UNSTABLE * top:
        return []
    q = ", ".join(f"{x:.3f}" for x in bands.qpoints[lowest][point])
    return [
        f"Modes are imaginary away from Gamma: the lowest is {-values[point]:.1f}i cm^-1 at q = ({q}), on the path "
        f"{bands.ends[lowest][0]}-{bands.ends[lowest][1]}. The crystal is unstable in a larger cell, unless a larger "
        "supercell (--length) makes it real."
    ]


def axis_name(axis) -> str:
    """Return ``x``, ``y`` or ``z`` for a Cartesian axis, else its components."""
    for name, unit in zip("xyz", np.eye(3), strict=True):
        if np.abs(np.abs(axis @ unit) - 1) < 1e-9:
            return name
    return "_".join(f"{value:.3f}" for value in axis)


def _splittings(phonon, modes, charges, c, found) -> dict:
    """Return the LO-TO splitting for each direction, and the scan from the third to the first principal axis."""
    axes = found["axes"]
    tensors = [charges.dielectric, *([found["static"]] if "static" in found else [])]
    if c.directions is None:
        directions = axes[different_axes(tensors, axes)]
    else:
        directions = check_directions(c.directions)
    polar = bool((modes.of_sets((found["charges"] ** 2).sum(axis=1)) > POLAR).any())
    if not polar:
        found["notes"].append("No mode is polar, so that there is no LO-TO splitting.")
        return {}
    rows = []
    for q in directions:
        at_q, branches = assign(phonon, q, modes)
        rows.append((q, at_q, branches, None if modes.imaginary() else lyddane_sachs_teller(phonon, q, modes)))
    return {"splittings": rows, "scan": angle_scan(phonon, axes[2], axes[0], 31)}


def _raman(result, tensors, grid, c, notes) -> dict:
    """Return the Raman spectra of a powder and of oriented crystals.

    If polar modes are Raman active, the powder spectrum is an average over directions of q.
    """
    modes, phonon = result.modes, result.phonon
    both = [
        k
        for k in modes.optical_sets
        if result.charges is not None and modes.raman_active[k] and modes.infrared_active[k]
    ]
    if both:
        powder = powder_average(
            phonon, result.gradient, grid, c.temperature, c.laser, c.widths, result.hyperpolarizability
        )
        notes.append(
            "The Raman spectrum of the powder is averaged over directions of q (backscattering), because polar modes "
            "are Raman active."
            + (
                ""
                if result.hyperpolarizability is not None
                else " It lacks the electro-optic term of LO modes, because the model has no hyperpolarizability."
            )
        )
    else:
        powder = raman_modes_spectrum(grid, tensors, modes, c.temperature, c.laser, c.widths)
    if np.ndim(c.widths) and (both or c.porto):
        notes.append("The widths of LO modes are those of the TO modes, weighted by squared overlaps.")
    lattice = phonon.unitcell.cell if c.lattice_directions else None
    oriented = {
        name: porto_spectrum(
            phonon, result.gradient, name, grid, c.temperature, c.laser, c.widths, result.hyperpolarizability, lattice
        )
        for name in c.porto
    }
    scans = {
        name: scan_polarization(
            phonon, result.gradient, name, hyperpolarizability=result.hyperpolarizability, cell=lattice
        )
        for name in c.polarization_scans
    }
    return {"raman": powder, "oriented": oriented, "polarization_scans": scans}
