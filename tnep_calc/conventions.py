"""Component orders, index orders and signs of tensors; the only module that defines them.

Signs and orders used everywhere inside the package:

* edge vector ``r_ij = r_j - r_i``, from the centre ``i`` to the neighbour ``j``;
* virial ``W[a, b] = -sum_ij r_ij[a] dU_i/dr_ij[b]`` (eV);
* stress ``-W / V`` (eV/Å³, ASE's sign: negative = compressed);
* per-atom virials: the pair term (i, j) is attributed to the **neighbour** j (as heat currents need), 9 components;
* dipole in e·Å per cell, pointing from negative to positive charge; polarizability in e·Å²/V per cell;
* Born charges ``Z[atom, dipole component, displacement component]`` in e (``Z = d mu / d u``);
* polarizability gradient ``[atom, displacement component, i, j]`` in e·Å/V.

Examples
--------
>>> import numpy as np
>>> t = np.array([[1, 4, 6], [4, 2, 5], [6, 5, 3]])
>>> to_six(t, GPUMD_ORDER).tolist()
[1, 2, 3, 4, 5, 6]
>>> to_six(t, ASE_ORDER).tolist()
[1, 2, 3, 5, 6, 4]
>>> bool((from_six(to_six(t, LAMMPS_ORDER), LAMMPS_ORDER) == t).all())
True
"""

import numpy as np

Order = tuple[tuple[int, int], ...]

ASE_ORDER: Order = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # xx yy zz yz xz xy
GPUMD_ORDER: Order = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))  # xx yy zz xy yz zx
LAMMPS_ORDER: Order = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # xx yy zz xy xz yz
STRAIN_ORDER = ASE_ORDER
"""Order of the six components of strains, virials and polarizabilities in training."""

HYPERPOLARIZABILITY = "hyperpolarizability"
"""Name of the quantity, and of the property, that enthalpy models of third order in the field give in addition."""


def order_labels(order: Order) -> list[str]:
    """Return the component names of an order, e.g. ``['xx', 'yy', ...]``."""
    return ["xyz"[i] + "xyz"[j] for i, j in order]


def to_six(tensor, order: Order):
    """Return the six components of symmetric tensors.

    Parameters
    ----------
    tensor : array, shape (..., 3, 3)
        Symmetric tensors; only the components that the order names are read.
    order : Order
        One of ``ASE_ORDER``, ``GPUMD_ORDER``, ``LAMMPS_ORDER``.

    Returns
    -------
    ndarray, shape (..., 6)
    """
    tensor = np.asarray(tensor)
    return np.stack([tensor[..., i, j] for i, j in order], axis=-1)


def from_six(components, order: Order):
    """Return symmetric tensors, shape (..., 3, 3), from their six components in the given order."""
    components = np.asarray(components)
    tensor = np.empty(components.shape[:-1] + (3, 3), dtype=components.dtype)
    for k, (i, j) in enumerate(order):
        tensor[..., i, j] = components[..., k]
        tensor[..., j, i] = components[..., k]
    return tensor
