"""Crystals and liquids: water with atomic targets compared with GPUMD, SiO2 and BaTiO3 with allegro-pol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cases import record
from training_common import DATA, HYPER, rmse, splits, train

from tnep_calc.conventions import ASE_ORDER, GPUMD_ORDER, from_six, to_six
from tnep_calc.io.gpumd.training_output import table_errors
from tnep_calc.io.gpumd.xyz import read_gpumd_xyz
from tnep_calc.io.structures.extxyz import read_dataset
from tnep_calc.structures import LabelledStructure

WATER_STEPS = {"dipole": 1200, "polarizability": 1500}
CRYSTALS = {
    # name: species, frames to test on, frames to train a dipole on (Born charges are many numbers), steps of SOAP for
    # dipole and polarizability
    "SiO2": (["Si", "O"], 12, 48, (1200, 1500)),
    "BaTiO3": (["Ba", "O", "Ti"], 8, 24, (300, 400)),
}
CRYSTAL_MODEL = {
    "radial_cutoff": 5.0,
    "angular_cutoff": 4.0,
    "n_max": [7, 7],
    "basis_size": [8, 8],
    "l_max": [4, 2],
    "neurons": 20,
}


def atomic_frames(kind: str, name: str) -> list[LabelledStructure]:
    """Return a water set with its atomic targets."""
    frames = read_gpumd_xyz(DATA / "tnep" / f"atomic_{kind}_water" / f"{name}.xyz.gz", ("O", "H"), kind, atomic=True)
    values = []
    for frame in frames:
        s = frame.structure
        tensors = None if kind == "dipole" else from_six(frame.atomic_polarizability, GPUMD_ORDER)
        values.append(replace(s, atomic_dipole=frame.atomic_dipole, atomic_polarizability=tensors))
    return values


def water(quick: bool) -> list[dict]:
    """Train on the two water sets with ``atomic_v``; errors with GPUMD's definition, and per component."""
    records = []
    for kind, steps in WATER_STEPS.items():
        folder = DATA / "tnep" / f"atomic_{kind}_water"
        parts = [atomic_frames(kind, name) for name in ("train", "test")]
        table = np.loadtxt(folder / f"{kind}_test.out.gz")
        n = table.shape[1] // 2
        published = table_errors({kind: (table[:, :n], table[:, n:])}, True)[kind]
        name = f"atomic_{kind}"
        model = {"kind": kind, "species": ["O", "H"]} | HYPER
        loss = {kind: 0.0, name: 1.0, "weight_decay": 1e-4}
        total = len(parts[0])
        run = train(
            parts[0] + parts[1],
            splits(range(total), range(total, total + len(parts[1]))),
            model,
            loss,
            {"method": "soap", "batch": 4, "lr": 0.02, "lbfgs_steps": 0},
            steps=steps // (20 if quick else 1),
        )
        error = run.error(name, run.predictions[name][0])
        # GPUMD divides the squares of an atom's three dipole components by six
        ours = rmse(error) / (2**0.5 if kind == "dipole" else 1)
        everything = rmse(table[:, :n] - table[:, n:])
        print(
            f"water, {name}, {total} + {len(parts[1])} frames: test RMSE {ours:.5f} as GPUMD counts, its own "
            f"{published:.5f} (per component {rmse(error):.5f}, {everything:.5f}); "
            f"{run.preparation:.0f} + {run.seconds:.0f} CPU s",
            flush=True,
        )
        records.append(
            record(f"water, {name}", "test RMSE as GPUMD counts", "GPUMD's own model", ours, published, "of the data")
        )
    return records


def crystal_frames(name: str) -> tuple[list[LabelledStructure], list[LabelledStructure]]:
    """Return frames with labels, and the same frames with the predictions of allegro-pol."""
    folder = DATA / "enthalpy"
    return tuple(read_dataset(folder / f"{name}{suffix}.extxyz.gz") for suffix in ("", "_allegropol_pred"))


def enthalpy(quick: bool) -> list[dict]:
    """Train polarization (with Born charges) and polarizability; compare held-back errors with allegro-pol."""
    records = []
    for name, (species, n_test, n_born, steps) in CRYSTALS.items():
        frames, theirs = crystal_frames(name)
        order = np.random.default_rng(0).permutation(len(frames))
        natoms, rest = len(frames[0]), order[n_test:]
        for kind, chosen, batch, loss, count in (
            ("dipole", rest[:n_born], 2, {"dipole": 1.0, "born_charges": 1.0, "weight_decay": 1e-4}, steps[0]),
            ("polarizability", rest, 16, {"weight_decay": 1e-3}, steps[1]),
        ):
            indices = splits(chosen, order[:n_test])
            options = {"method": "soap", "batch": batch, "lr": 0.02, "lbfgs_steps": 0}
            tables = {"kind": kind, "species": species} | CRYSTAL_MODEL
            run = train(frames, indices, tables, loss, options, steps=count // (20 if quick else 1))
            print(
                f"{name}, {kind} model, {len(chosen)} + {n_test} frames: {run.preparation:.0f} + {run.seconds:.0f} "
                "CPU s",
                flush=True,
            )
            for label, values in run.predictions.items():
                peer = _stack(label, [theirs[k] for k in indices["test"]])
                own, other = (_crystal_error(run, label, v, natoms) for v in (values[0], peer))
                unit = {"dipole": "1e-3 e A", "born_charges": "1e-3 e", "polarizability": "1e-3 e A^2/V"}[label]
                print(
                    f"  {label:<15} MAE {own[0]:.2f}, allegro-pol {other[0]:.2f}; "
                    f"RMSE {own[1]:.2f}, {other[1]:.2f} {unit}",
                    flush=True,
                )
                records.append(
                    record(f"{name}, {label}, cell", "test MAE", "allegro-pol, published", own[0], other[0], unit)
                )
    return records


def _stack(label, frames):
    values = [getattr(s, label) for s in frames]
    if label == "polarizability":
        return to_six(np.array(values), ASE_ORDER)
    return np.concatenate(values) if label == "born_charges" else np.array(values)


def _crystal_error(run, label, prediction, natoms):
    """Return mean absolute and root mean square error in thousandths, of the whole cell, over all components."""
    error = run.error(label, np.asarray(prediction, dtype=np.float64))
    if label != "born_charges":
        error = error * natoms
    if label == "polarizability":
        error = from_six(error, ASE_ORDER)
    return 1e3 * float(np.abs(error).mean()), 1e3 * rmse(error)
