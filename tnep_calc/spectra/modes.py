"""Projection of a run on phonon eigenvectors: spectra, frequencies and lifetimes mode by mode.

``Q_m(t) = sum_j sqrt(m_j) e_mj . u_j(t)`` with orthonormal eigenvectors ``e_m`` of the mass-weighted dynamical matrix
at Gamma of the simulation cell (those of a primitive cell are repeated, divided by the square root of the number of
cells).  The power spectrum of ``dQ_m/dt`` peaks at the frequency that the mode has in the run; its width is that of the
mode: the lifetime is ``1 / (2 pi c FWHM)``.  Zhang, Sun and Wentzcovitch, Phys. Rev. Lett. 112, 058501 (2014);
Carreras, Togo and Tanaka, Comput. Phys. Commun. 221, 221 (2017).
"""

from __future__ import annotations

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
    """A phonon mode as a run has it.

    Attributes
    ----------
    harmonic : float, in cm^-1
        Frequency of the lattice dynamics.
    frequency, frequency_error : float, in cm^-1
        In the run, from the damped oscillator fitted to the power spectrum.
    shift : float, in cm^-1
        ``frequency - harmonic``.
    width, width_error : float, in cm^-1
        Full width at half maximum (damping).
    lifetime : float, in ps
        ``1 / (2 pi c width)``.
    """

    harmonic: float
    frequency: float
    frequency_error: float
    shift: float
    width: float
    width_error: float
    lifetime: float


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
    """
    vectors = _eigenvectors(eigenvectors, masses)
    weighted = vectors * np.sqrt(np.asarray(masses, dtype=float))[None, :, None]
    velocities = np.asarray(velocities, dtype=float)
    if velocities.ndim != 3 or velocities.shape[1:] != vectors.shape[1:]:
        raise InputError(f"velocities must have shape (n, {vectors.shape[1]}, 3), got {velocities.shape}")
    return np.einsum("mja,tja->tm", weighted, velocities)


def mode_parts(currents_of_atoms, velocities, masses, eigenvectors, born_charges) -> dict[str, np.ndarray]:
    """Return the current of the cell as a sum over modes and what they leave over, for :func:`.decomposition`.

    The part of mode m is ``Z_m dQ_m/dt`` with its charge ``Z_m = sum_j Z_j . e_mj / sqrt(m_j)``; ``rest`` is what the
    change of the Born charges along the run and modes that are not given contribute, so that the parts add up exactly.

    Parameters
    ----------
    currents_of_atoms : ndarray, shape (n, atoms, 3), in e·Å/fs
        :func:`.decomposition.atomic_currents`, with charges along the run where these are known.
    velocities : ndarray, shape (n, atoms, 3), in Å/fs
    masses : ndarray, shape (atoms,), in amu
    eigenvectors : ndarray, shape (modes, atoms, 3)
    born_charges : ndarray, shape (atoms, 3, 3), in e
        At equilibrium.

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
    rates: np.ndarray,
    dt: float,
    resolution: float | None = None,
    window: str = "gaussian",
    blocks: int | None = None,
    max_wavenumber: float | None = None,
) -> Spectrum:
    """Return the power spectra of mode velocities, one column ``mode<m>`` each.

    Normalised per wavenumber: the integral over positive and negative wavenumbers is ``<(dQ_m/dt)^2>``, k_B T in a
    classical harmonic crystal.

    Parameters
    ----------
    rates : ndarray, shape (n, modes), in sqrt(amu)·Å/fs
        :func:`mode_velocities`.
    dt : float, in fs
    resolution, window, blocks, max_wavenumber
        As in :func:`.infrared.infrared_spectrum`.

    Returns
    -------
    Spectrum
    """
    rates = np.asarray(rates, dtype=float)
    if rates.ndim != 2:
        raise InputError(f"mode velocities must have shape (n, modes), got {rates.shape}")
    pieces = as_pieces(rates, (rates.shape[1],), "mode velocities")

    def evaluate(correlate, resolution):
        values = {}
        for m in range(rates.shape[1]):
            wavenumber, transform = one_sided_transform(correlate(slice(m, m + 1)), dt, resolution)
            values[f"mode{m + 1}"] = transform.real * INV_CM_TO_RAD_PER_FS / np.pi
        return wavenumber, values

    units = {f"mode{m + 1}": "amu*A^2/fs^2/cm^-1" for m in range(rates.shape[1])}
    spectrum = estimate_spectrum(
        "modes", pieces, dt, evaluate, units, resolution=resolution, window=window, blocks=blocks, parameters={}
    )
    return spectrum if max_wavenumber is None else spectrum.between(0.0, max_wavenumber)


def modes_in_run(spectra: Spectrum, harmonic) -> list[ModeInRun]:
    """Return frequency, shift, width and lifetime of every mode of :func:`mode_spectra`.

    Parameters
    ----------
    spectra : Spectrum
    harmonic : sequence of float, in cm^-1
        Frequencies of the lattice dynamics, in the order of the eigenvectors.

    Returns
    -------
    list of ModeInRun
        The widths are those seen through the window: they cannot be much smaller than the resolution.
    """
    found = []
    for name, expected in zip(spectra.values, harmonic, strict=True):
        at = float(spectra.wavenumber[spectra.values[name].argmax()])
        (peak,) = fit_peaks(spectra, name, "oscillator", [at])
        found.append(
            ModeInRun(
                float(expected),
                peak.position,
                peak.position_error,
                peak.position - float(expected),
                peak.width,
                peak.width_error,
                1.0 / (peak.width * INV_CM_TO_RAD_PER_FS) / 1000,
            )
        )
    return found
