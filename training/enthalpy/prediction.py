"""Predictions of the enthalpy model for precomputed frames, differentiable with respect to its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tnep_calc.models.enthalpy.field import in_field
from tnep_calc.models.enthalpy.sites import EnthalpySites

from .frames import Frame, moment_rows


def predict(
    sites: EnthalpySites, frames: Sequence[Frame], directions: Tensor | None, create_graph: bool = True
) -> list[dict[str, Tensor]]:
    """Return the predictions of the model for each frame.

    Parameters
    ----------
    sites : EnthalpySites
    frames : sequence of Frame
        On the device of the sites, like the directions.
    directions : Tensor, shape (n_frames, d, 3), or None
        Directions e onto which Born charges are projected; None = no Born charges.
    create_graph : bool, default True
        Keep the graph, so that the results can be differentiated with respect to the parameters.

    Returns
    -------
    list of dict
        At the field and on the device of each frame: ``energy`` (), the enthalpy H of the cell, in eV; ``forces``
        (n_atoms, 3) in eV/Å; ``virial`` (3, 3) in eV; ``dipole`` (3,) in e·Å; ``polarizability`` (3, 3) in e·Å²/V;
        with directions ``born`` (d, n_atoms, 3) in e, which is ``sum_i e_i Z[atom, i, :]``.
    """
    t, dtype, device = len(frames[0].centers), sites.w1.dtype, frames[0].device
    counts = [[len(frame.centers[s]) for frame in frames] for s in range(t)]
    densities = [
        torch.cat([frame.densities[s] for frame in frames], dim=1).requires_grad_(True) if sum(counts[s]) else None
        for s in range(t)
    ]
    numbers = torch.tensor(counts, device=device)
    every = torch.arange(len(frames), device=device)
    of_frame = [torch.repeat_interleave(every, numbers[s], output_size=sum(counts[s])) for s in range(t)]
    fields = torch.stack([frame.field for frame in frames]).to(dtype)
    energy = torch.zeros(len(frames), dtype=torch.float64, device=device)
    dipole = torch.zeros(len(frames), 3, dtype=dtype, device=device)
    alpha = torch.zeros(len(frames), 3, 3, dtype=dtype, device=device)
    potentials = torch.zeros((), dtype=dtype, device=device)
    identity = torch.eye(3, dtype=dtype, device=device)
    along = [potentials] * (0 if directions is None else directions.shape[1])
    for s in range(t):
        if densities[s] is None:
            continue
        e, p, a, b = sites(s, densities[s])
        place = of_frame[s]
        enthalpy, p, a = in_field(e, p, a, b, fields[place])
        constant = numbers[s].double()
        square = 0.5 * sites.site[s, 1] * fields.double().square().sum(1)
        energy = energy + (
            torch.zeros_like(energy).index_add(0, place, enthalpy.double()) + constant * (sites.site[s, 0] - square)
        )
        isotropic = constant.to(dtype) * sites.site[s, 1].to(dtype)
        alpha = alpha.index_add(0, place, a) + isotropic.reshape(-1, 1, 1) * identity
        dipole = dipole.index_add(0, place, p) + isotropic.unsqueeze(1) * fields
        potentials = potentials + enthalpy.sum()
        if directions is not None:
            along = [x + (p * directions[place, d].to(dtype)).sum() for d, x in enumerate(along)]
    known = [d for d in densities if d is not None]
    rows = [
        torch.autograd.grad(
            x, known, create_graph=create_graph, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for x in [potentials, *along]
    ]
    gradients = iter(torch.stack(parts) for parts in zip(*rows, strict=True))
    per_species = [None if d is None else next(gradients) for d in densities]
    out = []
    starts = [0] * t
    for k, frame in enumerate(frames):
        parts = []
        for s in range(t):
            here = per_species[s]
            parts.append(None if here is None else here[:, :, starts[s] : starts[s] + counts[s][k]])
            starts[s] += counts[s][k]
        slope, strain = _to_atoms(frame, parts, 1 + len(along), dtype)
        fixed = frame.repulsion
        result = {
            "energy": energy[k] + fixed[0],
            "forces": fixed[1].to(dtype) - slope[0],
            "virial": fixed[2].to(dtype) - strain,
            "dipole": dipole[k],
            "polarizability": alpha[k],
        }
        if along:
            result["born"] = slope[1:]
        out.append(result)
    return out


def _to_atoms(frame, gradients, rows, dtype):
    """Return derivatives by atoms, shape (rows, n_atoms, 3), and of the first row by strain (3, 3)."""
    slope = torch.zeros(rows, frame.n_atoms + 1, 3, dtype=dtype, device=frame.device)
    strain = torch.zeros(3, 3, dtype=dtype, device=frame.device)
    for s, gradient in enumerate(gradients):
        if gradient is None or gradient.shape[2] == 0:
            continue
        centre = torch.zeros(rows, gradient.shape[2], 3, dtype=dtype, device=frame.device)
        for t, block in enumerate(frame.pairs[s]):
            n, width = block.neighbors.shape
            if width == 0:
                continue
            edge = torch.bmm(moment_rows(gradient, t, len(frame.pairs)), block.gradient).view(n, rows, width, 3)
            slope = slope.index_add(1, block.neighbors.flatten(), edge.permute(1, 0, 2, 3).reshape(rows, -1, 3))
            centre = centre + edge.sum(2).transpose(0, 1)
            strain = strain + block.vectors.reshape(-1, 3).t() @ edge[:, 0].reshape(-1, 3)
        slope = slope.index_add(1, frame.centers[s], -centre)
    return slope[:, :-1], strain


def errors(frame: Frame, result: Mapping[str, Tensor], directions: Tensor | None) -> dict[str, Tensor]:
    """Return prediction minus label for every label that the frame has; energy, virial and dipole per cell.

    The dipole is compared on the nearest branch, and so are energy and virial in a field, which contain the term -E.P.
    A field exerts a torque, which makes the virial asymmetric; only its symmetric part is compared, as the label has
    only this.  Born charges are projected on the directions, shape (d, n_atoms, 3).
    """
    out = {}
    branch = _branch(frame, result)
    for name, label in frame.labels.items():
        if name == "born_charges":
            if directions is None:
                continue
            target = torch.einsum("di,aij->daj", directions.to(label.dtype), label)
            out[name] = result["born"] - target.to(result["born"].dtype)
        elif name == "energy":
            out[name] = result[name] - label + frame.field.to(branch.dtype) @ branch
        elif name == "virial":
            torque = torch.outer(frame.field.to(branch.dtype), branch).to(result[name].dtype)
            difference = result[name] - label.to(result[name].dtype) - torque
            out[name] = (difference + difference.t()) / 2
        else:
            difference = result[name] - label.to(result[name].dtype)
            out[name] = difference - branch.to(difference.dtype) if name == "dipole" else difference
    return out


def _branch(frame, result):
    """Return the quanta of polarization between the dipole of the model and its label, shape (3,), in e·Å."""
    if frame.fold is None or "dipole" not in frame.labels:
        return torch.zeros(3, dtype=torch.float64, device=frame.device)
    cell, inverse = frame.fold
    difference = result["dipole"].detach().double() - frame.labels["dipole"]
    return (difference @ inverse).round() @ cell
