"""``tnep predict``: the table, the written predictions and the errors."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.simulated_gpu import simulated_gpu
from helpers.structures import LABELS, random_structure
from helpers.training_runs import small_config
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import save_artifact
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_txt import write_nep
from tnep_calc.io.structures.extxyz import from_atoms, read_dataset, write_dataset
from tnep_calc.training.nep.trainer import Trainer
from tnep_calc.training.results.prediction import predict

pytestmark = pytest.mark.slow

ROLES = {"potential": "energy", "dipole": "dipole", "polarizability": "susceptibility"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write an untrained model of each kind as nep.txt."""
    folder = tmp_path_factory.mktemp("models")
    structures = [random_structure(seed, "BN") for seed in range(3)]
    words = []
    for kind, role in ROLES.items():
        write_nep(folder / f"{kind}.txt", Trainer(small_config(kind), structures).parameters())
        words += [f"--{role}", str(folder / f"{kind}.txt")]
    return words


def write_structures(path, structures, shift=0.0):
    frames = []
    for s in structures:
        atoms = Atoms(s.symbols, s.positions, cell=s.cell, pbc=s.pbc)
        atoms.info |= {
            "energy": s.energy,
            "virial": s.virial,
            "dipole": s.dipole + shift * s.cell[0],
            "polarizability": s.polarizability,
        }
        atoms.arrays["forces"] = s.forces
        atoms.arrays["born_charges"] = s.born_charges.reshape(len(s), 9)
        frames.append(atoms)
    write(path, frames, format="extxyz")


def rows(text):
    """Return quantity -> RMSE of the printed table."""
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\w+)\s+all\s+(\S+)", text, re.M)}


def test_labels_from_the_model_have_no_error(tmp_path, models, capsys):
    structures = [random_structure(k, "BNB", pbc=k != 4) for k in range(3, 6)]
    write_structures(tmp_path / "labels.extxyz", structures)
    out = tmp_path / "predictions.extxyz"
    assert main(["predict", str(tmp_path / "labels.extxyz"), *models, "-o", str(out)]) == 0
    text = capsys.readouterr().out
    errors = rows(text)
    assert text.startswith("3 structures\n") and set(errors) == {name for names in LABELS.values() for name in names}
    predicted = read_dataset(out)
    difference = np.concatenate([p.forces - s.forces for p, s in zip(predicted, structures, strict=True)])
    assert errors["forces"] == pytest.approx(np.sqrt((difference**2).mean()), rel=1e-3)
    energies = [(p.energy - s.energy) / len(s) for p, s in zip(predicted, structures, strict=True)]
    assert errors["energy"] == pytest.approx(1e3 * np.sqrt(np.mean(np.square(energies))), rel=1e-3)
    assert main(["predict", str(out), *models]) == 0
    assert max(rows(capsys.readouterr().out).values()) < 1e-5


def test_on_a_device(tmp_path, models, capsys):
    """The device of the models and of the search; without a GPU the error says so."""
    write_structures(tmp_path / "labels.extxyz", [random_structure(seed, "BN") for seed in range(3)])
    command = ["predict", str(tmp_path / "labels.extxyz"), *models]
    assert main(command) == 0
    on_cpu = rows(capsys.readouterr().out)
    with simulated_gpu() as gpu:
        assert main([*command, "--device", "cuda"]) == 0
        assert gpu.calls > 100
    assert rows(capsys.readouterr().out) == pytest.approx(on_cpu, rel=1e-6)
    if not torch.cuda.is_available():
        assert main([*command, "--device", "cuda"]) == 1
        assert "finds no GPU" in capsys.readouterr().err


def test_dipoles_are_folded_by_default(tmp_path, models, capsys):
    structures = [random_structure(k, "BNB") for k in range(3)]
    write_structures(tmp_path / "labels.extxyz", structures)
    main(["predict", str(tmp_path / "labels.extxyz"), *models[2:4], "-o", str(tmp_path / "p.extxyz")])
    write_structures(tmp_path / "shifted.extxyz", read_labelled(tmp_path / "p.extxyz", structures), shift=2.0)
    capsys.readouterr()
    main(["predict", str(tmp_path / "shifted.extxyz"), *models[2:4]])
    assert rows(capsys.readouterr().out)["dipole"] < 1e-6
    main(["predict", str(tmp_path / "shifted.extxyz"), *models[2:4], "--no-fold"])
    assert rows(capsys.readouterr().out)["dipole"] > 0.5


