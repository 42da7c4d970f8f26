"""Born charges and the electronic dielectric tensor of a phonopy object, and the charge sum rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..io.born import check_response
from ..units import COULOMB

METHODS = ("gonze", "wang")
"""Methods to extend the non-analytic term to q away from Gamma; they agree at q -> 0."""


@dataclass(frozen=True)
class Charges:
    """Charges of the non-analytic term, before and after correction.

    Attributes
    ----------
    raw, used : ndarray, shape (n_atoms, 3, 3), in e
        [atom, dipole component, displacement component], before and after symmetrization and the charge sum rule.
    dielectric : ndarray, shape (3, 3)
        Electronic dielectric tensor after symmetrization.
    method : str
        ``gonze`` or ``wang``.
    correction : str
        Description of the correction of the charges.
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
        """Sum of the corrected charges over the atoms, shape (3, 3), in e."""
        return self.used.sum(axis=0)


def set_nac(phonon, born_charges, dielectric, method: str = "gonze") -> Charges:
    """Set the Born charges and the dielectric tensor of a phonopy object.

    phonopy averages both over the space group and subtracts the mean charge, so that the sum of the charges is zero.
    The sum before this correction is an error of the model or of the DFT calculation, which shifts LO frequencies to
    first order.

    Parameters
    ----------
    phonon : phonopy.Phonopy
        With force constants.
    born_charges : array, shape (n_atoms, 3, 3), in e
        Born charges of the primitive cell, [atom, dipole component, displacement component].
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
        As in :func:`tnep_calc.io.born.check_response`, or if the method is unknown.
    """
    if method not in METHODS:
        raise InputError(f"the method of the non-analytic term must be {' or '.join(METHODS)}, got '{method}'")
    born, eps = check_response(born_charges, dielectric, len(phonon.primitive))
    phonon.nac_params = {"born": born, "dielectric": eps, "factor": COULOMB, "method": method}
    return charges_of(phonon)


def charges_of(phonon) -> Charges:
    """Return the charges that a phonopy object uses in its non-analytic term, and those that it was given.

    Raises
    ------
    InputError
        If it has no force constants or no Born charges.
    """
    if phonon.force_constants is None:
        raise InputError("the phonopy object has no force constants: call produce_force_constants() first")
    if phonon.nac_params is None:
        raise InputError("no Born charges: set phonon.nac_params, or give a BORN file or a dipole model")
    dynamical = phonon.dynamical_matrix
    raw = np.array(phonon.nac_params["born"], dtype=float)
    used = np.array(dynamical.born, dtype=float)
    changed = np.abs(used - raw).max()
    what = "none" if changed < 1e-12 else "average over the space group, mean charge of the atoms subtracted (phonopy)"
    return Charges(raw, used, np.array(dynamical.dielectric_constant, dtype=float), dynamical.nac_method, what)
