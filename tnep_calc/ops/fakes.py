"""Fake kernels, which give the shapes and dtypes of results, for torch.compile and ``torch.library.opcheck``."""

from __future__ import annotations

import torch


def register() -> None:
    """Register the fake kernel of every operator."""
    fake = torch.library.register_fake

    @fake("tnep::nep_energy_list")
    @fake("tnep::nep_energy")
    def _(header, params, species, centers, offsets, neighbors, vectors, gradient, atom_virials):
        n = species.shape[0]
        atoms = n if gradient else 0
        return (
            vectors.new_empty(centers.shape[0]),
            vectors.new_empty(atoms, 3),
            vectors.new_empty(3 if gradient else 0, 3),
            vectors.new_empty(atoms if atom_virials else 0, 3, 3),
        )

    @fake("tnep::nep_dipole_list")
    @fake("tnep::nep_dipole")
    def _(header, params, species, centers, offsets, neighbors, vectors):
        return vectors.new_empty(centers.shape[0], 3)

    @fake("tnep::nep_polarizability_list")
    @fake("tnep::nep_polarizability")
    def _(header, params, species, centers, offsets, neighbors, vectors):
        return vectors.new_empty(centers.shape[0], 3, 3)

    @fake("tnep::nep_dipole_gradient")
    def _(header, params, species, centers, offsets, neighbors, vectors):
        return vectors.new_empty(species.shape[0], 3, 3)

    @fake("tnep::nep_polarizability_gradient")
    def _(header, params, species, centers, offsets, neighbors, vectors):
        return vectors.new_empty(species.shape[0], 3, 3, 3)

    @fake("tnep::nep_field_forces")
    def _(header, params, species, centers, offsets, neighbors, vectors, field):
        return vectors.new_empty(species.shape[0], 3)

    @fake("tnep::nep_field_response_list")
    @fake("tnep::nep_field_response")
    def _(header, params, species, centers, offsets, neighbors, vectors, field, atom_virials=False):
        n = species.shape[0]
        return vectors.new_empty(n, 3), vectors.new_empty(n if atom_virials else 0, 3, 3)

    @fake("tnep::nep_descriptors")
    def _(header, params, species, centers, offsets, neighbors, vectors, dim):
        return vectors.new_empty(centers.shape[0], dim)

    @fake("tnep::enthalpy")
    def _(
        header, params, constants, species, centers, offsets, neighbors, vectors, field, seeds, atom_virials, order=2
    ):
        n, atoms = centers.shape[0], species.shape[0]
        return (
            vectors.new_empty(n),
            vectors.new_empty(n if order > 0 else 0, 3),
            vectors.new_empty(n if order > 1 else 0, 3, 3),
            vectors.new_empty(len(seeds), atoms, 3),
            vectors.new_empty(len(seeds), 3, 3),
            vectors.new_empty(atoms if atom_virials else 0, 3, 3),
        )

    @fake("tnep::nep_profile")
    def _(header, params, species, centers, offsets, neighbors, vectors, repeats):
        return vectors.new_empty(10)

    @fake("tnep::neighbor_list")
    def _(positions, cell, pbc, cutoff):
        n_edges = torch.library.get_ctx().new_dynamic_size()
        return (
            positions.new_empty(positions.shape[0] + 1, dtype=torch.int64),
            positions.new_empty(n_edges, dtype=torch.int64),
            positions.new_empty(n_edges, 3, dtype=torch.int32),
            positions.new_empty(n_edges, 3),
        )

    @fake("tnep::edge_vectors")
    def _(positions, cell, offsets, neighbors, shifts):
        return positions.new_empty(neighbors.shape[0], 3)

    _register_training(fake)


def _register_training(fake) -> None:
    """Register the fake kernels of the operators for training."""

    @fake("tnep::training_sites")
    def _(radial, angular, shift, scale, w0, b0, w1, rows, l_max, extra):
        return radial.new_empty(radial.shape[0], radial.shape[2]), torch.empty_like(radial), torch.empty_like(angular)

    @fake("tnep::training_sites_backward")
    def _(g_value, g_radial, g_angular, radial, angular, shift, scale, w0, b0, w1, rows, l_max, extra):
        return tuple(t.new_empty(t.shape) for t in (radial, angular, w0, b0, w1))

    def centres(moments):
        return sum(m.shape[-1] for m in moments)

    @fake("tnep::training_project")
    def _(coefficients, near, moments):
        models, functions = coefficients.shape[0], coefficients.shape[3]
        return coefficients.new_empty(models, functions, moments[0].shape[-2], centres(moments))

    @fake("tnep::training_project_backward")
    def _(g, coefficients, near, moments):
        return coefficients.new_empty(coefficients.shape)

    @fake("tnep::training_along")
    def _(h, coefficients, near, moments):
        return coefficients.new_empty(coefficients.shape[0], moments[0].shape[1], centres(moments))

    @fake("tnep::training_along_backward")
    def _(g, h, coefficients, near, moments):
        return h.new_empty(h.shape), coefficients.new_empty(coefficients.shape)

    @fake("tnep::training_pairs")
    def _(radial, angular, c_radial, c_angular, near, counts, gradient, slot, center, neighbor):
        return radial.new_empty(radial.shape[0], radial.shape[2], 3)

    @fake("tnep::training_moments")
    def _(vectors, offsets, centre, neighbor, place, order, near, counts, cutoffs, sizes, field, dtype):
        k_radial, k_angular, l_max = sizes
        components, numbers = (0, 3, 6)[field], (l_max + 1) ** 2 - 1
        out = []
        for species, count in zip(near, counts, strict=True):
            out.append(vectors.new_empty(species * k_radial, 1 + components, count, dtype=dtype))
            out.append(vectors.new_empty(species * k_angular, numbers, count, dtype=dtype))
            if components:
                out.append(vectors.new_empty(species * k_angular, components, numbers, count, dtype=dtype))
        return out

    @fake("tnep::training_pair_gradients")
    def _(vectors, offsets, centre, neighbor, place, places, cutoffs, sizes):
        k_radial, k_angular, l_max = sizes
        return vectors.new_empty(places, k_radial + k_angular * ((l_max + 1) ** 2 - 1), 3)