def read_labelled(path, structures):
    return [
        replace(s, dipole=p.dipole, born_charges=p.born_charges)
        for s, p in zip(structures, read_dataset(path), strict=True)
    ]


def test_enthalpy_models_are_evaluated_in_the_field_of_the_structure(tmp_path, capsys):
    save_artifact(random_enthalpy(), tmp_path / "model.pt")
    structures = [from_atoms(silica(k), "random") for k in range(2)]
    structures[1] = replace(structures[1], electric_field=np.array([0.2, 0.0, -0.1]))
    calculator = TNEPCalculator(enthalpy=tmp_path / "model.pt", skin=0.0)
    labelled, _ = predict(calculator, structures)
    fields = TNEPCalculator(enthalpy=random_enthalpy(), efield=[0.2, 0.0, -0.1])
    assert labelled[1].energy == pytest.approx(fields.get_potential_energy(silica(1)), abs=1e-9)
    still = TNEPCalculator(enthalpy=random_enthalpy()).get_potential_energy(silica(1))
    assert abs(labelled[1].energy - still) > 1e-4
    write_dataset(tmp_path / "labels.extxyz", labelled)
    assert main(["predict", str(tmp_path / "labels.extxyz"), "--enthalpy", str(tmp_path / "model.pt")]) == 0
    errors = rows(capsys.readouterr().out)
    assert set(errors) >= {"energy", "forces", "virial", "dipole", "born_charges", "polarizability"}
    assert max(errors.values()) < 1e-6


def test_in_a_field_energies_and_virials_are_on_the_branch_of_the_label(tmp_path, capsys):
    save_artifact(random_enthalpy(), tmp_path / "model.pt")
    structure = replace(from_atoms(silica(1), "random"), electric_field=np.array([0.2, 0.0, -0.1]))
    (own,), _ = predict(TNEPCalculator(enthalpy=tmp_path / "model.pt", skin=0.0), [structure])
    torque = np.outer(own.electric_field, quanta := own.cell[0] - 2 * own.cell[2])
    shifted = replace(
        own,
        dipole=own.dipole + quanta,
        energy=own.energy - own.electric_field @ quanta,
        virial=own.virial + (torque + torque.T) / 2,
    )
    write_dataset(tmp_path / "shifted.extxyz", [shifted])
    command = ["predict", str(tmp_path / "shifted.extxyz"), "--enthalpy", str(tmp_path / "model.pt")]
    assert main(command) == 0
    assert max(rows(capsys.readouterr().out).values()) < 1e-6
    assert main([*command, "--no-fold"]) == 0
    errors = rows(capsys.readouterr().out)
    assert min(errors[name] for name in ("energy", "virial", "dipole")) > 0.1


def test_plot_and_existing_files(tmp_path, models, capsys):
    write_structures(tmp_path / "labels.extxyz", [random_structure(k, "BNB") for k in range(3)])
    command = ["predict", str(tmp_path / "labels.extxyz"), *models[:2], "--plot", str(tmp_path / "parity.png")]
    assert main(command) == 0 and (tmp_path / "parity.png").stat().st_size > 5000
    assert main(command) == 1 and "--force" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0


def test_without_labels_or_models(tmp_path, models, capsys):
    atoms = Atoms("BN", [[0, 0, 0], [0, 0, 1.5]], cell=np.eye(3) * 4, pbc=True)
    write(tmp_path / "bare.extxyz", atoms)
    assert main(["predict", str(tmp_path / "bare.extxyz"), *models]) == 0
    assert "no label that these models predict" in capsys.readouterr().out
    assert main(["predict", str(tmp_path / "bare.extxyz")]) == 1
    assert "at least one model" in capsys.readouterr().err
    with pytest.raises(InputError, match="nothing to plot"):
        main(["predict", str(tmp_path / "bare.extxyz"), *models, "--plot", str(tmp_path / "p.png"), "--debug"])


def test_crystals_also_get_epsilon(tmp_path, models, capsys):
    write_structures(tmp_path / "labels.extxyz", [random_structure(k, "BNB") for k in range(3)])
    main(["predict", str(tmp_path / "labels.extxyz"), *models[4:]])
    assert {"polarizability", "epsilon_inf"} == set(rows(capsys.readouterr().out))
