"""Radnet models with random parameters, and structures labelled with their predictions."""

from dataclasses import replace

import numpy as np
import torch
from ase.build import bulk

from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_radnet
from tnep_calc.models.radnet.network import initialise
from tnep_calc.models.radnet.sites import RadnetShape, RadnetSites
from tnep_calc.structures import LabelledStructure

SPECIES = ("B", "N")
SHAPE = RadnetShape(2, cutoff=3.4, width=3.6, sigma=0.6, points=5, filters=4, hidden=8)


def random_sites(seed=0, dtype=torch.float64, **changes):
    """Return site functions whose outputs vary by about one with the environment."""
    sites = RadnetSites(replace(SHAPE, **changes), dtype)
    generator = torch.Generator().manual_seed(seed)
    for network in (*sites.dipole_networks, *sites.polarizability_networks):
        initialise(network, generator)
    sites.spread.fill_(0.2)
    sites.polarizability_offset.copy_(torch.tensor([0.3, 0.5]))
    return sites


def random_artifact(seed=0, dtype=torch.float64, **changes):
    """Return such site functions as an artifact in memory."""
    return artifact_from_radnet(random_sites(seed, dtype, **changes), SPECIES)


def displaced(seed, repeat=(1, 1, 1), sigma=0.05, a=3.6):
    """Return zinc blende BN with displaced atoms."""
    atoms = bulk("BN", "zincblende", a=a).repeat(repeat)
    atoms.positions += np.random.default_rng(seed).normal(0, sigma, atoms.positions.shape)
    return atoms


def labelled(calculator, atoms, name="made up"):
    """Return the structure with dipole, Born charges and polarizability of a calculator as labels."""
    dipole, born, alpha = (
        calculator.get_property(x, atoms) for x in ("dipole", "born_effective_charges", "polarizability")
    )
    return LabelledStructure(
        name,
        tuple(atoms.get_chemical_symbols()),
        atoms.positions.copy(),
        atoms.cell.array.copy(),
        atoms.pbc.copy(),
        dipole=dipole,
        born_charges=born,
        polarizability=alpha,
    )


def calculator_of(artifact):
    """Return an ASE calculator without a skin."""
    return TNEPCalculator(radnet=artifact, skin=0.0)
