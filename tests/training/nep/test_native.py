"""The native kernels of training: the same losses and gradients as in torch, on any number of threads."""

import itertools
from dataclasses import replace

import pytest
import torch

from helpers.grid import grid
from helpers.structures import random_structure
from helpers.training_runs import small_config
from tnep_calc.training.nep import native
from tnep_calc.training.nep.moments import Basis, build_moments
from tnep_calc.training.nep.trainer import Trainer

STRUCTURES = [random_structure(k, "BNBN"[: 2 + k % 3]) for k in range(9)] + [
    random_structure(20, "BBN", pbc=False),
    random_structure(21, "NN"),
    random_structure(22, "B", pbc=False),
]


def trainer(kind, l_max=(3, 1, 1), **options):
    model = {"l_max": list(l_max), "n_max": [3, 9]}  # more functions than the kernels process at a time
    return Trainer(small_config(kind, model=model, data={"fold_dipole": False}, **options), STRUCTURES)


def both_ways(monkeypatch, run):
    """Return what a function gives with the native kernels and without."""
    with_kernels = run()
    with monkeypatch.context() as patch:
        patch.setattr(native, "available", lambda moments: False)
        return with_kernels, run()


def loss_and_gradient(run, vector):
    run.vector = vector.clone().requires_grad_(True)
    loss = run._gradient()
    return float(loss), run.vector.grad.clone()


def far_from_start(run, size=0.4):
    noise = torch.randn(run.vector.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return run.vector.detach() + size * noise


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 3])
@pytest.mark.parametrize("l_max", [(1, 0, 1), (3, 1, 0, 1, 1, 1), (4, 1, 1, 1, 1, 1, 1), (8, 1)])
@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_losses_and_gradients_are_those_of_torch(monkeypatch, kind, l_max, models):
    restarts = {"restarts": models, "restart_steps": 2} if models > 1 else {}
    run = trainer(kind, l_max, optimizer=restarts)
    vector = far_from_start(run)
    ours, plain = both_ways(monkeypatch, lambda: loss_and_gradient(run, vector))
    assert ours[0] == pytest.approx(plain[0], rel=1e-12)
    torch.testing.assert_close(ours[1], plain[1], rtol=0, atol=1e-11 * float(plain[1].abs().max()))


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_predictions_are_those_of_torch_in_single_precision(monkeypatch, kind):
    run = trainer(kind, optimizer={"precision": "float32"})
    vector = far_from_start(run, size=0.1)
    ours, plain = both_ways(monkeypatch, lambda: run.evaluate("train", vector))
    assert set(ours) == set(plain)
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=2e-5 * float(value.abs().max()))


