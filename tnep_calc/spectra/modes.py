"""Projection of a run on phonon eigenvectors: spectrum, frequency and lifetime of each mode.

The mode coordinate is ``Q_m(t) = sum_j sqrt(m_j) e_mj . u_j(t)``, with orthonormal eigenvectors ``e_m`` of the
mass-weighted dynamical matrix at Gamma of the simulation cell.  (Eigenvectors of a primitive cell are repeated and
divided by the square root of the number of cells.)  The power spectrum of ``dQ_m/dt`` has a peak at the frequency of
the mode in the run.  Its width is that of the mode, and the lifetime is ``1 / (2 pi c FWHM)``.  See Zhang, Sun and
Wentzcovitch, Phys. Rev. Lett. 112, 058501 (2014); Carreras, Togo and Tanaka, Comput. Phys. Commun. 221, 221 (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..units import INV_CM_TO_RAD_PER_FS
from .correlation import as_pieces, one_sided_transform
from .estimate import estimate_spectrum
from .fits import fit_peaks
from .record import Spectrum

ORTHONORMAL = 1e-3
"""Largest deviation of ``e . e`` from the unit matrix."""


@dataclass(frozen=True)
class ModeInRun:
    """Frequency, width and lifetime of a phonon mode in a run.

    Attributes
    ----------
    harmonic : float, in cm^-1
        Frequency from lattice dynamics.
    frequency, frequency_error : float, in cm^-1
        Frequency in the run, from a Voigt line fitted to the power spectrum, and its standard error.
    shift : float, in cm^-1
        ``frequency - harmonic``.
    width, width_error : float, in cm^-1
        Full width at half maximum without the broadening by the window, and its standard error.
    lifetime : float, in ps
        ``1 / (2 pi c width)``.
    resolved : bool
        Whether the width is larger than twice its error and than a tenth of the resolution. If not, the lifetime is
        only known to be long.
    """

    harmonic: float
    frequency: float
    frequency_error: float
    shift: float
    width: float
    width_error: float
    lifetime: float
    resolved: bool


@dataclass(frozen=True, eq=False)
class ModeProjection:
    """Optical modes at Gamma of a simulation cell, to project the frames of a run on.

    Attributes
    ----------
    eigenvectors : ndarray, shape (modes, atoms, 3)
        Real and orthonormal.
    masses : ndarray, shape (atoms,), in amu
    equilibrium : ndarray, shape (atoms, 3)
        Equilibrium positions in units of the lattice vectors of the simulation cell.
    wavenumbers : ndarray, shape (modes,), in cm^-1
    sets : tuple of tuple of int
        Modes of each degenerate set.
    labels : tuple of str
        Name of each set.
    charges : ndarray, shape (modes, 3), in e/sqrt(amu), or None
        Derivative of the dipole of the simulation cell.
    raman : ndarray, shape (modes, 3, 3), in e·Å/V/sqrt(amu), or None
        Derivative of the polarizability of the simulation cell.
    source : str
        Name and checksum of the file that the modes are from.
    """

    eigenvectors: np.ndarray
    masses: np.ndarray
    equilibrium: np.ndarray
    wavenumbers: np.ndarray
    sets: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]
    charges: np.ndarray | None = None
    raman: np.ndarray | None = None
    source: str = ""

    def coordinates(self, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Return ``Q_m = sum_j sqrt(m_j) e_mj . u_j``, shape (modes,), in sqrt(amu)·Å.

        Parameters
        ----------
        positions : ndarray, shape (atoms, 3), in Å
            Positions, wrapped or not.
        cell : ndarray, shape (3, 3), in Å
            Cell of this frame; the equilibrium positions are strained with it.
        """
        moved = positions @ np.linalg.inv(cell) - self.equilibrium
        return mode_velocities(((moved - np.rint(moved)) @ cell)[None], self.masses, self.eigenvectors)[0]

    def rates(self, velocities: np.ndarray) -> np.ndarray:
        """Return ``dQ_m/dt``, shape (modes,), in sqrt(amu)·Å/fs, of velocities, shape (atoms, 3), in Å/fs."""
        return mode_velocities(velocities[None], self.masses, self.eigenvectors)[0]


