"""Predictions from precomputed moments equal those of the reference model; gradients equal finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.nep_reference import reference
from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.conventions import STRAIN_ORDER, to_six
from tnep_calc.errors import DataFileError, InputError
from tnep_calc.io.gpumd.nep_txt import read_nep, write_nep
from tnep_calc.models.nep.descriptor import Invariants
from tnep_calc.training.common.labels import make_labels, spreads
from tnep_calc.training.nep.config import TARGETS
from tnep_calc.training.nep.coverage import coverage_of
from tnep_calc.training.nep.initial import initialise
from tnep_calc.training.nep.invariants import InvariantDerivatives
from tnep_calc.training.nep.model import NepOnMoments
from tnep_calc.training.nep.moments import build_moments
from tnep_calc.training.nep.parts import Block

TOLERANCE = 1e-10
LABELS = TARGETS
OF_ATOMS = ("forces", "born_charges", "atomic_dipole", "atomic_polarizability")
FIELD = {"potential": "strain", "dipole": "dipole", "polarizability": "strain"}
ALL_BLOCKS = [4, 1, 1, 1, 1, 1, 1]


def make(kind, structures, species=("N", "B", "C"), l_max=(3, 2, 0), dtype=torch.float64):
    config = small_config(kind, model={"species": list(species), "l_max": list(l_max)}).model
    model = NepOnMoments(config, dtype)
    moments = build_moments(structures, model.basis, field=FIELD[kind], gradient=kind != "polarizability", dtype=dtype)
    labels = make_labels(structures, LABELS[kind], species)
    block = Block(labels, lambda: moments, torch.arange(len(structures)), torch.arange(moments.n_atoms))
    spread, seen = spreads(labels, torch.zeros(len(species), dtype=torch.float64)), coverage_of([moments], len(species))
    vector = initialise(model, [block], labels, spread, seen, seed=3)
    return model, moments, vector


@pytest.fixture(scope="module")
def structures():
    return [
        random_structure(1, "BNC"),
        random_structure(2, "N"),
        random_structure(3, "NBBC"),
        random_structure(4, "CBN", pbc=False),
    ]


@pytest.mark.parametrize("l_max", [[3, 2, 0], ALL_BLOCKS], ids=["222", "all blocks"])
@pytest.mark.parametrize("kind", LABELS)
def test_predictions_are_those_of_the_reference(kind, l_max, structures):
    model, moments, vector = make(kind, structures, l_max=l_max)
    # not the initial parameters, which are almost linear
    vector = vector + 0.3 * torch.sin(torch.arange(len(vector), dtype=torch.float64))
    predictions = model.predict(vector, moments, LABELS[kind])
    parameters = model.to_nep(vector, moments.max_neighbors)
    start = 0
    for k, structure in enumerate(structures):
        expected = reference(parameters, structure, LABELS[kind])
        atoms = slice(start, start + len(structure))
        for name in LABELS[kind]:
            found = predictions[name][atoms if name in OF_ATOMS else k].numpy()
            wanted = expected[name]
            if name in ("virial", "polarizability", "atomic_polarizability"):
                wanted = to_six(wanted, STRAIN_ORDER)
            scale = max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * scale, err_msg=f"{name}, structure {k}")
            if len(structure) > 1:
                assert np.abs(wanted).max() > 1e-3, f"{name} of structure {k} is too small to test anything"
        start += len(structure)


@pytest.mark.parametrize("kind", LABELS)
def test_gradient_by_parameters(kind, structures):
    model, moments, vector = make(kind, structures[:2], l_max=[2, 1, 1])
    weights = torch.linspace(0.5, 1.5, 200, dtype=torch.float64)

    def flat(v):
        return torch.cat([p.flatten() for p in model.predict(v, moments, LABELS[kind]).values()])

    vector = (vector + 0.2 * torch.cos(torch.arange(len(vector), dtype=torch.float64))).requires_grad_(True)
    size = flat(vector).detach().abs().max()

    def value(v):
        return (torch.sin(flat(v) / size) * weights[: len(flat(v))]).sum()

    (gradient,) = torch.autograd.grad(value(vector), vector)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = torch.randn(len(vector), generator=generator, dtype=torch.float64)
        h = 2e-6
        with torch.no_grad():
            numeric = (value(vector + h * direction) - value(vector - h * direction)) / (2 * h)
        assert float(gradient @ direction) == pytest.approx(float(numeric), rel=1e-6, abs=1e-7)


def test_invariants_and_their_derivatives():
    sums = torch.randn(2, 24, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    direction = torch.randn(sums.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights, change = torch.randn(2, 2, 10, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    reference = Invariants(4, (True,) * 6)
    at = InvariantDerivatives(4, (True,) * 6).at(sums)

    def value(s):
        return reference(s.transpose(1, 2))

    def pulled(s, w):
        return torch.autograd.functional.vjp(value, s, w, create_graph=True)[1]

    close = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(at.values(), value(sums), **close)
    several = torch.stack([direction, -2.0 * direction], dim=1)
    expected = torch.func.jvp(value, (sums,), (direction,))[1]
    torch.testing.assert_close(at.along(several), torch.stack([expected, -2.0 * expected], dim=1), **close)
    torch.testing.assert_close(at.pull_back(weights), pulled(sums, weights), **close)
    expected = torch.autograd.functional.jvp(pulled, (sums, weights), (direction, change))[1]
    found = at.change_of_pull_back(weights, torch.stack([change, -2.0 * change], dim=1), several)
    torch.testing.assert_close(found, torch.stack([expected, -2.0 * expected], dim=1), **close)


def test_file_has_the_same_model(tmp_path, structures):
    """Eight digits are enough; different constants of the species are held by an additional neuron."""
    model, moments, vector = make("potential", structures)
    site = torch.tensor([-270.0, -70.0, -150.0], dtype=torch.float64)
    model.scaling = replace(model.scaling, site=site)
    write_nep(tmp_path / "nep.txt", model.to_nep(vector, moments.max_neighbors))
    parameters = read_nep(tmp_path / "nep.txt")
    assert parameters.neurons == model.config.neurons + 1
    assert parameters.max_neighbors == moments.max_neighbors
    predictions = model.predict(vector, moments, ("energy", "forces"))
    found = reference(parameters, structures[2], ("energy", "forces"))
    assert found["energy"] == pytest.approx(float(predictions["energy"][2]), abs=1e-4)
    np.testing.assert_allclose(found["forces"], predictions["forces"][4:8].numpy(), atol=1e-5)


def test_one_constant_needs_no_neuron(structures):
    model, moments, vector = make("potential", [random_structure(5, "BN"), random_structure(6, "BN")])
    assert model.to_nep(vector, (1, 1)).neurons == model.config.neurons
    assert float(model.scaling.site.std()) == 0


def test_single_precision_storage(structures):
    double, moments, vector = make("dipole", structures)
    single = NepOnMoments(double.config, torch.float32)
    single.scaling = double.scaling
    moments32 = build_moments(structures, single.basis, field="dipole", gradient=True, dtype=torch.float32)
    assert moments32.gigabytes == pytest.approx(moments.gigabytes / 2)
    found = single.predict(vector.float(), moments32, LABELS["dipole"])
    expected = double.predict(vector, moments, LABELS["dipole"])
    for name in LABELS["dipole"]:
        torch.testing.assert_close(
            found[name].double(), expected[name], rtol=0, atol=1e-5 * float(expected[name].abs().max())
        )


def test_memory_budget(structures):
    basis = NepOnMoments(small_config(model={"species": ["N", "B", "C"]}).model).basis
    needed = build_moments(structures, basis, gradient=True).gigabytes
    build_moments(structures, basis, gradient=True, memory_gb=needed)
    with pytest.raises(InputError, match=r"4 structures \(11 atoms, \d+ pairs, 64 features\) need .* raise it"):
        build_moments(structures, basis, gradient=True, memory_gb=0.5 * needed)


def test_unknown_species_and_coincident_atoms_name_the_structure(structures):
    basis = NepOnMoments(small_config().model).basis
    with pytest.raises(DataFileError, match="random, structure 1: has C, but the model has N B"):
        build_moments(structures, basis)
    bad = random_structure(7, "BN")
    bad.positions[1] = bad.positions[0]
    with pytest.raises(DataFileError, match="random, structure 7: .*coincide"):
        build_moments([bad], basis)


@pytest.mark.parametrize("kind", LABELS)
def test_moments_of_some_structures(kind, structures):
    """Predictions from selected moments are the predictions for those structures, in the given order."""
    model, moments, vector = make(kind, structures)
    everything = model.predict(vector, moments, LABELS[kind])
    chosen = [3, 0, 2]
    some = model.predict(vector, moments.select(chosen), LABELS[kind])
    ends = np.cumsum([0, *moments.counts.tolist()])
    atoms = torch.tensor(np.concatenate([np.arange(ends[k], ends[k + 1]) for k in chosen]))
    for name, value in some.items():
        rows = atoms if name in OF_ATOMS else torch.tensor(chosen)
        torch.testing.assert_close(value, everything[name][rows], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", LABELS)
def test_several_models_at_once(kind, structures):
    """Each of several parameter vectors, with its own constants, gives the same predictions as alone."""
    model, moments, vector = make(kind, structures, l_max=ALL_BLOCKS)
    vectors = torch.stack([vector, vector + 0.1 * torch.sin(torch.arange(len(vector), dtype=torch.float64))])
    one = model.scaling
    other = replace(
        one, mean=one.mean + 0.1, inverse_spread=1.1 * one.inverse_spread, output=0.9 * one.output, site=one.site + 0.3
    )
    model.scaling = one.stack([one, other])
    together = model.predict(vectors, moments, LABELS[kind])
    for k, scaling in enumerate((one, other)):
        torch.testing.assert_close(model.scaling.member(0).mean, one.mean, rtol=0, atol=0)
        single = NepOnMoments(model.config)
        single.scaling = scaling
        for name, value in single.predict(vectors[k], moments, LABELS[kind]).items():
            torch.testing.assert_close(together[name][k], value, rtol=0, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("few", [0, 24], ids=["apart", "joined"])
def test_groups_of_centres(few, structures, monkeypatch):
    """Joining small groups changes only the size of the moments."""
    import tnep_calc.training.nep.slots as module

    monkeypatch.setattr(module, "_FEW", few)
    model, moments, vector = make("potential", structures)
    near = {(group.species, group.near) for group in moments.groups}
    assert len(near) == len(moments.groups) == (3 if few else 7)
    for group in moments.groups:
        assert (moments.species[group.rows] == group.species).all()
    monkeypatch.setattr(module, "_FEW", 24 - few)
    other = build_moments(structures, model.basis, field="strain", gradient=True)
    for name, value in model.predict(vector, moments, LABELS["potential"]).items():
        found = model.predict(vector, other, LABELS["potential"])[name]
        torch.testing.assert_close(found, value, rtol=0, atol=TOLERANCE)
