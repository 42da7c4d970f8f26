"""Energy, dipole and polarizability of sites in an electric field: the derivatives of one polynomial in the field.

``h(E) = e - E.p - E.a.E / 2 - b:EEE / 6``, so that ``-dh/dE = p + a.E + b:EE / 2`` and ``-d2h/dE2 = a + b.E``.  This is
the Taylor series of the energy in a uniform static field (Buckingham, Adv. Chem. Phys. 12, 107 (1967); for crystals
Nunes and Gonze, Phys. Rev. B 63, 155107 (2001)), with b the first hyperpolarizability in e·Å^3/V^2.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor


def in_field(
    energies: Tensor, dipoles: Tensor, alphas: Tensor, betas: Optional[Tensor], field: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    """Return enthalpies, dipoles and polarizabilities of sites at the field.

    Parameters
    ----------
    energies : Tensor, shape (N,), in eV
        Energies at zero field; the next three arguments are also those at zero field.
    dipoles : Tensor, shape (N, 3), in e·Å
    alphas : Tensor, shape (N, 3, 3), in e·Å^2/V
    betas : Tensor, shape (N, 3, 3, 3), in e·Å^3/V^2, or None
        Symmetric in its last three axes; None: zero.
    field : Tensor, shape (N, 3), in V/Å

    Returns
    -------
    energies, dipoles, polarizabilities : Tensor
        At the field, in the shapes and units of the arguments.
    """
    column = field.unsqueeze(2)
    induced = torch.bmm(alphas, column).squeeze(2)
    energies = energies - (field * (dipoles + 0.5 * induced)).sum(1)
    dipoles = dipoles + induced
    if betas is not None:
        change = torch.matmul(betas, column.unsqueeze(1)).squeeze(3)
        curved = torch.bmm(change, column).squeeze(2)
        energies = energies - (field * curved).sum(1) / 6
        dipoles = dipoles + 0.5 * curved
        alphas = alphas + change
    return energies, dipoles, alphas
