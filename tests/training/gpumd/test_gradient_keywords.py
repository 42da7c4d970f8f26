"""Keywords of the evolution strategy in nep.in, with the gradient engine: each is used or refused."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.gpumd_folders import options, rows
from helpers.paths import shared_data
from tnep_calc.errors import InputError
from tnep_calc.io.gpumd.nep_in import NepInput, format_nep_in, read_nep_in, write_nep_in
from tnep_calc.io.gpumd.nep_txt import read_nep
from tnep_calc.training.common.checkpoint import load_checkpoint
from tnep_calc.training.gpumd import folder as folder_module
from tnep_calc.training.gpumd.folder import Folder, RunOptions
from tnep_calc.training.gpumd.keywords import gradient_config, limited, weight_decay
from tnep_calc.training.gpumd.run import run_directory

pytestmark = pytest.mark.slow


def config(folder, **run):
    return gradient_config(Folder(folder), RunOptions(**run))


def lines(caplog, word):
    return [r.getMessage() for r in caplog.records if word in r.getMessage()]


# -- generation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "most", "expected"),
    [
        ([0, 300, 300], 600, [0, 300, 300]),
        ([0, 300, 300], 100, [0, 50, 50]),
        ([0, 300, 300], 7, [0, 4, 3]),
        ([0, 300, 300], 1, [0, 1, 0]),
        ([50, 300, 300], 130, [10, 60, 60]),
        ([50, 300, 300], 2, [1, 1, 0]),
    ],
)
def test_a_limit_keeps_the_proportion(steps, most, expected):
    assert limited(steps, most) == expected


@pytest.mark.parametrize(
    ("generation", "run", "expected"),
    [
        (200000, {}, (300, 300)),
        (200000, {"steps": 20}, (20, 20)),
        (100, {}, (50, 50)),
        (100, {"steps": 30}, (30, 30)),
        (10, {"steps": 30}, (5, 5)),
        (1, {}, (1, 0)),
    ],
)
def test_generation_is_the_largest_number_of_steps(make, generation, run, expected):
    o = config(make("dipole", generation=generation), **run).optimizer
    assert (o.restarts, o.steps, o.lbfgs_steps) == (1, *expected)


def test_the_steps_of_several_starts_count_too(make):
    folder = make("dipole", generation=26, test=False)
    o = config(folder, restarts=3).optimizer
    assert (o.restarts, o.restart_steps, o.steps, o.lbfgs_steps) == (3, 2, 12, 12)
    run_directory(folder, RunOptions(restarts=3))
    assert rows(folder)[-1][0] == load_checkpoint(folder / "tnep_checkpoint.pt")["step"] == 26
    write_nep_in(folder / "nep.in", options("dipole", generation=1), force=True)
    with pytest.raises(InputError, match="line 9: 'generation': --restarts needs at least 2"):
        config(folder, restarts=3)


def test_a_run_does_not_exceed_the_limit(make, caplog):
    caplog.set_level(logging.INFO)
    folder = make("dipole", generation=8, output_interval=4, test=False)
    run_directory(folder)
    assert [row[0] for row in rows(folder)] == [4, 8]
    assert lines(caplog, "generation 8: the largest number of steps")


# -- lambda_1 and lambda_2 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lambdas", "expected"),
    [({}, 1e-6), ({"lambda_1": 0.0, "lambda_2": 0.0}, 0.0), ({"lambda_1": 0.0}, 0.5e-6), ({"lambda_2": 0.0}, 0.5e-6)],
)
def test_weight_decay_by_default_and_without(lambdas, expected):
    assert weight_decay(NepInput(("B", "N"), **lambdas)) == pytest.approx(expected, rel=1e-14)


def test_weight_decay_of_the_published_dipole_model():
    """0.001 and 0.001, with a default of sqrt(1e-6 * 8605 / 6): 8605 numbers are in the file without the scaling."""
    given = read_nep_in(shared_data("tnep/qm7b/dipole/nep.in"))
    assert weight_decay(given) == pytest.approx(1e-6 * 0.001 / np.sqrt(1e-6 * 8605 / 6), rel=1e-12)


def test_the_penalty_is_minimised(make, caplog):
    """A large penalty pulls all parameters to 0, and loss.out has it as L2; without one they are not pulled."""
    caplog.set_level(logging.INFO)
    sizes = []
    for name, value in (("none", 0.0), ("much", 1e6)):
        folder = make("dipole", name=name, lambda_1=value, lambda_2=value, generation=60, test=False)
        run_directory(folder)
        total, l1, l2, error = rows(folder)[0][1:5]
        assert l1 == 0 and total > l2 and (l2 > 0) == (value > 0)
        sizes.append(float(np.abs(read_nep(folder / "nep.txt").w1).mean()))
        assert lines(caplog, f"lambda_1 {value:g}, lambda_2 {value:g} (GPUMD's default: 0.0108): weight decay ")
    assert sizes[1] < 1e-3 * sizes[0]


# -- output_interval, save_potential -------------------------------------------------------------------------------


def without(folder, keyword):
    text = "".join(line for line in (folder / "nep.in").read_text().splitlines(True) if not line.startswith(keyword))
    (folder / "nep.in").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("interval", "expected"), [(3, [3, 6, 9, 12, 15, 18, 21, 24, 27, 28]), (7, [7, 14, 21, 28]), (None, [20, 28])]
)
def test_rows_at_every_interval(make, caplog, interval, expected):
    """Rows come at every interval, also in L-BFGS (from step 14 on), which does several steps at a time."""
    caplog.set_level(logging.INFO)
    folder = make("dipole", generation=28, output_interval=interval or 5)
    if interval is None:
        without(folder, "output_interval")
    run_directory(folder)
    assert [row[0] for row in rows(folder)] == expected
    assert not lines(caplog, "at the end only")


def test_an_interval_larger_than_the_run(make, caplog):
    caplog.set_level(logging.INFO)
    folder = make("dipole", generation=28, output_interval=1000)
    run_directory(folder)
    assert [row[0] for row in rows(folder)] == [28]
    (line,) = lines(caplog, "output_interval")
    assert line.endswith("output_interval 1000: the run has only 28 steps, so loss.out gets one row, at the end")


@pytest.mark.parametrize(
    ("naming", "pattern"), [(0, "nep_gen{}.txt"), (1, "nep_y20??_m??_d??_h??_m??_s??_generation{}.txt")]
)
def test_copies_of_the_model(make, naming, pattern):
    """Copies are also written between rows of loss.out; L-BFGS stops at exactly these steps."""
    folder = make("dipole", generation=28, output_interval=9, save_potential=(6, naming, 0), test=False)
    run_directory(folder)
    kept = {n: list(folder.glob(pattern.format(n))) for n in (6, 12, 18, 24)}
    assert all(len(paths) == 1 for paths in kept.values()) and len(list(folder.glob("nep_*"))) == 4
    whole = make("dipole", name="other", generation=28, output_interval=6, test=False)
    models = {}
    write = folder_module.append_row

    def append_row(path, text):
        models[int(text.split()[0])] = read_nep(whole / "nep.txt").c_radial
        write(path, text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_module, "append_row", append_row)
        run_directory(whole)
    for n, (path,) in kept.items():
        np.testing.assert_allclose(read_nep(path).c_radial, models[n], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_tables_of_training_are_updated_during_the_run(make, monkeypatch, kind):
    """They are updated with the model and the row of loss.out; those of a potential include the repulsion."""
    changes = {"zbl": 2.0} if kind == "potential" else {}
    folder = make(kind, generation=8, output_interval=4, **changes)
    seen = []

    def stop(path, text):
        if text.startswith("4 "):
            found = [p for p in folder.iterdir() if p.name.endswith("_train.out")]
            seen.append({p.name: np.loadtxt(p) for p in found})
            expected = Folder(folder)
            expected.write_train(read_nep(folder / "nep.txt"))
            seen.append({p.name: np.loadtxt(p) for p in found})
            columns = [float(word) for word in text.split()[4:]]
            name = folder_module.Folder(folder).error_names[0]
            half = np.loadtxt(folder / f"{name}_train.out", ndmin=2)
            prediction, target = np.hsplit(half, 2)
            assert columns[0] == pytest.approx(np.sqrt(((prediction - target) ** 2).mean()), abs=2e-5)

    monkeypatch.setattr(folder_module, "append_row", stop)
    run_directory(folder)
    live, reference = seen
    assert sorted(live) == sorted(reference) and len(live) == (4 if kind == "potential" else 1)
    for name, table in live.items():
        np.testing.assert_allclose(table, reference[name], rtol=1e-4, atol=2e-5)


def test_tables_of_training_do_not_take_more_than_their_share(make, monkeypatch):
    """After an update that took 1 s, the next one comes 50 s later."""
    from tnep_calc.training.gpumd import gradient

    clock, written = [0.0], []

    def write(path, split, tables):
        if split == "train":
            clock[0] += 1.0
            written.append(clock[0])

    monkeypatch.setattr(gradient, "write_parity", write)
    monkeypatch.setattr(gradient.time, "monotonic", lambda: clock[0])
    reports = gradient.Reports(SimpleNamespace(folder=Folder(make("dipole"))))
    for now in (0.0, 10.0, 50.9, 51.1, 60.0, 103.0):
        clock[0] = now
        reports._update_train_files({})
    assert written == [1.0, 52.1, 104.0]


@pytest.mark.parametrize("kind", ["potential", "dipole"])
def test_a_neuron_for_the_constants_of_species(make, caplog, kind):
    folder = make(kind, test=False)
    with caplog.at_level("INFO"):
        run_directory(folder, RunOptions(steps=2))
    more = int(kind == "potential")
    assert read_nep(folder / "nep.txt").neurons == 4 + more
    assert ("nep.txt has 5 neurons: one more than nep.in" in caplog.text) == bool(more)
    folder = make(kind, test=False, name="many", neuron=120)
    if not more:
        run_directory(folder, RunOptions(steps=1))
        return
    with pytest.raises(InputError, match="'neuron' is 120, and nep.txt needs one more.*use 119"):
        run_directory(folder, RunOptions(steps=1))
    assert not (folder / "tnep_checkpoint.pt").exists()


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"import_q_scaler": True}, "'import_q_scaler': the gradient engine scales each descriptor"),
        ({"fine_tune": ("nep.txt", "nep.restart")}, "the run writes its result there"),
        ({"basis_size": (3, 0)}, r"line \d+: 'basis_size': the gradient engine needs at least 1"),
        ({"initial_para": 0.5}, r"line \d+: 'initial_para': 0.5 is for the descriptor scaling of the evolution"),
        ({"sigma0": 0.2}, r"line \d+: 'sigma0': 0.2 is the initial width of the search distribution.*--engine snes"),
        (
            {"save_potential": (5, 0, 1)},
            r"line \d+: 'save_potential': the third value 1 asks for copies of nep.restart",
        ),
    ],
)
def test_unsupported_keywords_are_refused(make, changes, message):
    folder = make("potential", **changes)
    with pytest.raises(InputError, match=message):
        run_directory(folder, RunOptions(steps=2))
    assert sorted(path.name for path in folder.iterdir()) == ["nep.in", "test.xyz", "train.xyz"]


def test_explicit_defaults_are_accepted(make, caplog):
    """calorine's tutorials write them; there is no warning, and population is explained once."""
    caplog.set_level(logging.INFO)
    folder = make("dipole", test=False)
    text = format_nep_in(options("dipole")) + "initial_para 1.0\nsigma0 0.1\nsave_potential 100000 1 0\n"
    (folder / "nep.in").write_text(text)
    run_directory(folder)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    (line,) = lines(caplog, "population")
    assert line.endswith("the gradient engine computes the exact one")


def test_a_folder_of_the_evolution_strategy(make, caplog):
    """One message names the file and both ways to continue."""
    folder = make("dipole", generation=4, test=False)
    run_directory(folder, RunOptions(engine="snes"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError) as error:
        run_directory(folder)
    assert str(error.value) == (
        f"{folder / 'nep.restart'}: GPUMD and --engine snes resume from this search distribution, which the gradient "
        "engine cannot use: use --engine snes to resume, or --restart to start from scratch (the file becomes nep.restart.old)"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "tnep_checkpoint.pt").unlink()  # as GPUMD leaves it
    with pytest.raises(InputError, match="nep.restart: GPUMD and --engine snes resume"):
        run_directory(folder)
    run_directory(folder, RunOptions(restart=True))
    assert (folder / "nep.restart.old").read_bytes() == before["nep.restart"]
    assert (folder / "loss.out.old").read_bytes() == before["loss.out"]
    assert [row[0] for row in rows(folder)] == [2, 4]
