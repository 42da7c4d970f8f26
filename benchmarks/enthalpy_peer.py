"""Times of allegro-pol for the enthalpy benchmark: measured with the hyper-parameters of the paper, or recorded."""

from __future__ import annotations

import torch
from cases import calorine_core, model_file, structure, time_in_turn

RECORDED = {"E, F, P": 34.5e3, "everything": 54.7e3}
"""CPU µs per atom, 72 atoms of SiO2, one thread, float32: eager (energy, forces, stress), AOTInductor (everything)."""
RECORDED_CALORINE = 82.7
"""CPU µs per atom of the calibration run on the machine where those times were recorded."""
PAPER = {
    "seed": 1,
    "model_dtype": "float32",
    "r_max": 6.0,
    "l_max": 3,
    "parity": True,
    "radial_chemical_embed": {
        "_target_": "allegro.nn.TwoBodyBesselScalarEmbed",
        "num_bessels": 8,
        "bessel_trainable": True,
    },
    "radial_chemical_embed_dim": 64,
    "scalar_embed_mlp_hidden_layers_depth": 3,
    "scalar_embed_mlp_hidden_layers_width": 64,
    "num_layers": 2,
    "num_scalar_features": 64,
    "num_tensor_features": 64,
    "allegro_mlp_hidden_layers_depth": 3,
    "allegro_mlp_hidden_layers_width": 64,
    "readout_mlp_hidden_layers_depth": 1,
    "readout_mlp_hidden_layers_width": 128,
    "tp_path_channel_coupling": False,
    "avg_num_neighbors": 68.0,
    "irreps_elec_field_sh": 1,
}
"""Two layers, 64 features, l <= 3, cutoff 6 Å, harmonics of the field to l = 1; weights do not matter for the time."""


def allegro_call(atoms, species, born):
    """Return a function that evaluates allegro-pol once, eagerly, or None if it is not installed."""
    try:
        from allegro_pol.model import AllegroPolarizationModel
        from nequip.data import compute_neighborlist_, from_ase
        from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper
        from nequip.utils.global_state import set_global_state
    except ImportError:
        return None
    before = torch.get_default_dtype()
    set_global_state()  # changes the default type
    model = AllegroPolarizationModel(type_names=list(species), do_born_charge=born, **PAPER).eval()
    bare = atoms.copy()
    bare.calc, bare.info = None, {}
    data = ChemicalSpeciesToAtomTypeMapper(model_type_names=list(species))(from_ase(bare))
    data = compute_neighborlist_(data, r_max=PAPER["r_max"])
    torch.set_default_dtype(before)
    return lambda: model({key: value.detach().clone() for key, value in data.items()})


def peers(atoms, species):
    """Return for every quantity the name of the peer, and its CPU µs per atom of a cell of `atoms`."""
    if allegro_call(atoms, species, False) is None:
        factor, how = calibration()
        print(f"allegro-pol is not installed: recorded times, {how}")
        return {name: (f"allegro-pol, recorded, {how}", us * factor) for name, us in RECORDED.items()}
    call = allegro_call(atoms, species, False)
    eager = 1e6 * time_in_turn({"peer": call}, seconds=0, rounds=2)["peer"] / len(atoms)
    # Eager evaluation of everything takes several times the memory and time of the compiled model, so use the recorded
    # ratio.
    compiled = RECORDED["everything"] / RECORDED["E, F, P"]
    print(
        f"allegro-pol, E, F, P, {len(atoms)} atoms, eager: {eager / 1e3:.1f} ms/atom; everything: {compiled:.2f} times"
    )
    return {
        "E, F, P": ("allegro-pol, measured", eager),
        "everything": (f"allegro-pol, measured without, times the recorded {compiled:.2f}", eager * compiled),
    }


def calibration():
    """Return the time of this machine over that of the recording machine, from a calibration run, and a description."""
    atoms = structure("si_nep4_3body", "cubic1000")
    try:
        core = calorine_core(model_file("potentials/Si_2022_NEP4_3body.txt"), atoms)
    except ImportError:
        return 1.0, "not scaled (calorine, the calibration, is not installed)"
    us = 1e6 * time_in_turn({"calorine": core.get_potential_forces_and_virials})["calorine"] / len(atoms)
    factor = us / RECORDED_CALORINE
    return factor, f"scaled by {factor:.2f} (calorine on 1000 atoms of Si, {us:.1f} now, {RECORDED_CALORINE} then)"
