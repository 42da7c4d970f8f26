"""Ziegler-Biersack-Littmark repulsion in the three forms of NEP potentials, in scriptable torch.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Matter (1985); the typewise and flexible
forms follow the GPUMD manual (keywords ``zbl`` and ``use_typewise_cutoff_zbl``).
"""

import math

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor, nn

from ..errors import ModelFileError
from ..io.gpumd.nep_parameters import ZBL

COULOMB_ZBL = 14.399645  # eV·Å, the value that NEP potentials are fitted with
_SCREENING = (0.18175, 3.1998, 0.50986, 0.94229, 0.28022, 0.4029, 0.02817, 0.20162)

# Covalent radii (Å) of H..Pu that define the typewise switching radii.
_RADII = """
.426667 .613333 1.6 1.25333 1.02667 1.0 .946667 .84 .853333 .893333 1.86667 1.66667 1.50667 1.38667 1.46667 1.36 1.32
1.28 2.34667 2.05333 1.77333 1.62667 1.61333 1.46667 1.42667 1.38667 1.33333 1.32 1.34667 1.45333 1.49333 1.45333
1.53333 1.46667 1.52 1.56 2.52 2.22667 1.96 1.85333 1.76 1.65333 1.53333 1.50667 1.50667 1.44 1.53333 1.64 1.70667 1.68
1.68 1.64 1.76 1.74667 2.78667 2.34667 2.16 1.96 2.10667 2.09333 2.08 2.06667 2.01333 2.02667 2.01333 2.0 1.98667
1.98667 1.97333 2.04 1.94667 1.82667 1.74667 1.64 1.57333 1.54667 1.48 1.49333 1.50667 1.76 1.73333 1.73333 1.81333
1.74667 1.84 1.89333 2.68 2.41 2.22667 2.10667 2.02667 2.04 2.05333 2.06667
"""
COVALENT_RADII = np.array(_RADII.split(), dtype=float)
COVALENT_RADII[87] = 2.41333  # Ra


def pair_table(zbl: ZBL, species: tuple[str, ...]) -> np.ndarray:
    """Return the parameters of the repulsion for every ordered pair of species.

    Parameters
    ----------
    zbl : ZBL
        Form and radii of the repulsion.
    species : tuple of str
        Chemical symbols in the order of the species index, length T.

    Returns
    -------
    ndarray, shape (T, T, 12)
        Prefactor ``K Z_i Z_j`` (eV·Å), inverse screening length (1/Å), inner and outer switching radii (Å), then
        four pairs of screening coefficient and exponent.

    Raises
    ------
    ModelFileError
        If the repulsion is typewise and an element is heavier than Pu, for which no radius is defined.
    """
    numbers = np.array([atomic_numbers[s] for s in species])
    if zbl.typewise_factor is not None and numbers.max() > COVALENT_RADII.size:
        raise ModelFileError(f"typewise ZBL is defined up to Z = {COVALENT_RADII.size}, got {' '.join(species)}")
    t = len(species)
    table = np.empty((t, t, 12))
    for i in range(t):
        for j in range(t):
            zi, zj = float(numbers[i]), float(numbers[j])
            inner, outer, screening = zbl.inner, zbl.outer, _SCREENING
            if zbl.flexible is not None:
                a, b = min(i, j), max(i, j)
                row = zbl.flexible[a * t - a * (a - 1) // 2 + b - a]
                inner, outer, screening = row[0], row[1], tuple(row[2:])
            elif zbl.typewise_factor is not None:
                radii = COVALENT_RADII[numbers[i] - 1] + COVALENT_RADII[numbers[j] - 1]
                inner, outer = 0.0, min(zbl.outer, zbl.typewise_factor * radii)
            table[i, j] = (COULOMB_ZBL * zi * zj, 2.134563 * (zi**0.23 + zj**0.23), inner, outer, *screening)
    return table


class ZBLRepulsion(nn.Module):
    """ZBL repulsion of ordered pairs; each of the two orders of a pair has half of its energy.

    Parameters
    ----------
    zbl : ZBL or None
        Form and radii; with None the module must not be called.
    species : tuple of str
        Chemical symbols in the order of the species index.
    dtype : torch.dtype
    """

    table: Tensor

    def __init__(self, zbl: ZBL | None, species: tuple[str, ...], dtype: torch.dtype = torch.float64):
        super().__init__()
        table = np.zeros((0, 12)) if zbl is None else pair_table(zbl, species).reshape(len(species) ** 2, 12)
        self.register_buffer("table", torch.tensor(table, dtype=dtype))

    def forward(self, pair: Tensor, r: Tensor) -> Tensor:
        """Return half pair energies in eV, shape (n,), for pair indices ``t_i * T + t_j`` and distances in Å."""
        row = self.table[pair]
        scaled = r * row[:, 1]
        phi = torch.zeros_like(r)
        for k in range(4):
            phi = phi + row[:, 4 + 2 * k] * torch.exp(-row[:, 5 + 2 * k] * scaled)
        inner, outer = row[:, 2], row[:, 3]
        switch = 0.5 * torch.cos(math.pi * (r - inner) / (outer - inner)) + 0.5
        switch = torch.where(r <= inner, torch.ones_like(r), switch)
        switch = torch.where(r >= outer, torch.zeros_like(r), switch)
        return 0.5 * row[:, 0] / r * phi * switch