@pytest.mark.parametrize("precision, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("models", [1, 3, 9, 21, 70])
def test_forces_of_many_models_are_those_of_torch(monkeypatch, models, precision, tolerance):
    """Pairs of some are beyond the angular cutoff, and their angular part is left out."""
    run = trainer("potential", optimizer={"precision": precision})
    start = run.vector.detach()
    noise = torch.randn(models, len(start), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    vectors, moments = start + 0.3 * noise, run.parts["train"].blocks[0].load()
    near = (moments.pair_gradient[:, run.model.basis.n_radial :] != 0).flatten(1).any(1)
    assert near.any() and not near.all()

    def forces():
        with torch.no_grad():
            return run.model.predict(vectors, moments, ["forces"])["forces"]

    ours, plain = both_ways(monkeypatch, forces)
    assert ours.shape == plain.shape == (models, moments.n_atoms, 3)
    torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance * float(plain.abs().max()))
    assert float(ours.sum(1).abs().max()) < 100 * tolerance * float(plain.abs().max())  # no net force


def test_forces_of_many_models_on_two_threads():
    run = Trainer(small_config("potential"), STRUCTURES * 9)
    noise = torch.randn(5, len(run.vector), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    vectors, moments = run.vector.detach() + 0.3 * noise, run.parts["train"].blocks[0].load()
    with torch.no_grad():
        single = run.model.predict(vectors, moments, ["forces"])["forces"]
        torch.set_num_threads(2)
        try:
            double = run.model.predict(vectors, moments, ["forces"])["forces"]
        finally:
            torch.set_num_threads(1)
    torch.testing.assert_close(double, single, rtol=0, atol=1e-13 * float(single.abs().max()))


@pytest.mark.parametrize("wrong", ["order", "row", "counts", "shape"])
def test_pairs_that_do_not_fit(wrong):
    run = trainer("potential")
    moments = run.parts["train"].blocks[0].load()
    radial = torch.zeros(2, 4, moments.n_atoms, dtype=torch.float64)
    angular = torch.zeros(2, 10, 15, moments.n_atoms, dtype=torch.float64)
    basis = run.model.basis
    coefficients = {
        "radial": torch.zeros(2, 2, 2, 4, basis.n_radial, dtype=torch.float64),
        "angular": torch.zeros(2, 2, 2, 10, basis.angular_shape[0], dtype=torch.float64),
    }

    def gradient():
        m = moments
        pairs = m.pair_gradient, m.pair_slot, m.pair_center, m.pair_neighbor
        return native.position_gradient((radial, angular), coefficients, m.groups, *pairs)

    assert gradient().shape == (2, moments.n_atoms, 3)
    if wrong == "order":
        moments, message = replace(moments, pair_slot=moments.pair_slot.flip(0)), "sorted by slot"
    elif wrong == "row":
        moments, message = replace(moments, pair_center=moments.pair_center + moments.n_atoms), "center must be from 0"
    elif wrong == "counts":
        moments, message = replace(moments, groups=moments.groups[:-1]), "add up to the number of centres"
    else:
        angular, message = angular[:, :9], "c_angular must be a"
    with pytest.raises(RuntimeError, match=message):
        gradient()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dipole", "polarizability"])
def test_threads_share_the_centres(monkeypatch, kind):
    run = trainer(kind)
    many = Trainer(small_config(kind, data={"fold_dipole": False}), STRUCTURES * 9)  # enough centres for two threads
    for each in (run, many):
        vector = far_from_start(each)
        one = loss_and_gradient(each, vector)
        torch.set_num_threads(2)
        try:
            two = loss_and_gradient(each, vector)
            again = loss_and_gradient(each, vector)
        finally:
            torch.set_num_threads(1)
        assert two[0] == pytest.approx(one[0], rel=1e-12)
        torch.testing.assert_close(two[1], one[1], rtol=0, atol=1e-12 * float(one[1].abs().max()))
        assert torch.equal(two[1], again[1])


def test_gradients_agree_with_finite_differences():
    run = trainer("polarizability", l_max=(4, 1, 1, 1, 1, 1, 1))
    vector = far_from_start(run, size=0.1)
    _, gradient = loss_and_gradient(run, vector)
    for seed in range(3):
        direction = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        losses = [loss_and_gradient(run, vector + step * direction)[0] for step in (1e-5, -1e-5)]
        slope = float(gradient @ direction)
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slope, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "l_max, field, gradient",
    grid(
        itertools.product([1, 4, 8], [None, "dipole", "strain"], [False, True]),
        [
            (1, None, True),
            (1, "strain", False),
            (4, "dipole", True),
            (4, "strain", True),
            (8, None, False),
            (8, "dipole", True),
        ],
    ),
)
def test_moments_are_those_of_torch(monkeypatch, l_max, field, gradient):
    basis = Basis(("N", "B"), (5.1, 4.7), (3.9, 4.1), (6, 3), l_max)
    structures = STRUCTURES * 5  # more centres in a group than are processed at a time
    options = {"field": field, "gradient": gradient}
    ours, plain = both_ways(monkeypatch, lambda: build_moments(structures, basis, **options))
    single = build_moments(structures, basis, dtype=torch.float32, **options)
    torch.set_num_threads(2)
    try:
        two_threads = build_moments(structures, basis, **options)
    finally:
        torch.set_num_threads(1)
    assert len(ours.arrays) == len(plain.arrays) > 2
    for a, b, c, d in zip(ours.arrays, plain.arrays, single.arrays, two_threads.arrays, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-14 * max(1.0, float(b.abs().max())))
        assert torch.equal(a.to(torch.float32), c) and torch.equal(a, d)


def test_training_runs_on_the_kernels(monkeypatch):
    assert native.available(torch.zeros(1))
    calls = []
    for name in ("moments", "project", "sites", "along"):
        plain = getattr(native, name)
        monkeypatch.setattr(native, name, lambda *a, name=name, plain=plain: (calls.append(name), plain(*a))[1])
    trainer("polarizability").evaluate("train")
    assert {"moments", "project", "sites", "along"} <= set(calls)


def test_wrong_arguments_are_refused():
    op = torch.ops.tnep
    c = torch.zeros(1, 2, 2, 3, 4, dtype=torch.float64)
    moments = torch.zeros(4, 5, 6, dtype=torch.float64)
    assert op.training_project(c, [0, 1, 1], [moments]).shape == (1, 3, 5, 6)
    for near, tensors, words in [
        ([0, 1, 2], [moments], "species from 0 to 1"),
        ([0, 1], [moments], "too short"),
        ([0, 1, 1, 0], [moments], "too long"),
        ([0, 2, 0, 1], [moments], r"moments must be .* shape \[8, 5, 6\]"),
        ([0, 1, 1], [moments.float()], "moments must be a Double"),
        ([], [], "at least one group"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            op.training_project(c, near, tensors)
    h = torch.zeros(1, 3, 5, 7, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"h must be .* shape \[1, 3, 5, 6\]"):
        op.training_along(h, c, [0, 1, 1], [moments[:, None]])
    radial, angular = torch.zeros(1, 2, 6), torch.zeros(1, 3, 8, 6)
    shift, w0, b0 = torch.zeros(1, 1, 8), torch.zeros(1, 1, 1, 5, 8), torch.zeros(1, 1, 1, 5)
    assert op.training_sites(radial, angular, shift, shift, w0, b0, b0, [0, 6], 2, 0)[0].shape == (1, 6)
    for rows, l_max, extra, words in [
        ([0, 5], 2, 0, "rows must rise from 0 to the number of centres 6"),
        ([0, 6], 9, 0, "l_max must be from 1 to 8"),
        ([0, 6], 2, 8, "too small|w0 must be"),
        ([0, 6], 3, 0, "angular must be"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            op.training_sites(radial, angular, shift, shift, w0, b0, b0, rows, l_max, extra)


def test_wrong_edges_are_refused():
    vectors, cutoffs = torch.ones(3, 3, dtype=torch.float64), torch.full((2, 2), 4.0, dtype=torch.float64)
    offsets, centre = torch.tensor([0, 2, 3]), torch.tensor([0, 0, 1])
    order, slot = torch.tensor([0, 1]), torch.tensor([0, 1, 2])

    def moments(**changed):
        arguments = {
            "vectors": vectors,
            "offsets": offsets,
            "centre": centre,
            "neighbor": 1 - centre,
            "place": slot,
            "order": order,
            "near": [2, 1],
            "counts": [1, 1],
            "cutoffs": cutoffs,
            "sizes": [4, 3, 2],
            "field": 1,
            "dtype": torch.float32,
        } | changed
        return torch.ops.tnep.training_moments(**arguments)

    assert [tuple(m.shape) for m in moments()[:3]] == [(8, 4, 1), (6, 8, 1), (6, 3, 8, 1)]
    for changed, words in [
        ({"vectors": vectors.float()}, "vectors must be a float64"),
        ({"offsets": torch.tensor([0, 2, 2])}, "offsets must rise from 0 to the number of edges 3"),
        ({"centre": centre + 1}, "centre must be from 0 to 1"),
        ({"place": slot + 1}, "place must be from 0 to 2"),
        ({"place": slot.flip(0)}, "edge of atom 0 has a slot of another"),
        ({"order": order + 1}, "order must be from 0 to 1"),
        ({"counts": [1, 2]}, "groups must have all 2 atoms|order must be"),
        ({"counts": [1]}, "a count for every group"),
        ({"sizes": [4, 3, 9]}, "l_max up to 8"),
        ({"field": 3}, "a field from 0 to 2"),
        ({"cutoffs": cutoffs[:1]}, r"cutoffs must be .* shape \(2, species\)"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            moments(**changed)
