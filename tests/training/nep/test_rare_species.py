"""Rare species, and pairs of species that no training structure has: warnings, and no effect on predictions."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.random_nep import random_nep
from helpers.structures import LABELS, random_structure
from helpers.training_runs import small_config
from tnep_calc.cli import main
from tnep_calc.datasets.checks import check_before_training, check_structures
from tnep_calc.io.gpumd.nep_in import NepInput, write_nep_in
from tnep_calc.io.gpumd.nep_txt import read_nep, write_nep
from tnep_calc.io.structures.extxyz import write_dataset
from tnep_calc.models.nep.model import NEP
from tnep_calc.neighbors import NeighborList
from tnep_calc.training.enthalpy.config import parse_enthalpy_config
from tnep_calc.training.enthalpy.data import read_structures as read_enthalpy_structures
from tnep_calc.training.enthalpy.trainer import EnthalpyTrainer
from tnep_calc.training.gpumd.folder import RunOptions
from tnep_calc.training.gpumd.run import run_directory
from tnep_calc.training.nep.coverage import coverage_of
from tnep_calc.training.nep.data import read_structures
from tnep_calc.training.nep.moments import build_moments
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

SPECIES = ("N", "B", "C", "O")
SEEN = [random_structure(seed, ("BN", "NC")[seed % 2]) for seed in range(6)]  # B and C never meet, O is nowhere
RADIAL, ANGULAR = 3.7, 3.0


def config(kind="potential", base=".", **tables):
    return small_config(kind, base, **{**tables, "model": {"species": list(SPECIES), **tables.get("model", {})}})


def split(n, validation=0, test=0):
    """Return indices; the last structures are for validation and for the test."""
    limits = np.split(np.arange(n), [n - validation - test, n - test])
    return dict(zip(("train", "validation", "test"), limits, strict=True))


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def pairs_within(structures, cutoff):
    """Return which species have which neighbours within a cutoff, from distances of all images."""
    found = np.zeros((len(SPECIES), len(SPECIES)), dtype=bool)
    shifts = np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T
    for s in structures:
        for i, a in enumerate(s.symbols):
            for j, b in enumerate(s.symbols):
                lengths = np.linalg.norm(s.positions[j] - s.positions[i] + shifts @ s.cell, axis=1)
                found[SPECIES.index(a), SPECIES.index(b)] |= ((lengths > 0.1) & (lengths < cutoff)).any()
    return found


# -- warnings ------------------------------------------------------------------------------------------------------


def many(n_rare, n=300):
    return [random_structure(seed, "NBC" if seed < n_rare else "NB", pbc=False) for seed in range(n)]


@pytest.mark.parametrize(
    "n, rare, found",
    [(300, 9, True), (300, 10, False), (41, 2, True), (40, 2, False), (20, 1, False), (1000, 1, True), (300, 0, False)],
)
def test_rare_species_are_found(n, rare, found):
    findings = [f for f in check_structures(many(rare, n), units=False) if f.check == "rare species"]
    assert len(findings) == found
    if found:
        assert findings[0].level == "warning" and f"C is in only {rare} of {n} structures: " in findings[0].message
        assert findings[0].sources == tuple(f"random, structure {seed}" for seed in range(rare))


def test_rare_species_are_counted_in_the_training_structures(caplog):
    structures = many(9)
    line = check_before_training(structures, units=False, train=range(4, 300), species=("N", "B", "C", "O"))
    rare, missing = warnings_of(caplog)
    assert rare.startswith(
        "warning: random, structure 4 (and 4 more): symbols: C is in only 5 of 296 structures to train on:"
    )
    assert "no structure to train on has O:" in missing
    assert "rare species (symbols), missing species (symbols)" in line
    # the rare species is not listed twice
    assert f" {len(check_structures(structures, units=False)) + 1} warnings" in line
    caplog.clear()
    check_before_training(many(10), units=False, train=range(300), species=("N", "B", "C"))
    assert not caplog.records


def test_a_configuration_counts_its_training_structures(tmp_path, caplog):
    write_dataset(tmp_path / "data.extxyz", [replace(s, weight=1.0) for s in many(9)])
    fractions = {"validation_fraction": 0.2, "test_fraction": 0.1, "allow_missing": True}
    plain = config("dipole", tmp_path, data=fractions, model={"species": ["N", "B", "C"]})
    structures = read_structures(plain)
    rare = sum("C" in structures[k].symbols for k in Trainer(plain, structures).indices["train"])
    assert 0 < rare < 9
    (line,) = warnings_of(caplog)
    assert f"C is in only {rare} of 210 structures to train on" in line


def test_an_enthalpy_training_warns_too(tmp_path, caplog):
    write_dataset(tmp_path / "data.extxyz", [replace(s, weight=1.0) for s in many(9)])
    tables = {
        "data": {"files": ["data.extxyz"], "validation_fraction": 0.0, "test_fraction": 0.3},
        "model": {"kind": "enthalpy", "species": ["N", "B", "C", "O"]},
        "output": {"directory": "out"},
    }
    enthalpy = parse_enthalpy_config(tables, tmp_path)
    read_enthalpy_structures(enthalpy)
    found = warnings_of(caplog)
    assert any("C is in only" in line and "of 210 structures to train on" in line for line in found)
    assert any("no structure to train on has O" in line for line in found)


def test_the_command_lists_them(tmp_path, capsys):
    write_dataset(tmp_path / "data.extxyz", many(3, 100))
    main(["data", "--check", str(tmp_path / "data.extxyz")])
    assert "structure 0 (and 2 more): symbols: C is in only 3 of 100 structures: too few" in capsys.readouterr().out


def nep_trainer(structures, indices):
    Trainer(config("dipole"), structures, indices)


def enthalpy_trainer(structures, indices):
    model = {"kind": "enthalpy", "species": list(SPECIES), "cutoff": RADIAL, "n_radial": 3, "channels": 2, "hidden": 4}
    tables = {"data": {"files": ["data.extxyz"]}, "model": model, "output": {"directory": "out"}}
    EnthalpyTrainer(parse_enthalpy_config(tables), structures, indices)


@pytest.mark.parametrize("trainer, cutoff", [(nep_trainer, "radial cutoff"), (enthalpy_trainer, "cutoff")])
def test_species_and_pairs_of_held_back_structures_only_are_named(trainer, cutoff, caplog):
    held = [
        random_structure(7, "BNC"),
        random_structure(8, "BN"),
        random_structure(9, "BC"),
        random_structure(10, "BO"),
        random_structure(11, "BCO"),
    ]
    trainer([*SEEN, *held], split(11, validation=2, test=3))
    of_validation, of_test = warnings_of(caplog)
    start = f"warning: 1 of 2 validation structures have species, or pairs within the {cutoff}, that no "
    assert of_validation.startswith(start)
    assert "that no training structure has (B-C in 1): predictions for these are extrapolation" in of_validation
    assert "3 of 3 test structures" in of_test and "(B-C in 2, O in 2)" in of_test
    caplog.clear()
    trainer([*SEEN, *SEEN[:3]], split(9, validation=1, test=2))
    trainer([*SEEN, *held], split(11))
    assert not warnings_of(caplog)


# -- parameters and predictions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [{}, {"method": "soap", "batch": 2}, {"restarts": 2, "restart_steps": 3}])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_coefficients_of_unseen_pairs_stay_zero(optimizer, precision, tmp_path):
    trainer = Trainer(config("potential", optimizer={**optimizer, "precision": precision}), SEEN)
    before = trainer.vector.detach().reshape(-1, trainer.model.n_parameters)
    whole = Trainer(
        config("potential", optimizer={**optimizer, "precision": precision}),
        [random_structure(0, "BNCO", cell=0.7 * np.diag([3.1, 3.4, 3.7]))],
    )
    drawn = whole.vector.detach().reshape(before.shape)
    assert (whole.model.split(drawn)["c_angular"] != 0).all()  # all species are neighbours of each other here
    assert torch.equal(before[before != 0], drawn[before != 0])  # other parameters are drawn as without unseen pairs
    trainer.run()
    write_nep(tmp_path / "nep.txt", trainer.parameters())
    nep = read_nep(tmp_path / "nep.txt", "potential")
    seen = {"c_radial": pairs_within(SEEN, RADIAL), "c_angular": pairs_within(SEEN, ANGULAR)}
    assert (
        (seen["c_radial"] != seen["c_angular"]).any() and not seen["c_radial"][1, 2] and not seen["c_radial"][3].any()
    )
    for name, here in seen.items():
        values = getattr(nep, name)
        assert (values[:, :, ~here] == 0).all() and (values[:, :, here] != 0).all(), name
    assert (nep.w1[0, :3] != 0).all()


def evaluate(parameters, structure, names, without=()):
    """Evaluate the reference model on one structure, without the neighbours of some pairs."""
    edges = NeighborList(parameters.cutoff).edges(structure.positions, structure.cell, structure.pbc)
    origin = np.repeat(np.arange(len(structure)), np.diff(edges.offsets))
    symbols = np.array(structure.symbols)
    keep = np.array([pair not in without for pair in zip(symbols[origin], symbols[edges.neighbors], strict=True)])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(origin[keep], minlength=len(structure)))])
    species = torch.tensor([parameters.species.index(s) for s in structure.symbols])
    arrays = [torch.from_numpy(x) for x in (offsets, edges.neighbors[keep], edges.vectors[keep])]
    out = NEP(parameters)(species, torch.arange(len(species)), *arrays, names, None)
    return {name: out[name].numpy() for name in names}, int((~keep).sum())


@pytest.mark.parametrize("kind", LABELS)
def test_neighbours_of_unseen_pairs_contribute_nothing(kind):
    trainer = Trainer(config(kind), SEEN)
    trainer.run()
    nep, structure = trainer.parameters(), random_structure(20, "NBBC")
    found, _ = evaluate(nep, structure, LABELS[kind])
    expected, dropped = evaluate(nep, structure, LABELS[kind], without=[("B", "C"), ("C", "B")])
    assert dropped > 10
    for name, value in found.items():
        assert np.abs(value).max() > 1e-3
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("kind", LABELS)
def test_atoms_of_a_missing_species_add_a_constant(kind):
    """The contribution is not random: it is the same for any seed, up to the constant that all species share."""
    trainer = Trainer(config(kind), SEEN)
    nep, structure = trainer.parameters(), random_structure(21, "NBO")
    assert (nep.w1[:, 3, :5] == 0).all()
    pairs = [(a, b) for a in SPECIES for b in SPECIES if "O" in (a, b)]
    found, _ = evaluate(nep, structure, LABELS[kind])
    expected, dropped = evaluate(nep, structure, LABELS[kind], without=pairs)
    assert dropped > 10
    atoms = evaluate(nep, replace(structure, symbols=tuple("OOO")), LABELS[kind])[0]
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)
    if kind == "potential":  # site constant and bias
        assert float(atoms["energy"]) == pytest.approx(3 * float(trainer.model.scaling.site[3]), abs=1e-9)
        assert np.abs(atoms["forces"]).max() < 1e-12
    elif kind == "dipole":
        assert np.abs(atoms["dipole"]).max() < 1e-12


def test_fine_tuning_keeps_parameters_of_unseen_pairs(tmp_path, caplog):
    write_nep(tmp_path / "nep.txt", random_nep("dipole", SPECIES, 4, (RADIAL, ANGULAR), (2, 2), (3, 3), 3))
    start = read_nep(tmp_path / "nep.txt", "dipole")
    fine = config(
        "dipole", tmp_path, model={"start": "nep.txt", "neurons": 6}, optimizer={"steps": 0, "lbfgs_steps": 1}
    )
    write_dataset(tmp_path / "data.extxyz", SEEN)
    after = Trainer(fine, read_structures(fine)).parameters()
    np.testing.assert_allclose(after.c_radial, start.c_radial, rtol=0, atol=1e-12)
    np.testing.assert_allclose(after.c_angular, start.c_angular, rtol=0, atol=1e-12)
    assert (after.w1 != 0).all() and not caplog.records


def test_a_lonely_atom_has_no_pair():
    """The species of the centre is seen; its group lists its own species, but it is not its own neighbour."""
    basis = Trainer(config("dipole"), SEEN).model.basis
    seen = coverage_of([build_moments([s], basis) for s in (random_structure(0, "O", pbc=False), SEEN[0])], 4)
    assert seen.species.tolist() == [True, True, False, True]
    assert np.array_equal(seen.radial.numpy(), pairs_within(SEEN[:1], RADIAL)) and not seen.radial[3, 3]
    assert np.array_equal(seen.angular.numpy(), pairs_within(SEEN[:1], ANGULAR))


# -- GPUMD folders ---------------------------------------------------------------------------------------------------


def write_xyz(path, structures):
    lines = []
    for s in structures:
        cell = " ".join(f"{x:.8f}" for x in s.cell.ravel())
        dipole = " ".join(f"{x:.8f}" for x in s.dipole)
        lines += [str(len(s)), f'Lattice="{cell}" pbc="T T T" dipole="{dipole}" Properties=species:S:1:pos:R:3']
        lines += [f"{e} " + " ".join(f"{x:.8f}" for x in r) for e, r in zip(s.symbols, s.positions, strict=True)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("engine", ["gradient", "snes"])
def test_folders_behave_like_configurations(engine, tmp_path, caplog):
    given = NepInput(
        SPECIES,
        model_type=1,
        cutoff=((RADIAL, ANGULAR),),
        n_max=(2, 2),
        basis_size=(3, 3),
        l_max=(3, 1, 0, 0, 0, 0, 0),
        neuron=4,
        population=10,
        generation=4,
        lambda_e=0.0,
        lambda_f=0.0,
        lambda_v=1.0,
    )
    write_nep_in(tmp_path / "nep.in", given)
    write_xyz(tmp_path / "train.xyz", SEEN)
    write_xyz(tmp_path / "test.xyz", [random_structure(7, "BNC"), random_structure(8, "BN")])
    run_directory(tmp_path, RunOptions(engine=engine, steps=4 if engine == "gradient" else None))
    missing, pairs = (line for line in warnings_of(caplog) if "not used by the gradient engine" not in line)
    assert "no structure to train on has O:" in missing
    assert "1 of 2 test structures" in pairs and "(B-C in 1)" in pairs
    if engine == "gradient":
        nep = read_nep(tmp_path / "nep.txt", "dipole")
        assert (nep.c_radial[:, :, 1, 2] == 0).all() and (nep.c_radial[:, :, 1, 0] != 0).all()
