"""Born charges and the electronic dielectric tensor of a phonopy object, and the charge sum rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..units import COULOMB

METHODS = ("gonze", "wang")
"""Interpolations of the non-analytic term to q away from Gamma; at q -> 0 both are the same."""

METALLIC = 1000.0
"""An electronic dielectric constant above this is taken for that of a metal (insulators have 2 to 30)."""


@dataclass(frozen=True)
class Charges:
    """Charges of the non-analytic term, as given and as used.

    Attributes
    ----------
    raw, used : ndarray, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component], before and after symmetrization and the charge sum rule.
    dielectric : ndarray, shape (3, 3)
        As used.
    method : str
        ``gonze`` or ``wang``.
    correction : str
        What was done to the raw charges.
    """

    raw: np.ndarray
    used: np.ndarray
    dielectric: np.ndarray
    method: str
    correction: str

    @property
    def sum_before(self) -> np.ndarray:
        """Sum of the raw charges over the atoms, shape (3, 3), in e."""
        return self.raw.sum(axis=0)

    @property
    def sum_after(self) -> np.ndarray:
        """Sum of the charges in use over the atoms, shape (3, 3), in e."""
        return self.used.sum(axis=0)


def check_response(born_charges, dielectric, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Born charges and dielectric tensor as arrays.

    Raises
    ------
    InputError
        If a shape is wrong, a number is not finite, or the dielectric tensor is not that of an insulator.
    """
    born, eps = np.array(born_charges, dtype=float), np.array(dielectric, dtype=float)
    if born.shape != (n_atoms, 3, 3):
        raise InputError(f"Born charges must have the shape ({n_atoms}, 3, 3) of the primitive cell, got {born.shape}")
    if eps.shape != (3, 3):
        raise InputError(f"the dielectric tensor must have the shape (3, 3), got {eps.shape}")
    if not np.isfinite(born).all():
        raise InputError("the Born charges are not all finite numbers: check the dipole model or the file")
    largest = np.abs(eps).max()
    if not np.isfinite(largest) or largest > METALLIC:
        raise InputError(
            f"eps_inf has a component of {largest:.4g}: a metal has no LO-TO splitting, leave charges out (--no-nac)"
        )
    eigenvalues = np.linalg.eigvalsh(0.5 * (eps + eps.T))
    if eigenvalues[0] < 1:
        raise InputError(
            f"eps_inf has the eigenvalue {eigenvalues[0]:.4g}, but that of an insulator is at least 1: the structure "
            "is outside what the model knows, or the values are those of the susceptibility"
        )
    return born, eps


def set_nac(phonon, born_charges, dielectric, method: str = "gonze") -> Charges:
    """Give a phonopy object its Born charges and dielectric tensor.

    phonopy averages both over the space group and subtracts the mean charge, so that the charges sum to zero.  The
    sum before that is an error of the model or of the DFT calculation, and moves LO frequencies in first order.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    born_charges : array, shape (n_atoms, 3, 3), in e
        Of the primitive cell, [atom, dipole component, displacement component].
    dielectric : array, shape (3, 3)
        Electronic (high-frequency) dielectric tensor.
    method : {"gonze", "wang"}
        Gonze and Lee, Phys. Rev. B 55, 10355 (1997), or Wang et al., J. Phys.: Condens. Matter 22, 202201 (2010).

    Returns
    -------
    Charges

    Raises
    ------
    InputError
        As of `check_response`, or for an unknown method.
    """
    if method not in METHODS:
        raise InputError(f"the method of the non-analytic term must be {' or '.join(METHODS)}, got '{method}'")
    born, eps = check_response(born_charges, dielectric, len(phonon.primitive))
    phonon.nac_params = {"born": born, "dielectric": eps, "factor": COULOMB, "method": method}
    return charges_of(phonon)


def charges_of(phonon) -> Charges:
    """Return the charges that a phonopy object uses in its non-analytic term, beside those it was given.

    Raises
    ------
    InputError
        If it has no force constants, or no Born charges.
    """
    if phonon.force_constants is None:
        raise InputError("the phonopy object has no force constants: call produce_force_constants() first")
    if phonon.nac_params is None:
        raise InputError("no Born charges: set phonon.nac_params, or give a BORN file or a model of the dipole")
    dynamical = phonon.dynamical_matrix
    raw = np.array(phonon.nac_params["born"], dtype=float)
    used = np.array(dynamical.born, dtype=float)
    changed = np.abs(used - raw).max()
    what = "none" if changed < 1e-12 else "average over the space group, mean charge of the atoms subtracted (phonopy)"
    return Charges(raw, used, np.array(dynamical.dielectric_constant, dtype=float), dynamical.nac_method, what)
