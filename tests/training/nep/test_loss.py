"""Labels, folding, spreads and constants."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.structures import LABELS, random_structure
from helpers.training_runs import small_config
from tnep_calc.conventions import ASE_ORDER, to_six
from tnep_calc.errors import DataFileError
from tnep_calc.training.common.labels import Weighting, check_labels, make_labels, site_constants, spreads
from tnep_calc.training.nep.loss import Objective
from tnep_calc.training.nep.trainer import Trainer

SPECIES = ("N", "B")


@pytest.fixture
def structures():
    return [random_structure(seed, "BNB"[: 2 + seed % 2]) for seed in range(6)]


def test_dipole_errors_are_folded_in_any_cell(structures):
    labels = make_labels(structures, ["dipole"], SPECIES)
    small = torch.tensor([[0.1, -0.2, 0.3]], dtype=torch.float64)
    turns = torch.tensor([[3, -2, 1], [0, 0, 0], [1, 1, -4], [0, 5, 0], [2, 2, 2], [-1, 0, 1]]).double()
    cells = torch.tensor(np.array([s.cell for s in structures]))
    prediction = labels.targets["dipole"] + torch.einsum("sb,sba->sa", turns, cells) + small
    expected = small / labels.counts[:, None]
    torch.testing.assert_close(labels.error("dipole", prediction), expected, rtol=0, atol=1e-12)
    unfolded = make_labels(structures, ["dipole"], SPECIES, fold_dipole=False)
    assert float(unfolded.error("dipole", prediction).abs().max()) > 1


def test_folding_does_not_change_molecules_and_open_directions():
    molecule = random_structure(1, "BN", pbc=False)
    slab = replace(random_structure(2, "BN"), pbc=np.array([True, True, False]))
    labels = make_labels([molecule, slab], ["dipole"], SPECIES)
    step = torch.tensor(np.array([[7.0, 8.0, 9.0], 2 * slab.cell[0] - slab.cell[1] + [0, 0, 0]]))
    error = labels.error("dipole", labels.targets["dipole"] + step) * 2
    torch.testing.assert_close(error[0], step[0])
    assert float(error[1].abs().max()) < 1e-12
    open_direction = np.cross(slab.cell[0], slab.cell[1])
    error = labels.error("dipole", labels.targets["dipole"] + torch.tensor(np.array([step[0].numpy(), open_direction])))
    np.testing.assert_allclose(2 * error[1].numpy(), open_direction, atol=1e-12)


def test_folding_has_the_gradient_of_the_plain_difference(structures):
    labels = make_labels(structures, ["dipole"], SPECIES)
    prediction = (labels.targets["dipole"] + 10.0).requires_grad_(True)
    labels.error("dipole", prediction).sum().backward()
    expected = (1 / labels.counts.double())[:, None].expand(-1, 3)
    torch.testing.assert_close(prediction.grad, expected)


def test_sum_rule_is_imposed_on_born_charges_per_structure(structures):
    labels = make_labels(structures, ["born_charges"], SPECIES)
    first = labels.targets["born_charges"][: len(structures[0])]
    assert float(first.sum(dim=0).abs().max()) < 1e-12
    raw = structures[0].born_charges
    np.testing.assert_allclose((first[0] - first[1]).numpy(), raw[0] - raw[1], atol=1e-12)


def test_spreads_exclude_constants(structures):
    names = ["energy", "forces", "born_charges", "polarizability"]
    labels = make_labels(structures, names, SPECIES)
    before = {name: value.clone() for name, value in labels.targets.items()}
    shifted = [
        replace(
            s,
            energy=s.energy + 7 * s.symbols.count("B") - 90 * s.symbols.count("N"),
            born_charges=s.born_charges + np.where(np.array(s.symbols) == "B", 2.0, 0)[:, None, None] * np.eye(3),
            polarizability=s.polarizability + 5 * len(s) * np.eye(3),
        )
        for s in structures
    ]
    other = make_labels(shifted, ["energy", "forces", "polarizability"], SPECIES)

    def constants(of, name):
        return site_constants(of, name, 2)

    for name in ("energy", "polarizability"):
        a = spreads(labels, constants(labels, name))[name]
        b = spreads(other, constants(other, name))[name]
        assert a == pytest.approx(b, rel=1e-9)
    for name, value in labels.targets.items():
        assert torch.equal(value, before[name]), f"{name} was changed in place"


def test_constants_of_one_composition_are_shared():
    labels = make_labels([random_structure(k, "BN") for k in range(3)], ["energy"], SPECIES)
    site = site_constants(labels, "energy", 2)
    assert float(site[0]) == float(site[1]) == pytest.approx(float(labels.targets["energy"].mean()) / 2)


def test_loss_is_the_weighted_sum(structures):
    labels = make_labels(structures, ["energy", "forces"], SPECIES)
    objective = Objective({"energy": 2.0, "forces": 0.5}, {"energy": 0.1, "forces": 4.0}, torch.tensor([0.3, 0.1]))
    predictions = {"energy": labels.targets["energy"] + 0.1 * labels.counts, "forces": labels.targets["forces"] + 2.0}
    terms = objective.terms(labels, predictions)
    assert float(terms["energy"]) == pytest.approx(1.0) and float(terms["forces"]) == pytest.approx(0.25)
    vector = torch.tensor([2.0, 3.0], dtype=torch.float64)
    assert float(objective.loss(terms, vector)) == pytest.approx(2.0 + 0.125 + 0.3 * 4 + 0.1 * 9)


def test_weights_and_missing_labels(structures):
    """Terms equal the formula, written out structure by structure."""
    some = [
        replace(s, weight=1.0 + 0.5 * k, virial=None if k == 2 else s.virial, forces=None if k == 3 else s.forces)
        for k, s in enumerate(structures)
    ]
    names = ["forces", "virial"]
    weighting = Weighting(shear=0.3, species=(0.5, 2.0), force_delta=1.5)
    labels = make_labels(some, names, SPECIES, weighting=weighting)
    rng = np.random.default_rng(1)
    forces = rng.normal(size=(sum(map(len, some)), 3))
    virial = rng.normal(size=(len(some), 6))
    terms = Objective(dict.fromkeys(names, 1.0), {"forces": 2.0, "virial": 0.7}, torch.zeros(1)).terms(
        labels, {"forces": torch.tensor(forces), "virial": torch.tensor(virial)}
    )
    starts = np.cumsum([0, *map(len, some)])
    total, count = 0.0, 0
    for k, s in enumerate(some):
        for a in range(len(s)):
            if s.forces is not None:
                error = ((forces[starts[k] + a] - s.forces[a]) ** 2).mean() * s.weight**2
                error *= {"N": 0.5, "B": 2.0}[s.symbols[a]] / (1 + np.linalg.norm(s.forces[a]) / 1.5)
                total, count = total + error, count + 1
    assert float(terms["forces"]) == pytest.approx(total / count / 4)
    shear = np.array([1, 1, 1, 0.09, 0.09, 0.09])
    errors = [
        ((virial[k] - to_six(s.virial, ASE_ORDER)) ** 2 * shear).mean() * (s.weight / len(s)) ** 2
        for k, s in enumerate(some)
        if s.virial is not None
    ]
    assert float(terms["virial"]) == pytest.approx(np.mean(errors) / 0.49)
    known = [s for s in some if s.virial is not None]
    assert (
        spreads(labels, torch.zeros(2))["virial"]
        == spreads(make_labels(known, ["virial"], SPECIES), torch.zeros(2))["virial"]
    )


def test_missing_labels_are_refused_unless_allowed(structures):
    some = [structures[0], replace(structures[1], forces=None, source="x.xyz, structure 1")]
    check_labels(some, ["energy", "forces"], True)
    with pytest.raises(DataFileError, match=r"x\.xyz, structure 1: no forces; .* allow_missing = true"):
        check_labels(some, ["energy", "forces"], False)
    with pytest.raises(DataFileError, match=r"x\.xyz, structure 1: none of the fitted labels \(forces\)"):
        check_labels(some, ["forces"], True)
    with pytest.raises(DataFileError, match="no structure has the label 'forces'"):
        check_labels(some[1:], ["energy", "forces"], True)


@pytest.mark.parametrize("kind", LABELS)
def test_elements_that_the_model_lacks_are_named(structures, kind):
    one = replace(structures[1], symbols=("Si", *structures[1].symbols[1:]), source="x.xyz, structure 2")
    with pytest.raises(DataFileError, match=r"x\.xyz, structure 2: has Si, but model\.species is N B"):
        Trainer(small_config(kind), [structures[0], one])


@pytest.mark.parametrize("center", [None, torch.linspace(-1, 1, 5, dtype=torch.float64)])
def test_gradient_of_the_penalty(center):
    objective = Objective({}, {}, torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64), center)
    vectors = torch.arange(10, dtype=torch.float64).reshape(2, 5).requires_grad_(True)
    (expected,) = torch.autograd.grad(objective.penalty(vectors).sum(), vectors)
    torch.testing.assert_close(objective.penalty_gradient(vectors.detach()), expected, rtol=1e-14, atol=0)
