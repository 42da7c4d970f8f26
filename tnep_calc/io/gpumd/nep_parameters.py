"""The parameters of NEP and TNEP models, as a ``nep.txt`` states them (:mod:`.nep_txt` reads and writes it)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("potential", "dipole", "polarizability")
EXTRA_BLOCKS = ("222", "1111", "112", "123", "233", "134")
"""Optional 4- and 5-body descriptor blocks, in the order of the ``l_max`` line and of the descriptor."""


@dataclass(frozen=True)
class ZBL:
    """Short-range Ziegler-Biersack-Littmark repulsion (Phys. Rev. 1985), switched as in GPUMD.

    Attributes
    ----------
    inner, outer : float
        Switching radii in Å (both 0 for the flexible form).
    typewise_factor : float or None
        Factor on the sum of covalent radii for the typewise form (inner radius 0); None = not typewise.
    flexible : ndarray, shape (n_pairs, 10), or None
        Per unordered species pair (11, 12, ..., 1T, 22, ...): inner, outer (Å), then four pairs of
        (coefficient, exponent) of the screening function; None = universal ZBL.
    """

    inner: float
    outer: float
    typewise_factor: float | None = None
    flexible: np.ndarray | None = None


@dataclass(frozen=True)
class NepParameters:
    """The content of a ``nep.txt``, with numbers exactly as in the file.

    Attributes
    ----------
    version : int
        3 (one network for all species), 4 (one per species) or 5 (one per species, each with its own output bias).
    kind : str
        ``"potential"``, ``"dipole"`` or ``"polarizability"``.
    species : tuple of str
        Chemical symbols; their order defines the species index.
    radial_cutoffs, angular_cutoffs : ndarray, shape (T,), in Å
        Per species; the cutoff of a pair is the mean of both.
    max_neighbors : tuple of int
        Largest numbers of radial and angular neighbours in the training set (GPUMD allocates its lists by them).
    n_max, basis_size : tuple of int
        Radial and angular ``n_max`` and ``basis_size``; the number of functions is larger by one.
    l_max : int
        Largest l of the 3-body terms.
    extra : tuple of bool, length 6
        Whether each of ``EXTRA_BLOCKS`` is used.
    neurons : int
        Neurons of the hidden layer.
    w0 : ndarray, shape (networks, nets_per, neurons, dim)
        Weights of the hidden layer.  ``networks`` is 2 for a polarizability (first the tensor, then the scalar
        network), else 1.  ``nets_per`` is T (versions 4 and 5) or 1 (version 3).
    b0 : ndarray, shape (networks, nets_per, neurons)
        Biases of the hidden layer, which are subtracted.
    w1 : ndarray, shape (networks, nets_per, neurons)
        Weights of the output.
    b1 : ndarray, shape (networks,)
        Output bias of all species, which is subtracted once per atom.
    species_bias : ndarray, shape (networks, T), or None
        Additional output bias per species, which is subtracted too (version 5 only).
    c_radial : ndarray, shape (n_max_radial + 1, basis_radial + 1, T, T)
    c_angular : ndarray, shape (n_max_angular + 1, basis_angular + 1, T, T)
        Expansion coefficients, with the indices n, k, species of the centre, species of the neighbour.
    q_scaler : ndarray, shape (dim,)
        Factors on the descriptor components.
    zbl : ZBL or None
        Repulsion; None if the model has none.
    """

    version: int
    kind: str
    species: tuple[str, ...]
    radial_cutoffs: np.ndarray
    angular_cutoffs: np.ndarray
    max_neighbors: tuple[int, int]
    n_max: tuple[int, int]
    basis_size: tuple[int, int]
    l_max: int
    extra: tuple[bool, ...]
    neurons: int
    w0: np.ndarray
    b0: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    c_radial: np.ndarray
    c_angular: np.ndarray
    q_scaler: np.ndarray
    species_bias: np.ndarray | None = None
    zbl: ZBL | None = None

    @property
    def n_species(self) -> int:
        """Number of species T."""
        return len(self.species)

    @property
    def dim(self) -> int:
        """Number of descriptor components."""
        return descriptor_dim(self.n_max, self.l_max, self.extra)

    @property
    def cutoff(self) -> float:
        """Largest cutoff of any pair in Å."""
        return float(max(self.radial_cutoffs.max(), self.angular_cutoffs.max()))

    @property
    def tag(self) -> str:
        """First word of the file, e.g. ``nep4_zbl`` or ``nep4_dipole``."""
        middle = "_zbl" if self.zbl is not None else ""
        return f"nep{self.version}{middle}" + ("" if self.kind == "potential" else f"_{self.kind}")


def descriptor_dim(n_max, l_max, extra) -> int:
    """Return the number of descriptor components: radial, then angular blocks of ``n_max_angular + 1``."""
    return (n_max[0] + 1) + (n_max[1] + 1) * (l_max + sum(bool(flag) for flag in extra))
