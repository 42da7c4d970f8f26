"""Small electric-enthalpy models with random parameters, for tests that need no trained weights."""

import numpy as np
import torch
from ase import Atoms

from tnep_calc.artifact import artifact_from_enthalpy
from tnep_calc.io.structures.extxyz import from_atoms
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.neighbors import NeighborList
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.initial import initialise

SPECIES, CUTOFF, RADIAL = ("Si", "O"), 4.0, 5


def silica(seed=3, repeat=(1, 1, 1)):
    """Return a triclinic cell of 9 atoms (smaller than twice the cutoff): distorted alpha-quartz."""
    cell = np.array([[4.9, 0, 0], [-2.4, 4.2, 0.1], [0.2, -0.1, 5.4]])
    silicon = [[0.47, 0, 0], [0, 0.47, 2 / 3], [0.53, 0.53, 1 / 3]]
    oxygen = [
        [0.41, 0.27, 0.12],
        [0.73, 0.14, 0.79],
        [0.86, 0.59, 0.45],
        [0.27, 0.41, 0.88],
        [0.14, 0.73, 0.21],
        [0.59, 0.86, 0.55],
    ]
    atoms = Atoms("Si3O6", scaled_positions=silicon + oxygen, cell=cell, pbc=True)
    atoms.rattle(0.05, seed=seed)
    return atoms.repeat(repeat)


def random_sites(dtype=torch.float64, seed=0, energy_unit=0.1, dipole_unit=0.2, hyperpolarizability=False, channels=4):
    """Return site functions scaled for silica, with no parameter left at zero."""
    frames = [make_frame(from_atoms(silica(k), "random"), SPECIES, CUTOFF, RADIAL, torch.float64) for k in (3, 4)]
    sites = EnthalpySites(SiteShape(len(SPECIES), RADIAL, channels, 8, hyperpolarizability), torch.float64)
    initialise(sites, frames, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sites.named_parameters():  # also those that the trainer initialises with zero
            size = 0.1 if parameter.dim() == 2 or name == "w3" else 1.0
            draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(size * draws / parameter.shape[-2] ** 0.5 if parameter.dim() > 2 else size * draws)
        sites.units.copy_(torch.tensor([energy_unit, dipole_unit, 0.1, 0.1])[: len(sites.units)])
        sites.site.copy_(torch.tensor([[-105.3, 0.05], [-430.7, 0.07]]))
    site = sites.site.clone()
    sites = sites.to(dtype)
    sites.site = site
    return sites


def random_enthalpy(dtype="float64", zbl=0.0, members=1, seed=0, **kwargs):
    """Return an artifact in memory; for several members, their mean."""
    sites = [random_sites(seed=seed + k, **kwargs) for k in range(members)]
    return artifact_from_enthalpy(sites, SPECIES, CUTOFF, RADIAL, zbl, dtype)


def call(artifact, quantities, field=None):
    """Evaluate an artifact on silica."""
    atoms = silica()
    edges = NeighborList(CUTOFF, 0.5).edges(atoms.positions, atoms.cell.array, atoms.pbc)
    species = torch.tensor([SPECIES.index(s) for s in atoms.get_chemical_symbols()])
    arrays = (torch.from_numpy(x) for x in (edges.offsets, edges.neighbors, edges.vectors))
    return artifact(species, torch.arange(len(species)), *arrays, list(quantities), field)
