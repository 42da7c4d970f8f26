"""Site functions of the electric-enthalpy model: energy, dipole and polarizability from neighbour densities.

With the density ``D[lm, t, n] = sum_j delta(t, t_j) f_n(r_ij) Y_lm(r_ij)`` of a centre of species s:

* channels ``A_lm,k = sum_tn D[lm, t, n] c^s_l,tn,k``;
* products ``B_(l1 l2) l3 = G A_l1 A_l2``, per channel, into l = 1 and l = 2 (G: Gaunt coefficients);
* invariants q: all ``A_l,k . A_l,k'`` (3-body), ``B_l . (A_l M)`` (4-body), ``B_l . B_l`` (5-body), per channel;
* a network of two hidden layers on q gives the energy ``e``, the weights of the vectors ``{A_1, B_1}`` whose sum is the
  dipole ``p``, and a trace and the weights of ``{A_2, B_2}`` whose sum is the polarizability ``a``;
* as an option, the network also gives the weights of ``{A_1, B_1}`` and ``{A_3, (A_1 A_2)_3}``, whose sums are the
  l = 1 and the l = 3 part of the hyperpolarizability ``b``, a symmetric tensor of rank 3 (it has no other parts).

The enthalpy of the centre is ``e - E.p - E.a.E / 2 - b:EEE / 6`` (:mod:`.field`).  For such products of densities see
Drautz, Phys. Rev. B 99, 014104 (2019) (ACE), and for the enthalpy Falletta et al., Nat. Commun. 16, 4031 (2025).
"""

from dataclasses import dataclass
from typing import Final, List, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..harmonics import cartesian_rank1, cartesian_rank2, cartesian_rank3, gaunt

L_MAX = 3
COMPONENTS = (L_MAX + 1) ** 2
PATHS_1 = ((1, 2), (2, 3))
PATHS_2 = ((1, 1), (2, 2), (1, 3), (3, 3))
PATHS_3 = ((1, 2),)


