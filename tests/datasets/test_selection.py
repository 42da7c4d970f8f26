"""Active learning: uncertain and mutually different structures of a trajectory."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.io import read, write

from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.cli import main
from tnep_calc.datasets.selection import Survey, select_structures, survey
from tnep_calc.errors import InputError

KINDS = {"energy": "potential", "dipole": "dipole", "susceptibility": "polarizability"}


def frames(n=12, copies=True):
    """Return structures with growing displacements; every second one is a copy of the previous one."""
    rng, out = np.random.default_rng(1), []
    for k in range(n):
        atoms = bulk("BN", "zincblende", a=3.6, cubic=True)
        atoms.positions += 0.02 * (k + 1) * rng.normal(size=(8, 3))
        out += [atoms, atoms.copy()] if copies else [atoms]
    return out


@pytest.mark.parametrize("role", KINDS)
def test_survey(role):
    models = [random_nep(KINDS[role], seed=k) for k in range(3)]
    calc = TNEPCalculator(**{role: models})
    found = survey(frames(4, copies=False), calc)
    for k, atoms in enumerate(frames(4, copies=False)):
        name = {"energy": "forces", "dipole": "dipole", "susceptibility": "polarizability"}[role]
        deviation = TNEPCalculator(**{role: models}).get_uncertainty(name, atoms)
        expected = max(map(np.linalg.norm, deviation)) if role == "energy" else np.linalg.norm(deviation) / 8
        assert found.uncertainty[k] == pytest.approx(expected, rel=1e-10)
        q = calc.get_descriptors(atoms)
        symbols = np.array(atoms.get_chemical_symbols())
        parts = [q[symbols == s].sum(axis=0) / 8 for s in models[0].species]
        np.testing.assert_allclose(found.descriptors[k], np.concatenate(parts), rtol=1e-12, atol=1e-15)
    with pytest.raises(InputError, match="two or more"):
        survey(frames(1), TNEPCalculator(**{role: models[:1]}))
    with pytest.raises(InputError, match="no structures"):
        survey([], calc)


def test_descriptors_do_not_change_results():
    calc, (first, second) = TNEPCalculator(energy=random_nep()), frames(2, copies=False)
    energy = calc.get_potential_energy(second)
    calc.get_potential_energy(first)
    calc.get_descriptors(second)
    assert calc.get_potential_energy(second) == energy


def test_selected_are_uncertain_and_different():
    calc = TNEPCalculator(dipole=[random_nep("dipole", seed=k) for k in range(3)])
    found = survey(frames(), calc)
    chosen, distance = select_structures(found, 6)
    assert chosen[0] == found.uncertainty.argmax() and np.isinf(distance[0])
    assert len({k // 2 for k in chosen.tolist()}) == 6, "a copy was chosen"
    assert (distance[1:] > 0).all()
    assert found.uncertainty[chosen].mean() > found.uncertainty.mean()
    everything, _ = select_structures(found, 100)
    assert len(everything) == 12  # of 24, half of which are copies
    others, _ = select_structures(found, 6, known=found.descriptors[chosen])
    assert not {k // 2 for k in chosen.tolist()} & {k // 2 for k in others.tolist()}


def test_equal_structures_and_bad_numbers():
    same = Survey(np.ones(5), np.ones((5, 3)))
    assert select_structures(same, 4)[0].tolist() == [0]
    with pytest.raises(InputError, match="positive"):
        select_structures(same, 0)


@pytest.mark.slow
def test_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("md.extxyz", frames())
    for k in range(3):
        write_nep(tmp_path / f"{k}.txt", random_nep("dipole", seed=k))
    write_nep(tmp_path / "p.txt", random_nep("polarizability"))
    command = ["select", "md.extxyz", "--models", "0.txt", "1.txt", "2.txt", "--n", "4", "-o", "out.extxyz"]
    if not torch.cuda.is_available():
        assert main([*command, "--device", "cuda"]) == 1
        assert "finds no GPU" in capsys.readouterr().err
    assert main([*command, "--plot", "s.png", "--unit", "e*bohr"]) == 0
    printed = capsys.readouterr().out
    assert "24 structures" in printed and "4 selected" in printed and "wrote out.extxyz and s.png" in printed
    selected, all_frames = read("out.extxyz", ":"), read("md.extxyz", ":")
    calc = TNEPCalculator(dipole=["0.txt", "1.txt", "2.txt"], dipole_unit="e*bohr")
    values = [np.linalg.norm(calc.get_uncertainty("dipole", atoms)) / 8 for atoms in all_frames]
    assert selected[0].info["uncertainty"] == pytest.approx(max(values), rel=1e-6)
    for atoms in selected:
        np.testing.assert_allclose(atoms.positions, all_frames[atoms.info["frame"]].positions, atol=1e-7)
        assert atoms.info["uncertainty"] == pytest.approx(values[atoms.info["frame"]], rel=1e-6)
    assert main(command) == 1 and "--force" in capsys.readouterr().err
    assert main([*command, "--force", "--known", "out.extxyz"]) == 1
    assert "give another name for the output" in capsys.readouterr().err
    assert main([*command[:-1], "more.extxyz", "--every", "5", "--known", "out.extxyz"]) == 0
    assert all(atoms.info["frame"] % 5 == 0 for atoms in read("more.extxyz", ":"))
    for models in (["0.txt"], ["0.txt", "p.txt"]):
        assert main(["select", "md.extxyz", "--models", *models, "-o", "x.extxyz"]) == 1
        assert "two or more models of one kind" in capsys.readouterr().err
