"""Inputs of the native enthalpy operator: random models and structures."""

import torch

from tnep_calc.models.enthalpy.sites import EnthalpySites, SiteShape
from tnep_calc.neighbors import NeighborList
from tnep_calc.ops.enthalpy import NativeEnthalpy

SPECIES, CUTOFF, ZBL = ("Si", "O", "Ti"), 4.5, 1.9
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5}
FIELD = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)


def model(radial=5, channels=4, hidden=8, dtype=torch.float64, n_species=2, zbl=ZBL, seed=0):
    """Return a model in which every parameter and constant is random."""
    sites = EnthalpySites(SiteShape(n_species, radial, channels, hidden))
    generator = torch.Generator().manual_seed(seed)

    def noise(t, scale):
        return scale * torch.randn(t.shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for name, p in sites.named_parameters():
            rows = p.shape[-2] if name in ("w1", "w2", "w3", "contraction", "mixing") else 1
            p.copy_(noise(p, (0.3 if name == "contraction" else 1.0) * rows**-0.5))
        sites.whitening += noise(sites.whitening, 0.1)
        sites.offset.copy_(noise(sites.offset, 0.3))
        sites.spread.copy_(0.3 + noise(sites.spread, 0.1).abs())
        sites.gain += noise(sites.gain, 0.3)
        sites.units.copy_(torch.tensor([1.3, 0.7, 0.4]))
        sites.site.copy_(noise(sites.site, 100.0))
    constants = sites.site.clone()
    sites = sites.to(dtype).requires_grad_(False)
    sites.site = constants
    return NativeEnthalpy([sites], SPECIES[:n_species], CUTOFF, radial, zbl)


def edges(atoms, skin=0.4):
    """Return the edges of a structure; some are beyond the cutoff."""
    e = NeighborList(CUTOFF, skin).edges(atoms.positions, atoms.cell.array, atoms.pbc)
    species = torch.tensor([SPECIES.index(s) for s in atoms.get_chemical_symbols()])
    return species, torch.arange(len(species)), *(torch.from_numpy(a) for a in (e.offsets, e.neighbors, e.vectors))


def close(value, reference, tolerance, scale=None):
    scale = float(reference.abs().max()) if scale is None else scale
    error = float((value - reference).abs().max()) if reference.numel() else 0.0
    assert value.shape == reference.shape
    assert value.dtype == torch.float64
    assert error <= tolerance * scale, f"deviation {error / scale:.2e} of scale {scale:.3g}, allowed {tolerance:.0e}"
