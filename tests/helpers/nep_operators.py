"""Calls of the native NEP operators on random models and structures."""

import numpy as np
import torch
from ase.data import chemical_symbols

from tnep_calc import ops
from tnep_calc.io.gpumd.nep_parameters import NepParameters, descriptor_dim
from tnep_calc.neighbors import NeighborList
from tnep_calc.ops.nep_packing import pack

ops.load()  # declares the operators of torch.ops.tnep; tests check whether they are native
nep = torch.ops.tnep


def model(parameters, dtype=torch.float64):
    header, params = pack(parameters)
    return torch.tensor(header), torch.tensor(params, dtype=dtype)


def edges(parameters, numbers, positions, cell, pbc=True, skin=0.0):
    e = NeighborList(parameters.cutoff, skin).edges(positions, cell, pbc)
    species = [parameters.species.index(chemical_symbols[z]) for z in numbers]
    return (
        torch.tensor(species),
        torch.arange(len(species)),
        torch.tensor(e.offsets),
        torch.tensor(e.neighbors),
        torch.tensor(e.vectors),
    )


def random_model(kind, l_max, seed=0, version=4, extra=None, n_species=2):
    """A model with random parameters, every optional block that l_max admits, and per-species cutoffs."""
    rng = np.random.default_rng(seed)
    n_max, basis, neurons = (3, 2), (5, 4), 7
    if extra is None:
        extra = tuple(l_max >= needed for needed in (2, 1, 2, 3, 3, 4))
    dim, networks = descriptor_dim(n_max, l_max, extra), 2 if kind == "polarizability" else 1
    nets = 1 if version == 3 else n_species
    cutoffs = np.linspace(4.2, 3.6, n_species)
    return NepParameters(
        version=version,
        kind=kind,
        species=("Ti", "O", "Ba", "Pb", "Te", "H", "C", "N", "Si")[:n_species],
        radial_cutoffs=cutoffs,
        angular_cutoffs=cutoffs - 0.4,
        max_neighbors=(100, 80),
        n_max=n_max,
        basis_size=basis,
        l_max=l_max,
        extra=extra,
        neurons=neurons,
        w0=rng.normal(size=(networks, nets, neurons, dim)),
        b0=rng.normal(size=(networks, nets, neurons)),
        w1=rng.normal(size=(networks, nets, neurons)),
        b1=rng.normal(size=networks),
        c_radial=rng.normal(size=(n_max[0] + 1, basis[0] + 1, n_species, n_species)),
        c_angular=rng.normal(size=(n_max[1] + 1, basis[1] + 1, n_species, n_species)),
        q_scaler=rng.uniform(0.02, 0.1, size=dim),
        species_bias=rng.normal(size=(networks, nets)) if version == 5 else None,
    )


def random_structure(parameters, n=7, seed=1):
    rng = np.random.default_rng(seed)
    cell = 5.5 * np.eye(3) + rng.normal(scale=0.4, size=(3, 3))
    grid = np.array([(i, j, k) for i in range(2) for j in range(2) for k in range(2)])[:n] / 2
    positions = (grid + rng.normal(scale=0.04, size=(n, 3))) @ cell
    numbers = [chemical_symbols.index(parameters.species[i % len(parameters.species)]) for i in range(n)]
    return numbers, positions, cell


def close(value, reference, tolerance, scale=None):
    reference = torch.as_tensor(reference, dtype=torch.float64)
    scale = float(reference.abs().max()) if scale is None else scale
    error = float((value - reference).abs().max()) if reference.numel() else 0.0
    assert value.shape == reference.shape
    assert value.dtype == torch.float64
    assert error <= tolerance * scale, f"deviation {error / scale:.2e} of scale {scale:.3g}, allowed {tolerance:.0e}"


REFERENCE_QUANTITIES = {
    "potential": ["energies", "forces", "virial", "virials", "descriptors"],
    "dipole": ["dipoles", "born_charges", "field_forces", "field_virials", "descriptors"],
    "polarizability": ["polarizabilities", "polarizability_gradient", "field_forces", "field_virials", "descriptors"],
}


def native(kind, packed, inputs, field, dim, operators=nep):
    out = {"descriptors": operators.nep_descriptors(*packed, *inputs, dim)}
    if kind == "potential":
        names = ("energies", "forces", "virial", "virials")
        out.update(zip(names, operators.nep_energy(*packed, *inputs, True, True), strict=True))
    elif kind == "dipole":
        out["dipoles"] = operators.nep_dipole(*packed, *inputs)
        out["born_charges"] = operators.nep_dipole_gradient(*packed, *inputs)
        out["field_forces"], out["field_virials"] = operators.nep_field_response(*packed, *inputs, field, True)
    else:
        out["polarizabilities"] = operators.nep_polarizability(*packed, *inputs)
        out["polarizability_gradient"] = operators.nep_polarizability_gradient(*packed, *inputs)
        out["field_forces"], out["field_virials"] = operators.nep_field_response(*packed, *inputs, field, True)
    return out


def flat(result):
    return [result] if isinstance(result, torch.Tensor) else list(result)