def _eigenvectors(eigenvectors, masses) -> np.ndarray:
    vectors, masses = np.asarray(eigenvectors, dtype=float), np.asarray(masses, dtype=float)
    if vectors.ndim != 3 or vectors.shape[1:] != (len(masses), 3):
        raise InputError(f"eigenvectors must be real, of shape (modes, {len(masses)}, 3), got {vectors.shape}")
    flat = vectors.reshape(len(vectors), -1)
    worst = np.abs(flat @ flat.T - np.eye(len(flat))).max()
    if worst > ORTHONORMAL:
        raise InputError(f"eigenvectors must be orthonormal, e . e deviates from the unit matrix by {worst:.2g}")
    return vectors


def mode_velocities(velocities, masses, eigenvectors) -> np.ndarray:
    """Return ``dQ_m/dt = sum_j sqrt(m_j) e_mj . v_j``.

    Parameters
    ----------
    velocities : ndarray, shape (n, atoms, 3), in Å/fs
    masses : ndarray, shape (atoms,), in amu
    eigenvectors : ndarray, shape (modes, atoms, 3)
        Real and orthonormal, of the simulation cell at Gamma.

    Returns
    -------
    ndarray, shape (n, modes), in sqrt(amu)·Å/fs

    Raises
    ------
    InputError
        If shapes do not fit, or the eigenvectors are not orthonormal.
    """
    vectors = _eigenvectors(eigenvectors, masses)
    weighted = vectors * np.sqrt(np.asarray(masses, dtype=float))[None, :, None]
    velocities = np.asarray(velocities, dtype=float)
    if velocities.ndim != 3 or velocities.shape[1:] != vectors.shape[1:]:
        raise InputError(f"velocities must have shape (n, {vectors.shape[1]}, 3), got {velocities.shape}")
    return np.einsum("mja,tja->tm", weighted, velocities)


def mode_parts(currents_of_atoms, velocities, masses, eigenvectors, born_charges) -> dict[str, np.ndarray]:
    """Return the current of the cell as a sum over modes and a remainder, for :mod:`.decomposition`.

    The part of mode m is ``Z_m dQ_m/dt`` with the mode charge ``Z_m = sum_j Z_j . e_mj / sqrt(m_j)``.  The part
    ``rest`` comes from the change of the Born charges along the run and from modes that are not given.  All parts add
    up exactly to the current.

    Parameters
    ----------
    currents_of_atoms : ndarray, shape (n, atoms, 3), in e·Å/fs
        From :func:`.decomposition.atomic_currents`, with the Born charges of every frame if these are known.
    velocities : ndarray, shape (n, atoms, 3), in Å/fs
    masses : ndarray, shape (atoms,), in amu
    eigenvectors : ndarray, shape (modes, atoms, 3)
    born_charges : ndarray, shape (atoms, 3, 3), in e
        Born charges at equilibrium, [atom, dipole component, displacement component].

    Returns
    -------
    dict of str to ndarray, shape (n, 3)
        ``mode1``, ``mode2``, ... and ``rest``.
    """
    rates = mode_velocities(velocities, masses, eigenvectors)
    scaled = np.asarray(eigenvectors) / np.sqrt(np.asarray(masses, dtype=float))[None, :, None]
    charges = np.einsum("jab,mjb->ma", np.asarray(born_charges, dtype=float), scaled)
    parts = {f"mode{m + 1}": np.outer(rates[:, m], charge) for m, charge in enumerate(charges)}
    parts["rest"] = np.asarray(currents_of_atoms, dtype=float).sum(axis=1) - rates @ charges
    return parts


