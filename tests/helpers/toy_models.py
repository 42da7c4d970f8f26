"""Tiny analytic models that satisfy the model contract, and their closed forms in numpy, for tests without weights.

The energy is the Lennard-Jones pair potential shifted to zero at the cutoff (what LAMMPS calls ``lj/cut`` with
``pair_modify shift yes``).  Dipole and polarizability are sums over edges with a smooth weight
``g(r) = (1 - r^2/rc^2)^3``: ``mu_i = sum_j q[t_j] g(r) r_ij`` and
``alpha_i = a[t_i] 1 + sum_j p[t_j] g(r) r_ij (x) r_ij``.
"""

import json
import os
import warnings
from dataclasses import asdict
from typing import Dict, List, Optional

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import METADATA_FILE, Metadata

EPSILON, SIGMA = (0.02, 0.03), (2.2, 1.9)  # eV, Å, per species; pairs by arithmetic means
CHARGE, SITE, PAIR = (0.3, -0.2), (1.1, 0.7), (0.05, 0.08)
UNITS = {"length": "A", "energy": "eV", "dipole": "e*A", "polarizability": "e*A^2/V"}


class ToyModel(torch.nn.Module):
    """The model; ``kind`` is 0 potential, 1 dipole, 2 polarizability."""

    epsilon: Tensor
    sigma: Tensor
    charge: Tensor
    site: Tensor
    pair: Tensor

    def __init__(self, kind: int, cutoff: float):
        super().__init__()
        self.kind = kind
        self.cutoff = cutoff
        for name, values in (
            ("epsilon", EPSILON),
            ("sigma", SIGMA),
            ("charge", CHARGE),
            ("site", SITE),
            ("pair", PAIR),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))

    def forward(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
        n_atoms, n_centers = species.shape[0], centers.shape[0]
        counts = offsets[1:] - offsets[:-1]
        origin = torch.repeat_interleave(torch.arange(n_centers), counts)
        first, second = species[centers][origin], species[neighbors]
        rij = vectors.detach().requires_grad_(True)
        rsq = (rij * rij).sum(1)
        inside = (rsq < self.cutoff**2).to(torch.float64)
        out: Dict[str, Tensor] = {}
        if self.kind == 0:
            eps = 0.5 * (self.epsilon[first] + self.epsilon[second])
            sig = 0.5 * (self.sigma[first] + self.sigma[second])
            x, x0 = (sig * sig / rsq) ** 3, (sig / self.cutoff) ** 6
            energies = torch.zeros(n_centers, dtype=torch.float64)
            energies = energies.index_add(0, origin, inside * 2 * eps * (x * x - x - (x0 * x0 - x0)))
            gradient = torch.autograd.grad([energies.sum()], [rij], allow_unused=True)[0]
            if gradient is None:
                gradient = torch.zeros_like(rij)
            r = rij.detach()
            forces = torch.zeros(n_atoms, 3, dtype=torch.float64)
            out["energies"] = energies.detach()
            out["energy"] = energies.detach().sum()
            out["forces"] = forces.index_add(0, centers[origin], gradient).index_add(0, neighbors, -gradient)
            out["virial"] = -r.t() @ gradient
            virials = torch.zeros(n_atoms, 3, 3, dtype=torch.float64)
            out["virials"] = virials.index_add(0, neighbors, -r.unsqueeze(2) * gradient.unsqueeze(1))
            return out
        weight = inside * (1 - rsq.detach() / self.cutoff**2) ** 3
        r = rij.detach()
        if self.kind == 1:
            dipoles = torch.zeros(n_centers, 3, dtype=torch.float64)
            out["dipoles"] = dipoles.index_add(0, origin, (self.charge[second] * weight).unsqueeze(1) * r)
            out["dipole"] = out["dipoles"].sum(0)
        else:
            tensors = self.site[species[centers]].reshape(-1, 1, 1) * torch.eye(3, dtype=torch.float64)
            pairs = (self.pair[second] * weight).reshape(-1, 1, 1) * r.unsqueeze(2) * r.unsqueeze(1)
            out["polarizabilities"] = tensors.index_add(0, origin, pairs)
            out["polarizability"] = out["polarizabilities"].sum(0)
        return out


KINDS = {
    "potential": ("energies", "energy", "forces", "virial", "virials"),
    "dipole": ("dipoles", "dipole"),
    "polarizability": ("polarizabilities", "polarizability"),
}


def write_toy(path, kind="potential", cutoff=5.0, polarizability_unit="e*A^2/V", **changes):
    """Write an artifact; `changes` replaces metadata, and a value None removes the key."""
    module = torch.nn.Module() if kind == "unscripted" else ToyModel(list(KINDS).index(kind), cutoff)
    metadata = asdict(
        Metadata(
            family="toy",
            kind=kind,
            quantities=KINDS[kind],
            species=("B", "N"),
            cutoff=cutoff,
            dtype="float64",
            units={**UNITS, "polarizability": polarizability_unit},
        )
    )
    metadata = {key: value for key, value in {**metadata, **changes}.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), str(path), _extra_files={METADATA_FILE: json.dumps(metadata)})
    return os.fspath(path)


def _edges(atoms, cutoff):
    from ase.neighborlist import neighbor_list

    i, j, r = neighbor_list("ijD", atoms, cutoff)
    species = np.array([{"B": 0, "N": 1}[s] for s in atoms.get_chemical_symbols()])
    return i, j, r, species


def toy_dipoles(atoms, cutoff=5.0):
    """Dipole per atom in e·Å, shape (n, 3), from ASE's neighbour list."""
    i, j, r, species = _edges(atoms, cutoff)
    weight = np.array(CHARGE)[species[j]] * (1 - (r**2).sum(1) / cutoff**2) ** 3
    out = np.zeros((len(atoms), 3))
    np.add.at(out, i, weight[:, None] * r)
    return out


def toy_polarizabilities(atoms, cutoff=5.0):
    """Tensor per atom in e·Å²/V, shape (n, 3, 3), from ASE's neighbour list."""
    i, j, r, species = _edges(atoms, cutoff)
    weight = np.array(PAIR)[species[j]] * (1 - (r**2).sum(1) / cutoff**2) ** 3
    out = np.array(SITE)[species][:, None, None] * np.eye(3)
    np.add.at(out, i, weight[:, None, None] * r[:, :, None] * r[:, None, :])
    return out