@dataclass(frozen=True)
class SiteShape:
    """Sizes of the site functions.

    Attributes
    ----------
    n_species : int
    n_radial : int
        Radial functions per neighbour species.
    channels : int
        Channels K of the contracted density.
    hidden : int
        Neurons of each of the two hidden layers.
    hyperpolarizability : bool
        Whether there is a term of third order in the field.
    """

    n_species: int
    n_radial: int = 10
    channels: int = 16
    hidden: int = 128
    hyperpolarizability: bool = False

    @property
    def n_invariants(self) -> int:
        """Length of q."""
        k, p1, p2 = self.channels, len(PATHS_1), len(PATHS_2)
        per_channel = 1 + p1 + p2 + p1 * (p1 + 1) // 2 + p2 * (p2 + 1) // 2
        return L_MAX * (k * (k + 1) // 2) + per_channel * k

    @property
    def n_vectors(self) -> int:
        """Number of vectors whose weighted sum is the dipole."""
        return (1 + len(PATHS_1)) * self.channels

    @property
    def n_tensors(self) -> int:
        """Number of rank-2 tensors whose weighted sum is the traceless polarizability."""
        return (1 + len(PATHS_2)) * self.channels

    @property
    def n_octupoles(self) -> int:
        """Number of l = 3 tensors whose weighted sum is the traceless part of the hyperpolarizability."""
        return (1 + len(PATHS_3)) * self.channels if self.hyperpolarizability else 0

    @property
    def n_weights(self) -> int:
        """Number of weights: of vectors and tensors, and for a hyperpolarizability again of vectors, and octupoles."""
        return self.n_vectors + self.n_tensors + (self.n_vectors + self.n_octupoles) * self.hyperpolarizability

    @property
    def n_outputs(self) -> int:
        """Number of outputs of the network: energy, trace, weights."""
        return 2 + self.n_weights


def _coupling(*outputs: tuple[int, tuple[tuple[int, int], ...]]) -> tuple[list[int], list[int], Tensor]:
    """Return the indices of the left and right factors of the products, and the matrix from products to outputs.

    Each of `outputs` is a pair of l3 and the paths (l1, l2) that are coupled to it.
    """
    table = gaunt()
    used: dict[tuple[int, int], int] = {}
    rows: list[dict[int, float]] = []
    for l3, paths in outputs:
        for l1, l2 in paths:
            for c in range(l3 * l3, (l3 + 1) ** 2):
                row: dict[int, float] = {}
                for a in range(l1 * l1, (l1 + 1) ** 2):
                    for b in range(l2 * l2, (l2 + 1) ** 2):
                        if table[a, b, c] != 0:
                            place = used.setdefault((min(a, b), max(a, b)), len(used))
                            row[place] = row.get(place, 0.0) + float(table[a, b, c])
                rows.append(row)
    matrix = torch.zeros(len(rows), len(used), dtype=torch.float64)
    for k, row in enumerate(rows):
        for place, value in row.items():
            matrix[k, place] = value
    return [a for a, _ in used], [b for _, b in used], matrix


class EnthalpySites(nn.Module):
    """Energy, dipole, polarizability and, as an option, hyperpolarizability of centres from their densities.

    Parameters
    ----------
    shape : SiteShape
        Sizes of the model.
    dtype : torch.dtype
        Type of the parameters and the arithmetic.
    """

    hyperpolarizability: Final[bool]
    left: Tensor
    right: Tensor
    coupling: Tensor
    upper: Tensor
    pairs1: Tensor
    pairs2: Tensor
    rank1: Tensor
    rank2: Tensor
    left3: Tensor
    right3: Tensor
    coupling3: Tensor
    rank3: Tensor
    whitening: Tensor
    offset: Tensor
    spread: Tensor
    gain: Tensor
    units: Tensor
    site: Tensor

    def __init__(self, shape: SiteShape, dtype: torch.dtype = torch.float64):
        super().__init__()
        self.shape_ = shape
        t, k, h, q = shape.n_species, shape.channels, shape.hidden, shape.n_invariants
        self.k = k
        self.n_vectors, self.n_tensors = shape.n_vectors, shape.n_tensors
        self.hyperpolarizability = shape.hyperpolarizability
        f = t * shape.n_radial

        def parameter(*size):
            return nn.Parameter(torch.zeros(size, dtype=dtype))

        self.contraction = parameter(t, L_MAX + 1, f, k)
        self.mixing = parameter(t, 2, k, k)
        self.linear = parameter(t, q)
        self.w1, self.b1 = parameter(t, q, h), parameter(t, h)
        self.w2, self.b2 = parameter(t, h, h), parameter(t, h)
        self.w3, self.b3 = parameter(t, h, shape.n_outputs), parameter(t, shape.n_outputs)
        left, right, coupling = _coupling((1, PATHS_1), (2, PATHS_2))
        upper = torch.triu_indices(k, k)
        n2 = len(PATHS_2)
        pairs2 = torch.triu_indices(n2, n2)
        pairs1 = torch.triu_indices(len(PATHS_1), len(PATHS_1))
        buffers = {
            "left": torch.tensor(left),
            "right": torch.tensor(right),
            "coupling": coupling.to(dtype),
            "upper": upper[0] * k + upper[1],
            "pairs1": pairs1,
            "pairs2": pairs2,
            "rank1": torch.from_numpy(cartesian_rank1()).to(dtype),
            "rank2": torch.from_numpy(cartesian_rank2().copy()).to(dtype),
            "whitening": torch.eye(f, dtype=dtype).expand(t, L_MAX + 1, f, f).contiguous(),
            "offset": torch.zeros(t, q, dtype=dtype),  # mean of q
            "spread": torch.ones(t, q, dtype=dtype),  # 1 / (standard deviation of q)
            "gain": torch.ones(t, shape.n_weights, dtype=dtype),  # 1 / (typical size of the vectors and tensors)
            "units": torch.ones(3 + shape.hyperpolarizability, dtype=dtype),  # scales of energy, dipole, ...
            "site": torch.zeros(t, 2, dtype=torch.float64),  # energy and isotropic polarizability of each species
        }
        if shape.hyperpolarizability:
            left, right, coupling = _coupling((3, PATHS_3))
            buffers["left3"], buffers["right3"] = torch.tensor(left), torch.tensor(right)
            buffers["coupling3"] = coupling.to(dtype)
            buffers["rank3"] = torch.from_numpy(cartesian_rank3().copy()).to(dtype)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def converted(self, dtype: torch.dtype) -> "EnthalpySites":
        """Return a copy on the CPU whose parameters and constants of the data have another type.

        The coupling coefficients and the Cartesian forms are computed anew, so that they have all digits of the type.
        The constants in ``site`` are float64 in any case, because energies of free atoms are too large for float32.
        """
        out = EnthalpySites(self.shape_, dtype)
        tables = ("coupling", "rank1", "rank2", "coupling3", "rank3")
        out.load_state_dict({name: x for name, x in self.state_dict().items() if name not in tables}, strict=False)
        return out.requires_grad_(False)

    def basis(self, s: int, density: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """Return the invariants q, shape (N, n_invariants), and the tensors to be weighted, in order of the weights.

        The latter are vectors, shape (3, N, n_vectors), and rank-2 tensors, shape (5, N, n_tensors).  For a
        hyperpolarizability they are followed by the vectors again and octupoles, shape (7, N, n_octupoles).

        Parameters
        ----------
        s : int
            Species of the centres.
        density : Tensor, shape (16, N, n_species * n_radial)
        """
        k, n = self.k, density.shape[1]
        parts: List[Tensor] = []
        for l in range(4):
            coefficients = self.whitening[s, l] @ self.contraction[s, l]
            parts.append(torch.matmul(density[l * l : (l + 1) * (l + 1)], coefficients))
        a = torch.cat(parts)
        products = torch.index_select(a, 0, self.left) * torch.index_select(a, 0, self.right)
        b = torch.matmul(self.coupling, products.reshape(products.shape[0], -1))
        b1 = b[:6].reshape(2, 3, n, k)
        b2 = b[6:].reshape(4, 5, n, k)
        q: List[Tensor] = [a[0]]
        for l in range(1, 4):
            part = parts[l].permute(1, 2, 0)
            gram = torch.bmm(part, part.transpose(1, 2)).reshape(n, k * k)
            q.append(torch.index_select(gram, 1, self.upper))
        four1 = (b1 * torch.matmul(parts[1], self.mixing[s, 0])).sum(1)
        four2 = (b2 * torch.matmul(parts[2], self.mixing[s, 1])).sum(1)
        five1 = (b1[self.pairs1[0]] * b1[self.pairs1[1]]).sum(1)
        five2 = (b2[self.pairs2[0]] * b2[self.pairs2[1]]).sum(1)
        per_channel = torch.cat([four1, four2, five1, five2]).permute(1, 0, 2).reshape(n, -1)
        q.append(per_channel)
        vectors = torch.cat([parts[1], b1[0], b1[1]], dim=2)
        tensors = torch.cat([parts[2], b2[0], b2[1], b2[2], b2[3]], dim=2)
        weighted = [vectors, tensors]
        if self.hyperpolarizability:
            products = torch.index_select(a, 0, self.left3) * torch.index_select(a, 0, self.right3)
            b3 = torch.matmul(self.coupling3, products.reshape(products.shape[0], -1)).reshape(7, n, k)
            weighted += [vectors, torch.cat([parts[3], b3], dim=2)]
        return torch.cat(q, dim=1), weighted

    def hidden(self, s: int, density: Tensor) -> Tuple[Tensor, Tensor, List[Tensor]]:
        """Return standardised invariants (N, n_invariants), the second hidden layer (N, hidden), and weighted tensors.

        The arguments and the last result are those of :meth:`basis`.
        """
        q, weighted = self.basis(s, density)
        q = (q - self.offset[s]) * self.spread[s]
        hidden = silu(torch.addmm(self.b1[s], q, self.w1[s]))
        return q, silu(torch.addmm(self.b2[s], hidden, self.w2[s])), weighted

    def forward(self, s: int, density: Tensor) -> Tuple[Tensor, Tensor, Tensor, Optional[Tensor]]:
        """Return energy (N,), dipole (N, 3), polarizability (N, 3, 3) and hyperpolarizability (N, 3, 3, 3) or None.

        The values are those of centres of species s at zero field.  The constants in ``site`` are not included,
        because they are large and the caller adds them in float64.
        """
        q, hidden, weighted = self.hidden(s, density)
        out = torch.addmm(self.b3[s], hidden, self.w3[s])
        energy = (out[:, 0] + torch.mv(q, self.linear[s])) * self.units[0]
        weights = out[:, 2:] * self.gain[s]
        first = self.n_vectors + self.n_tensors
        dipole = (weighted[0] * weights[:, : self.n_vectors]).sum(2)
        dipole = torch.matmul(dipole.t(), self.rank1.t()) * self.units[1]
        traceless = (weighted[1] * weights[:, self.n_vectors : first]).sum(2)
        polarizability = torch.matmul(traceless.t(), self.rank2.reshape(5, 9)).reshape(-1, 3, 3)
        identity = torch.eye(3, dtype=density.dtype, device=density.device)
        polarizability = polarizability + out[:, 1].reshape(-1, 1, 1) * identity
        hyperpolarizability: Optional[Tensor] = None
        if self.hyperpolarizability:
            vector = (weighted[2] * weights[:, first : first + self.n_vectors]).sum(2)
            octupole = (weighted[3] * weights[:, first + self.n_vectors :]).sum(2)
            rank3 = torch.matmul(torch.cat([vector, octupole]).t(), self.rank3.reshape(10, 27))
            hyperpolarizability = rank3.reshape(-1, 3, 3, 3) * self.units[3]
        return energy, dipole, polarizability * self.units[2], hyperpolarizability