def mode_spectra(
    rates: np.ndarray | Sequence[np.ndarray],
    dt: float,
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    max_wavenumber: float | None = None,
    *,
    sets: Sequence[Sequence[int]] | None = None,
    labels: Sequence[str] | None = None,
    displacements: bool = False,
) -> Spectrum:
    """Return the power spectra of mode velocities.

    The spectra are normalised per wavenumber: the integral over positive and negative wavenumbers is
    ``<(dQ_m/dt)^2>``, which is k_B T in a classical harmonic crystal.

    Parameters
    ----------
    rates : ndarray, shape (n, modes), or sequence of such, in sqrt(amu)·Å/fs
        From :func:`mode_velocities`.
    dt : float, in fs
        Sampling interval.
    resolution, window, blocks, max_wavenumber
        As in :func:`.infrared.infrared_spectrum`.
    sets : sequence of sequence of int, optional
        Degenerate sets, of which each gets the average over its modes. Default: every mode is a set.
    labels : sequence of str, optional
        Names of the sets. Default: ``mode1``, ``mode2``, ...
    displacements : bool, default False
        Whether `rates` are mode coordinates, in sqrt(amu)·Å; their power spectrum is multiplied by ``w^2``.

    Returns
    -------
    Spectrum
        Of kind ``"modes"``, with one column per set.
    """
    arrays = [np.asarray(piece, dtype=float) for piece in ([rates] if isinstance(rates, np.ndarray) else rates)]
    if arrays[0].ndim != 2:
        raise InputError(f"mode velocities must have shape (n, modes), got {arrays[0].shape}")
    modes = arrays[0].shape[1]
    pieces = as_pieces(arrays, (modes,), "mode velocities")
    sets = [[m] for m in range(modes)] if sets is None else [list(group) for group in sets]
    names = [f"mode{k + 1}" for k in range(len(sets))] if labels is None else list(labels)

    def evaluate(correlate, resolution):
        values = {}
        for name, group in zip(names, sets, strict=True):
            correlation = sum(correlate(slice(m, m + 1)) for m in group) / len(group)
            wavenumber, transform = one_sided_transform(correlation, dt, resolution)
            factor = (wavenumber * INV_CM_TO_RAD_PER_FS) ** 2 if displacements else 1.0
            values[name] = factor * transform.real * INV_CM_TO_RAD_PER_FS / np.pi
        return wavenumber, values

    units = dict.fromkeys(names, "amu*A^2/fs^2/cm^-1")
    spectrum = estimate_spectrum(
        "modes", pieces, dt, evaluate, units, resolution=resolution, window=window, blocks=blocks, parameters={}
    )
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)


def modes_in_run(spectra: Spectrum, harmonic) -> list[ModeInRun]:
    """Return frequency, shift, width and lifetime of every mode of :func:`mode_spectra`.

    Parameters
    ----------
    spectra : Spectrum
        From :func:`mode_spectra`.
    harmonic : sequence of float, in cm^-1
        Frequencies from lattice dynamics, in the order of the columns.

    Returns
    -------
    list of ModeInRun
        The Gaussian broadening by the window is removed from the widths by the fit of a Voigt line.
    """
    resolution = float(spectra.parameters["resolution_fwhm_cm-1"])
    found = []
    for name, expected in zip(spectra.values, harmonic, strict=True):
        at = float(spectra.wavenumber[spectra.values[name].argmax()])
        (peak,) = fit_peaks(spectra, name, "voigt", [at])
        error = 0.0 if np.isnan(peak.width_error) else peak.width_error
        found.append(
            ModeInRun(
                float(expected),
                peak.position,
                peak.position_error,
                peak.position - float(expected),
                peak.width,
                peak.width_error,
                1.0 / (peak.width * INV_CM_TO_RAD_PER_FS) / 1000,
                peak.width > max(2 * error, 0.1 * resolution),
            )
        )
    return found
