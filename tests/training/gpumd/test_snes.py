"""Definitions of the evolution strategy, each against an independent calculation or GPUMD's own files."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.paths import shared_data
from helpers.snes_runs import make_frames, options
from helpers.structures import random_structure
from tnep_calc.conventions import STRAIN_ORDER, to_six
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.nep_txt import format_nep, read_nep
from tnep_calc.io.gpumd.training_output import parity_tables, read_restart, table_errors
from tnep_calc.io.gpumd.xyz import GpumdFrame, read_gpumd_xyz
from tnep_calc.training.common.checkpoint import save_checkpoint
from tnep_calc.training.gpumd.keywords import model_config
from tnep_calc.training.gpumd.reference import evaluate
from tnep_calc.training.gpumd.snes.fitness import Fitness, deal_batches
from tnep_calc.training.gpumd.snes.parameters import ParameterOrder
from tnep_calc.training.gpumd.snes.strategy import SNES, sigma_rate, utilities
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer


def draw(layout, population=1, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(population, layout.n_parameters, generator=generator)


# -- the search distribution -----------------------------------------------------------------------------------------


def test_utilities():
    u = utilities(4)
    raw = [np.log(3) - np.log(1), np.log(3) - np.log(2), 0.0, 0.0]
    np.testing.assert_allclose(u.numpy(), np.array(raw) / sum(raw) - 0.25, rtol=1e-12)
    assert abs(float(utilities(80).sum())) < 1e-12


def test_rate_of_the_widths():
    assert sigma_rate(1516) == pytest.approx((3 + np.log(1516)) / (5 * np.sqrt(1516)) / 2, rel=1e-14)


def test_update_follows_the_ranking_of_the_own_species():
    labels = torch.tensor([0, 0, 1, 2, 1, 0])
    snes = SNES(labels, 2, population=10, sigma0=0.9, seed=5)
    assert (snes.sigma == torch.tensor(0.9)).all() and (snes.mu.abs() <= 1).all()
    mu, sigma = snes.mu.double().numpy(), snes.sigma.double().numpy()
    s, individuals = snes.ask()
    torch.testing.assert_close(individuals, snes.mu + 0.9 * s)
    losses = torch.rand(10, 3, generator=torch.Generator().manual_seed(1))
    snes.tell(s, losses)
    u, rate = utilities(10).numpy(), (3 + np.log(3)) / (5 * np.sqrt(3)) / 2
    clipped = 0
    for v, label in enumerate(labels.tolist()):
        ranking = sorted(range(10), key=lambda p, label=label: float(losses[p, label]))
        step = sum(u[rank] * float(s[p, v]) for rank, p in enumerate(ranking))
        growth = sum(u[rank] * (float(s[p, v]) ** 2 - 1) for rank, p in enumerate(ranking))
        assert float(snes.mu[v]) == pytest.approx(mu[v] + sigma[v] * step, abs=1e-6)
        expected = min(sigma[v] * np.exp(rate * growth), 1.0)
        clipped += expected == 1.0
        assert float(snes.sigma[v]) == pytest.approx(expected, abs=1e-6)
    assert 0 < clipped < 6


def test_the_distribution_finds_a_minimum():
    snes = SNES(torch.zeros(8, dtype=torch.int64), 1, population=20, sigma0=0.5, seed=0)
    target = torch.linspace(-2, 2, 8)
    for _ in range(400):
        s, individuals = snes.ask()
        snes.tell(s, (individuals - target).square().sum(dim=1, keepdim=True).expand(-1, 2))
    assert float((snes.mu - target).abs().max()) < 1e-3 and float(snes.sigma.max()) < 1e-3


# -- parameters and regularisation -----------------------------------------------------------------------------------


def published(name):
    folder = shared_data(f"tnep/{name}")
    text = (folder / "nep.txt").read_text()
    values = np.array([float(word) for line in text.splitlines()[6:] for word in line.split()])
    given = read_nep_in(folder / "nep.in")
    layout = ParameterOrder(model_config(given))
    assert layout.n_parameters == given.n_parameters
    vector = torch.tensor(values[: layout.n_parameters], dtype=torch.float32)
    last = gzip.open(folder / "loss.out.gz", "rt").read().splitlines()[-1].split()
    return folder, given, layout, vector, torch.tensor(values[layout.n_parameters :]), last


@pytest.mark.parametrize("name", ["qm7b/dipole", "qm7b/polarizability", "pbte"])
def test_parameters_are_in_the_order_of_the_file(name):
    folder, _, layout, vector, q_scaler, _ = published(name)
    reference = read_nep(folder / "nep.txt")
    text = format_nep(layout.to_nep(vector, q_scaler, reference.max_neighbors))
    assert text.split() == (folder / "nep.txt").read_text().split()


# The output biases count in GPUMD's polarizability examples (of 2023), but not in that for a potential, nor in 5.6.
@pytest.mark.parametrize(("name", "biases"), [("qm7b/dipole", 0), ("pbte", 0), ("qm7b/polarizability", 2)])
def test_regularisation_equals_the_published_loss(name, biases):
    _, given, layout, vector, _, last = published(name)
    snes = SNES(layout.labels, len(given.species), given.population, given.sigma0, 0)
    l1, l2 = (float(values[0, -1]) for values in snes.regularisation(vector[None]))
    extra = vector[layout.labels == len(given.species)] if biases else torch.zeros(1)
    l1 += float(extra.abs().sum()) / layout.n_parameters
    l2 = (l2**2 + float(extra.square().sum()) / layout.n_parameters) ** 0.5
    lambda_1, lambda_2 = given.regularisation
    assert (f"{lambda_1 * l1:.5f}", f"{lambda_2 * l2:.5f}") == tuple(last[2:4])


def test_labels_and_regularisation_by_species():
    layout = ParameterOrder(model_config(options("polarizability")))
    vector = torch.arange(1.0, layout.n_parameters + 1)[None] / 100
    nep = layout.to_nep(vector[0], torch.ones(layout.model.dim), (1, 1))
    snes = SNES(layout.labels, 2, 10, 0.1, 0)
    l1, l2 = snes.regularisation(vector)
    for t in range(2):
        own = np.concatenate(
            [
                np.ravel(a)
                for a in (nep.w0[:, t], nep.b0[:, t], nep.w1[:, t], nep.c_radial[:, :, t], nep.c_angular[:, :, t])
            ]
        )
        assert float(l1[0, t]) == pytest.approx(own.sum() / (layout.n_parameters // 2), rel=1e-5)
        assert float(l2[0, t]) == pytest.approx(np.sqrt((own**2).sum() / (layout.n_parameters // 2)), rel=1e-5)
    assert int((layout.labels == 2).sum()) == 2 and layout.bias == int(torch.nonzero(layout.labels == 2)[-1])


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability", "atomic dipole", "atomic polarizability"])
def test_errors_equal_those_of_the_model_file(kind):
    atomic, kind = "atomic" in kind, kind.split()[-1]
    given, frames = options(kind, atomic_v=atomic), make_frames(atomic=atomic)
    layout = ParameterOrder(model_config(given))
    fitness = Fitness(layout, given, frames, 1.0)
    fitness.q_scaler = fitness.find_q_scaler(1.0)
    vector = draw(layout)
    rmse, shift = fitness.errors(vector, [0])
    shifted = vector[0].clone()
    shifted[layout.bias] += shift[0]
    nep = layout.to_nep(shifted, fitness.q_scaler, fitness.max_neighbors)
    expected = table_errors(parity_tables(kind, frames, evaluate(nep, frames), atomic), atomic)
    for name, values in rmse.items():
        table = "force" if name == "forces" else name
        assert float(values[0, -1]) == pytest.approx(expected[table], rel=2e-4), name
    assert set(rmse) == ({"energy", "forces", "virial"} if kind == "potential" else {kind})
    assert (shift[0] == 0) == (kind != "potential")


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_predictions_of_a_population_equal_those_of_model_files(kind):
    """With more individuals than are predicted at a time, and some centres without neighbours."""
    given = options(kind, l_max=(4, 2, 1, 1, 1, 1, 1))
    layout = ParameterOrder(model_config(given))
    frames = [*make_frames(), GpumdFrame(random_structure(9, "B", pbc=False))]
    fitness = Fitness(layout, given, frames, 1.0)
    layout.model.scaling = layout.scaling(scale := torch.linspace(0.5, 1.5, layout.model.dim))
    population, (chunk,) = draw(layout, 85), fitness._data[0]
    order = [frames[k] for k in fitness.batches[0]]
    found = fitness._predict(layout.to_model(population), chunk)
    assert set(found) == ({"energy", "forces", "virial"} if kind == "potential" else {kind})
    for p in (0, 7, 8, 79, 80, 84):
        expected = evaluate(layout.to_nep(population[p], scale, fitness.max_neighbors), order)
        for name, values in found.items():
            target = to_six(expected[name], STRAIN_ORDER) if name in ("virial", "polarizability") else expected[name]
            size = np.abs(target).max()
            assert size > 0
            np.testing.assert_allclose(values[p].numpy(), target, rtol=0, atol=2e-5 * size, err_msg=name)


def test_errors_of_a_species_are_those_of_the_structures_that_have_it():
    given, frames = options("dipole"), make_frames()
    layout = ParameterOrder(model_config(given))
    vector = draw(layout)
    rmse = Fitness(layout, given, frames, 1.0).errors(vector, [0])[0]["dipole"]
    for t, symbol in enumerate(given.species):
        own = [frame for frame in frames if symbol in frame.structure.symbols]
        assert 0 < len(own) < len(frames)
        alone = Fitness(layout, given, own, 1.0).errors(vector, [0])[0]["dipole"]
        assert float(rmse[0, t]) == pytest.approx(float(alone[0, -1]), rel=1e-6)


def test_errors_of_populations_and_batches_equal_those_of_single_evaluations():
    given = options("polarizability", batch=2)
    layout, frames = ParameterOrder(model_config(given)), make_frames()
    population = draw(layout, 7)
    fitness = Fitness(layout, given, frames, 1.0)
    assert fitness.batches == deal_batches(frames, 2) and sorted(map(len, fitness.batches)) == [1, 2, 2]
    together = fitness.errors(population, [0, 1, 2])[0]["polarizability"]
    whole = Fitness(layout, replace(given, batch=9), frames, 1.0)
    for p in range(7):
        alone = whole.errors(population[p : p + 1], [0])[0]["polarizability"]
        torch.testing.assert_close(together[p], alone[0], rtol=1e-5, atol=1e-6)


def test_weights_of_structures_and_off_diagonals_enter_squared():
    given = options("polarizability")
    layout, frames = ParameterOrder(model_config(given)), make_frames()
    vector, weights, shear = draw(layout), np.array([1.0, 2.0, 0.5, 3.0, 1.5]), 0.25
    heavy = [replace(frame, weight=w) for frame, w in zip(frames, weights, strict=True)]
    fitness = Fitness(layout, replace(given, lambda_shear=shear), heavy, 1.0)
    nep = layout.to_nep(vector[0], fitness.q_scaler, fitness.max_neighbors)
    prediction, target = parity_tables("polarizability", frames, evaluate(nep, frames))["polarizability"]
    squares = (prediction - target) ** 2 * [1, 1, 1, shear**2, shear**2, shear**2] * weights[:, None] ** 2
    assert float(fitness.errors(vector, [0])[0]["polarizability"][0, -1]) == pytest.approx(
        np.sqrt(squares.mean()), rel=1e-4
    )
    plain = np.sqrt(((prediction - target) ** 2).mean())
    unweighted = fitness.errors(vector, [0], weighted=False)[0]["polarizability"]
    assert float(unweighted[0, -1]) == pytest.approx(plain, rel=1e-4)


def test_weights_of_forces_and_missing_virials():
    given = options("potential", force_delta=0.5, type_weight=(2.0, 0.5))
    frames = make_frames()
    frames[1] = replace(frames[1], structure=replace(frames[1].structure, virial=None))
    layout = ParameterOrder(model_config(given))
    vector, fitness = draw(layout), Fitness(layout, given, frames, 1.0)
    nep = layout.to_nep(vector[0], fitness.q_scaler, fitness.max_neighbors)
    tables = parity_tables("potential", frames, evaluate(nep, frames))
    prediction, target = tables["force"]
    types = [2.0 if symbol == "N" else 0.5 for frame in frames for symbol in frame.structure.symbols]
    weights = np.array(types) / (1 + np.linalg.norm(target, axis=1) / 0.5)
    rmse, shift = fitness.errors(vector, [0])
    expected = np.sqrt(((prediction - target) ** 2 * weights[:, None]).mean())
    assert float(rmse["forces"][0, -1]) == pytest.approx(expected, rel=1e-4)
    assert float(rmse["virial"][0, -1]) == pytest.approx(table_errors(tables)["virial"], rel=1e-4)
    error = (tables["energy"][0] - tables["energy"][1])[:, 0]
    assert float(shift[0]) == pytest.approx(error.mean(), rel=1e-4)
    assert float(rmse["energy"][0, -1]) == pytest.approx(error.std(), rel=1e-3)
    without = [replace(frame, structure=replace(frame.structure, virial=None)) for frame in frames]
    assert set(Fitness(layout, given, without, 1.0).terms) == {"energy", "forces"}


def test_batches_are_dealt_by_energy_per_atom():
    frames = make_frames()
    energies = [-1.0, -5.0, -3.0, -2.0, -4.0]
    frames = [replace(f, structure=replace(f.structure, energy=e * len(f))) for f, e in zip(frames, energies)]  # noqa: B905
    assert deal_batches(frames, 2) == [[1, 3], [4, 0], [2]]
    assert deal_batches(frames, 5) == [[1, 4, 2, 3, 0]]
    unlabelled = [replace(f, structure=replace(f.structure, energy=None)) for f in frames]
    assert deal_batches(unlabelled, 3) == [[0, 2, 4], [1, 3]]


def test_descriptor_scaling_spans_all_atoms():
    given, frames = options("dipole", batch=2), make_frames()
    layout = ParameterOrder(model_config(given))
    fitness = Fitness(layout, given, frames, 1.0)
    for value in (1.0, 0.5):
        ones = torch.full((layout.n_parameters,), value)
        nep = layout.to_nep(ones, torch.ones(layout.model.dim), (1, 1))
        q = evaluate(nep, frames, descriptors=True)["descriptors"]
        span = q.max(axis=0) - q.min(axis=0)
        np.testing.assert_allclose(fitness.find_q_scaler(value).numpy(), 1 / span, rtol=1e-4)
    lonely = Fitness(layout, given, [frames[3], frames[3]], 1.0)  # two equal pairs of atoms: no span
    assert torch.isfinite(lonely.find_q_scaler(1.0)).all()


# -- training --------------------------------------------------------------------------------------------------------


def test_only_regularisation_moves_the_first_generation():
    given = options("dipole", lambda_1=0.3, lambda_2=0.2)
    trainer = SnesTrainer(given, make_frames())
    reference = SNES(trainer.layout.labels, 2, given.population, given.sigma0, trainer.seed)
    s, individuals = reference.ask()
    l1, l2 = reference.regularisation(individuals)
    reference.tell(s, 0.3 * l1 + 0.2 * l2)
    trainer.step()
    assert torch.equal(trainer.snes.mu, reference.mu) and torch.equal(trainer.snes.sigma, reference.sigma)
    s, individuals = reference.ask()
    l1, l2 = reference.regularisation(individuals)
    rmse = trainer.fitness.errors(individuals, [0])[0]["dipole"]
    losses = 0.3 * l1 + 0.2 * l2 + given.lambda_v * rmse
    reference.tell(s, losses)
    trainer.step()
    assert torch.equal(trainer.snes.mu, reference.mu)
    best = int(losses[:, -1].argmin())
    assert torch.equal(trainer.elite.vector, individuals[best])
    assert trainer.elite.total == pytest.approx(float(losses[best, -1]), rel=1e-6)
    assert trainer.elite.l1 == pytest.approx(0.3 * float(l1[best, -1]), rel=1e-6)
    assert trainer.train_errors() == pytest.approx([float(rmse[best, -1])], rel=1e-5)


def test_the_bias_of_a_potential_removes_the_mean_error():
    trainer = SnesTrainer(options("potential"), make_frames())
    for _ in range(3):
        trainer.step()
    tables = parity_tables("potential", make_frames(), evaluate(trainer.parameters(), make_frames()))
    prediction, target = tables["energy"]
    assert abs(float((prediction - target).mean())) < 1e-4
    errors = table_errors(tables)
    expected = [errors[name] for name in ("energy", "force", "virial")]
    assert trainer.train_errors() == pytest.approx(expected, rel=1e-3)


def test_training_lowers_the_error_and_is_reproducible():
    # targets that a model of the same shape can give: the susceptibility convention is a matter of the data alone
    given = options("polarizability", population=20, lambda_1=1e-4, lambda_2=1e-4, batch=3)
    layout, frames = ParameterOrder(model_config(given)), make_frames()
    teacher = layout.to_nep(draw(layout, seed=8)[0], torch.ones(layout.model.dim), (1, 1))
    labels = evaluate(teacher, frames)["polarizability"]
    frames = [replace(f, structure=replace(f.structure, polarizability=a)) for f, a in zip(frames, labels, strict=True)]
    spread = parity_tables("polarizability", frames, {"polarizability": labels})["polarizability"][1].std()
    trainer = SnesTrainer(given, frames)
    for _ in range(60):
        trainer.step()
    tables = parity_tables("polarizability", frames, evaluate(trainer.parameters(), frames))
    assert table_errors(tables)["polarizability"] < 0.6 * spread
    short = [SnesTrainer(replace(given, seed=seed), frames) for seed in (None, None, 4)]
    for trainer in short:
        for _ in range(3):
            trainer.step()
    assert torch.equal(short[0].snes.mu, short[1].snes.mu)
    assert not torch.equal(short[0].snes.mu, short[2].snes.mu)


def test_a_published_restart_continues_where_gpumd_stopped(tmp_path):
    folder = shared_data("tnep/atomic_dipole_water")
    given = replace(read_nep_in(folder / "nep.in"), population=20)
    frames = read_gpumd_xyz(folder / "train.xyz.gz", given.species, given.kind, atomic=True)[:1]
    (tmp_path / "nep.restart").write_bytes(gzip.open(folder / "nep.restart.gz").read())
    start = read_restart(tmp_path / "nep.restart", given.n_parameters)
    trainer = SnesTrainer(given, frames, start, read_nep(folder / "nep.txt").q_scaler)
    for _ in range(2):
        trainer.step()
    last = [float(word) for word in gzip.open(folder / "loss.out.gz", "rt").read().splitlines()[-1].split()]
    assert trainer.elite.l1 == pytest.approx(last[2], rel=0.01)
    assert trainer.elite.l2 == pytest.approx(last[3], rel=0.01)
    assert trainer.train_errors()[0] == pytest.approx(last[4], rel=0.2)  # of 1 structure instead of 80


def test_a_state_is_complete(tmp_path):
    given, frames = options("dipole", import_q_scaler=True, batch=2), make_frames()
    n = given.n_parameters
    start = np.linspace(-1, 1, n), np.linspace(0.1, 0.2, n)
    for generations in (0, 3):
        whole = SnesTrainer(given, frames, start, np.linspace(0.5, 1.5, given.dim))
        for _ in range(generations):
            whole.step()
        save_checkpoint(tmp_path / "state.pt", whole.state())
        resumed = SnesTrainer(given, frames)
        resumed.restore(tmp_path / "state.pt")
        for trainer in (whole, resumed):
            trainer.step()
            trainer.step()
        assert torch.equal(whole.snes.mu, resumed.snes.mu) and torch.equal(whole.snes.sigma, resumed.snes.sigma)
        assert format_nep(whole.parameters()) == format_nep(resumed.parameters())
    other = SnesTrainer(replace(given, lambda_v=2.0), frames)
    with pytest.raises(InputError, match="another nep.in"):
        other.restore(tmp_path / "state.pt")
    other = SnesTrainer(given, frames[:4])
    with pytest.raises(InputError, match="another train.xyz"):
        other.restore(tmp_path / "state.pt")


def test_full_batches_use_all_structures_in_every_generation():
    trainer = SnesTrainer(options("dipole", batch=2, full_batch=True), make_frames())
    assert trainer.batches() == [0, 1, 2]
    trainer = SnesTrainer(options("dipole", batch=2), make_frames())
    seen = []
    for _ in range(4):
        seen += trainer.batches()
        trainer.step()
    assert seen == [0, 1, 2, 0]


@pytest.mark.parametrize("zero", [{"lambda_v": 0.0}, {"lambda_f": 0.0}, {"lambda_e": 0.0, "lambda_v": 0.0}])
def test_errors_of_zero_weight_are_reported_too(zero):
    """loss.out has all errors of the elite on its batch, also those without a weight."""
    given, frames = options("potential", batch=3, **zero), make_frames()
    trainer = SnesTrainer(given, frames)
    for _ in range(2):
        trainer.step()
    chosen = [frames[k] for k in trainer.fitness.batches[1]]
    assert len(chosen) < len(frames)
    errors = table_errors(parity_tables("potential", chosen, evaluate(trainer.parameters(), chosen)))
    expected = [errors[name] for name in ("energy", "force", "virial")]
    assert min(expected) > 0 and trainer.train_errors() == pytest.approx(expected, rel=1e-3)


def test_targets_must_be_finite_and_moderate():
    bad = [replace(f, structure=replace(f.structure, dipole=np.full(3, 1e30))) for f in make_frames()]
    trainer = SnesTrainer(options("dipole"), bad)
    trainer.step()
    with pytest.raises(InputError, match="no loss of generation 1 is finite"):
        trainer.step()
