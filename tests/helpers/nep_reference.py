"""The plain torch model on one structure."""

import torch

from tnep_calc.models.nep.model import NEP
from tnep_calc.neighbors import NeighborList

IN_MODEL = {"atomic_dipole": "dipoles", "atomic_polarizability": "polarizabilities"}  # where names differ


def reference(parameters, structure, quantities):
    """Evaluate the reference model on one structure."""
    edges = NeighborList(parameters.cutoff).edges(structure.positions, structure.cell, structure.pbc)
    species = torch.tensor([parameters.species.index(s) for s in structure.symbols])
    arrays = (torch.from_numpy(a) for a in (edges.offsets, edges.neighbors, edges.vectors))
    wanted = [IN_MODEL.get(name, name) for name in quantities]
    out = NEP(parameters)(species, torch.arange(len(species)), *arrays, wanted, None)
    return {name: out[IN_MODEL.get(name, name)].numpy() for name in quantities}
