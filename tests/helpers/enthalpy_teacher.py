"""An enthalpy model that generates exact labels (the teacher), and a training configuration for these labels."""

import numpy as np
import torch

from tnep_calc.models.enthalpy.model import Enthalpy
from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.neighbors import NeighborList
from tnep_calc.structures import LabelledStructure
from tnep_calc.training.enthalpy.config import parse_enthalpy_config
from tnep_calc.training.enthalpy.frames import make_frame
from tnep_calc.training.enthalpy.initial import initialise

SPECIES, CUTOFF, RADIAL, ZBL = ("Si", "O"), 4.0, 5, 2.6
SHAPE = SiteShape(2, RADIAL, 3, 6)
FIELD = np.array([0.1, -0.2, 0.3])


def geometry(seed):
    rng = np.random.default_rng(seed)
    cell = np.array([[4.4, 0, 0], [0.6, 4.1, 0], [-0.3, 0.5, 4.6]]) * (1 + 0.01 * rng.normal())
    fractional = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0.5]])
    return fractional @ cell + 0.15 * rng.normal(size=(6, 3)), cell


def evaluate(model, positions, cell, quantities, field=None):
    edges = NeighborList(CUTOFF, 0.0).edges(positions, cell, np.ones(3, bool))
    species = torch.tensor([0, 0, 1, 1, 1, 1])
    tensors = [torch.from_numpy(x) for x in (edges.offsets, edges.neighbors, edges.vectors)]
    field = None if field is None else torch.from_numpy(field)
    return {k: v.numpy() for k, v in model(species, torch.arange(6), *tensors, list(quantities), field).items()}


QUANTITIES = ("energy", "forces", "virial", "dipole", "born_charges", "polarizability")


def labelled(model, seed, field=None, drop=()):
    positions, cell = geometry(seed)
    labels = evaluate(model, positions, cell, QUANTITIES, field)
    labels["energy"] = float(labels["energy"])
    labels = {k: v for k, v in labels.items() if k not in drop}
    extra = {} if field is None else {"electric_field": field}
    return LabelledStructure(
        f"frame {seed}", ("Si", "Si", "O", "O", "O", "O"), positions, cell, np.ones(3, bool), **labels, **extra
    )


def config(**changes):
    tables = {
        "data": {"files": ["none"], "validation_fraction": 0.2, "test_fraction": 0.0},
        "model": {
            "kind": "enthalpy",
            "species": list(SPECIES),
            "cutoff": CUTOFF,
            "n_radial": RADIAL,
            "channels": 3,
            "hidden": 6,
            "zbl": ZBL,
        },
        "optimizer": {"epochs": 6, "precision": "float64", "lr": 0.01},
        "output": {"directory": "none", "report_interval": 3, "checkpoint_interval": 2},
    }
    for name, table in changes.items():
        tables.setdefault(name, {}).update(table)
    return parse_enthalpy_config(tables)


def make_teacher():
    bare = [
        LabelledStructure("bare", ("Si", "Si", "O", "O", "O", "O"), *geometry(seed), np.ones(3, bool))
        for seed in range(20)
    ]
    sites = EnthalpySites(SHAPE)
    initialise(sites, [make_frame(s, SPECIES, CUTOFF, RADIAL, torch.float64) for s in bare], 7)
    with torch.no_grad():
        sites.w3 *= 3
        sites.site += torch.tensor([[-3.0, 0.4], [-5.0, 0.7]])
    return Enthalpy([sites.requires_grad_(False)], SPECIES, CUTOFF, RADIAL, ZBL)
