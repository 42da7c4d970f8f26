"""Small NEP models with random parameters, for tests that need no trained weights."""

import numpy as np

from tnep_calc.io.gpumd.nep_parameters import ZBL, NepParameters, descriptor_dim


def random_nep(
    kind="potential",
    species=("B", "N"),
    version=4,
    cutoffs=(5.0, 4.0),
    n_max=(4, 3),
    basis_size=(5, 4),
    l_max=4,
    extra=(True, False, False, False, False, False),
    neurons=6,
    zbl=False,
    seed=0,
):
    """Return NepParameters whose numbers are exact with the eight digits of a nep.txt."""
    rng = np.random.default_rng(seed)
    t, dim = len(species), descriptor_dim(n_max, l_max, extra)
    networks, per = (2 if kind == "polarizability" else 1), (1 if version == 3 else t)

    def draw(*shape):
        return np.array([float(f"{v:.7e}") for v in rng.normal(size=shape).ravel()]).reshape(shape)

    radii = np.broadcast_to(np.array(cutoffs, dtype=float), (t, 2))
    return NepParameters(
        version=version,
        kind=kind,
        species=tuple(species),
        radial_cutoffs=radii[:, 0].copy(),
        angular_cutoffs=radii[:, 1].copy(),
        max_neighbors=(100, 50),
        n_max=n_max,
        basis_size=basis_size,
        l_max=l_max,
        extra=extra,
        neurons=neurons,
        w0=0.3 * draw(networks, per, neurons, dim),
        b0=0.3 * draw(networks, per, neurons),
        w1=0.3 * draw(networks, per, neurons),
        b1=draw(networks),
        c_radial=0.3 * draw(n_max[0] + 1, basis_size[0] + 1, t, t),
        c_angular=0.3 * draw(n_max[1] + 1, basis_size[1] + 1, t, t),
        q_scaler=np.abs(draw(dim)) * 0.1 + 0.01,
        species_bias=draw(networks, t) if version == 5 else None,
        zbl=ZBL(1.0, 2.0) if zbl else None,
    )
