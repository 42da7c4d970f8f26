"""Models that are trained together, with batched gradients, each equal the model trained alone."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.structures import LABELS, random_structure
from helpers.training_runs import Stop, small_config, stop_at
from tnep_calc.errors import InputError
from tnep_calc.training.common.checkpoint import save_checkpoint
from tnep_calc.training.nep.joint import JointTrainer
from tnep_calc.training.nep.lockstep import evaluate_in_lockstep
from tnep_calc.training.nep.shared_parts import MomentPool
from tnep_calc.training.nep.trainer import Trainer

pytestmark = pytest.mark.slow

SPLITS = [
    {"train": np.array([0, 2, 3, 5, 6]), "validation": np.array([1, 4]), "test": np.array([7])},
    {"train": np.array([6, 1, 2]), "validation": np.array([0]), "test": np.array([7])},
    {"train": np.array([4, 5, 0, 1]), "validation": np.array([], dtype=int), "test": np.array([7, 3])},
]


def structures():
    symbols = ("BNNB", "BN", "NNB", "BNB", "NB", "BNNB", "NBN", "BN")
    return [replace(random_structure(k, s), weight=1 + 0.3 * (k % 3)) for k, s in enumerate(symbols)]


def together(kind, all_structures=None, splits=SPLITS, **tables):
    own = structures() if all_structures is None else all_structures
    configs = [small_config(kind, model={"seed": k}, **tables) for k in range(len(splits))]
    return JointTrainer.of(configs, own, splits), [Trainer(c, own, s) for c, s in zip(configs, splits, strict=True)]


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * float(b.abs().max()))


@pytest.mark.parametrize("kind", LABELS)
def test_members_start_and_predict_like_single_models(kind):
    joint, alone = together(kind)
    joint.report()
    for member, one in zip(joint.members, alone, strict=True):
        one.report()
        torch.testing.assert_close(member.vector, one.vector, rtol=1e-12, atol=1e-12)
        assert member.max_neighbors >= one.max_neighbors
        for name, value in one.history[0].items():
            assert member.history[0][name] == (value if name == "stage" else pytest.approx(value, rel=1e-9))
        for split in one.parts:
            for name, value in one.evaluate(split).items():
                close(member.evaluate(split)[name], value)


@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("kind", LABELS)
def test_gradients_equal_those_of_single_models(kind, restarts):
    own = structures()
    if kind == "dipole":  # some labels are missing
        own[2], own[5] = replace(own[2], born_charges=None), replace(own[5], dipole=None)
    joint, alone = together(kind, own, data={"allow_missing": True}, optimizer={"restarts": restarts})
    for chosen in ([0, 1, 2], [1], [0, 2]):
        losses = joint._gradients(chosen, None)
        for k, loss in zip(chosen, losses, strict=True):
            assert loss == pytest.approx(alone[k]._gradient(), rel=1e-10)
            assert joint.members[k].vector.grad.shape == alone[k].vector.shape
            close(joint.members[k].vector.grad, alone[k].vector.grad)


@pytest.mark.parametrize("method", ["adam", "soap"])
@pytest.mark.parametrize("kind", LABELS)
def test_steps_equal_those_of_single_models(kind, method):
    joint, alone = together(kind, optimizer={"method": method, "steps": 6, "lbfgs_steps": 10})
    joint.run()
    for member, one in zip(joint.members, alone, strict=True):
        one.run()
        assert member.step == one.step == 16
        close(member.vector.detach(), one.vector.detach(), 1e-6)


def test_batches_have_every_structure_of_a_member_once_per_epoch():
    joint, _ = together("polarizability", optimizer={"batch": 2, "steps": 12, "lbfgs_steps": 0})
    batches = joint.pool.fitted.batches
    assert len(batches) == 2  # twelve structures of three members, two of each at a time
    seen = [[], [], []]
    for _ in batches:
        blocks = joint.members[0].batch(joint.pool.fitted)
        for k, own in enumerate(seen):
            own += [int(s) for block in blocks for s in block.structures if joint._membership[k, s]]
        joint.advance()
    for own, split in zip(seen, SPLITS, strict=True):
        assert len(own) == len(set(own)) == len(split["train"])


def test_the_pool_stores_a_structure_once_and_distinguishes_labels():
    first = [random_structure(k, "BN") for k in (1, 2, 3)]
    other = replace(first[1], polarizability=np.eye(3))
    second = [other, random_structure(4, "NB"), first[0], first[0]]
    pool = MomentPool(small_config("polarizability"), [first, second], [[first[2], random_structure(5, "BN")]])
    assert len(pool.fitted.structures) == 6 and len(pool.others.structures) == 1  # one is twice in the second run
    assert pool.places(second).tolist() == [3, 4, 0, 5] and pool.membership(first).tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize("lbfgs_steps", [0, 20])
def test_patience_ends_a_stage_of_a_member_while_the_others_continue(lbfgs_steps):
    options = {"patience": 1, "steps": 40, "lbfgs_steps": lbfgs_steps, "lr": 0.2}
    joint, alone = together(
        "polarizability", data={"validation_fraction": 0.1}, optimizer=options, output={"report_interval": 2}
    )
    joint.run()
    for member, one in zip(joint.members, alone, strict=True):
        one.run()
        assert member.step == one.step and member.best["step"] == one.best["step"]
        assert [row["step"] for row in member.history] == [row["step"] for row in one.history]
    assert len({member.step for member in joint.members}) > 1
    assert joint.members[2].step == 40 + lbfgs_steps  # has no validation data
    assert (
        min(len(member.history) for member in joint.members)
        < 20
        == len(joint.members[2].history) - 1 - lbfgs_steps // 2
    )


@pytest.mark.parametrize("stop", [3, 9, 26])
def test_a_stopped_run_resumes_exactly(tmp_path, stop):
    options = {"steps": 6, "lbfgs_steps": 30, "restarts": 2, "restart_steps": 5}
    tables = {"optimizer": options, "output": {"checkpoint_interval": 1, "report_interval": 2}}
    whole, _ = together("polarizability", **tables)
    whole.run()
    first, _ = together("polarizability", **tables)
    stop_at(first, stop)
    with pytest.raises(Stop):
        first.run(save=lambda: save_checkpoint(tmp_path / "checkpoint.pt", first.state()))
    second, _ = together("polarizability", **tables)
    second.restore(tmp_path / "checkpoint.pt")
    assert second.step >= stop
    second.run()
    for a, b in zip(whole.members, second.members, strict=True):
        assert torch.equal(a.vector, b.vector) and a.history == b.history
    other, _ = together("polarizability", splits=SPLITS[::-1], **tables)
    with pytest.raises(InputError, match="another configuration"):
        replaced = {**other.members[0].fingerprint, "configuration": "another"}
        other.members[0].fingerprint = replaced
        other.restore(tmp_path / "checkpoint.pt")


def test_one_call_answers_all_waiting_functions():
    log = []

    def asking(name, count):
        def function(ask):
            for _ in range(count):
                log.append((name, ask()))

        return function

    rounds = []

    def answers(waiting):
        rounds.append(waiting)
        return [len(rounds)] * len(waiting)

    evaluate_in_lockstep([asking("a", 1), asking("b", 3), asking("c", 0), asking("d", 2)], answers)
    assert rounds == [[0, 1, 3], [1, 3], [1]]
    assert log == [("a", 1), ("b", 1), ("d", 1), ("b", 2), ("d", 2), ("b", 3)]


@pytest.mark.parametrize("where", ["function", "answers"])
def test_an_error_ends_all_waiting_functions(where):
    ended = []

    def waiting(ask):
        try:
            ask()
            ask()
        finally:
            ended.append(True)

    def failing(ask):
        ask()
        if where == "function":
            raise InputError("no")

    def answers(numbers):
        if where == "answers":
            raise InputError("no")
        return numbers

    with pytest.raises(InputError, match="no"):
        evaluate_in_lockstep([waiting, failing, waiting], answers)
    assert ended == [True, True]


def test_the_slowest_moving_member_counts_for_intervals():
    """A report or checkpoint is due when all moving members have done the steps, and when the last one ends."""

    def step(*members):
        names = ("step", "stage", "finished", "out_of_patience")
        joint = JointTrainer.__new__(JointTrainer)
        joint.members = [SimpleNamespace(**dict(zip(names, member, strict=True))) for member in members]
        return joint.step

    assert step((30, "adam", False, False), (20, "adam", False, False)) == 20
    assert step((70, "lbfgs", False, False), (60, "lbfgs", False, False), (10, "lbfgs", True, False)) == 60
    # L-BFGS waits until all first-order steps are done
    assert step((70, "lbfgs", False, False), (20, "adam", False, False)) == 20
    # a member that is out of patience waits, too
    assert step((5, "adam", False, True), (20, "adam", False, False)) == 20
    assert step((70, "lbfgs", True, False), (90, "lbfgs", True, False)) == 90
