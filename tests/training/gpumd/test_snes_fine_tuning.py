"""Fine-tuning by the evolution strategy: some species of a model, with its means, widths and descriptor scaling."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.gpumd_folders import interrupted, options, rows, write_xyz
from helpers.structures import random_structure
from tnep_calc.cli import main
from tnep_calc.errors import TnepError
from tnep_calc.io.gpumd.nep_in import write_nep_in
from tnep_calc.io.gpumd.nep_parameters import ZBL
from tnep_calc.io.gpumd.nep_txt import read_nep, write_nep
from tnep_calc.io.gpumd.training_output import read_restart, write_restart
from tnep_calc.io.gpumd.xyz import GpumdFrame
from tnep_calc.training.gpumd.folder import Folder, RunOptions
from tnep_calc.training.gpumd.keywords import model_config
from tnep_calc.training.gpumd.reference import evaluate
from tnep_calc.training.gpumd.run import run_directory
from tnep_calc.training.gpumd.snes.parameters import ParameterOrder
from tnep_calc.training.gpumd.snes.start import find_start
from tnep_calc.training.gpumd.snes.trainer import SnesTrainer

pytestmark = pytest.mark.slow

SNES = RunOptions(engine="snes")
WHOLE = ("B", "H", "N")
FILES = ("../whole/model.txt", "../whole/model.restart")
CUTOFFS = ((3.1, 3.0), (3.5, 3.2), (3.7, 3.0))
"""Cutoffs of the three species."""


def foundation(folder, kind, zbl=None, seed=1, **changes):
    """Write a model of three species; its parameters are the means of its search distribution."""
    folder.mkdir(exist_ok=True)
    layout = ParameterOrder(model_config(options(kind, species=WHOLE, **changes)))
    generator = torch.Generator().manual_seed(seed)
    mu = 0.5 * torch.randn(layout.n_parameters, generator=generator)
    sigma = 0.01 + 0.05 * torch.rand(layout.n_parameters, generator=generator)
    write_nep(folder / "model.txt", layout.to_nep(mu, torch.linspace(0.5, 1.5, layout.model.dim), (20, 15), zbl))
    write_restart(folder / "model.restart", mu.numpy(), sigma.numpy())
    return folder


def student(folder, kind, descriptor=(), **changes):
    folder.mkdir(exist_ok=True)
    write_nep_in(folder / "nep.in", options(kind, fine_tune=(*FILES, *descriptor), **changes), force=True)
    write_xyz(folder / "train.xyz", range(5))
    return folder


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
@pytest.mark.parametrize("species", [("N", "B"), ("N", "B", "H"), ("N",)])
def test_the_means_predict_the_same_as_the_model(tmp_path, kind, species):
    zbl = ZBL(1.0, 2.0, 0.7) if kind == "potential" else None
    whole = foundation(tmp_path / "whole", kind, zbl, cutoff=CUTOFFS)
    folder = student(tmp_path / "run", kind)
    cutoff = tuple(CUTOFFS[WHOLE.index(symbol)] for symbol in species)
    given = options(kind, species=species, cutoff=cutoff, fine_tune=FILES, l_max=(3, 2, 0, 0, 0, 0, 0))
    given = replace(given, zbl=2.0, use_typewise_cutoff_zbl=0.7) if zbl else given
    write_nep_in(folder / "nep.in", given, force=True)
    symbols = {1: "NNN", 2: "BNNB", 3: "BNHN"}[len(species)]
    frames = [GpumdFrame(random_structure(seed, symbols)) for seed in range(3)]
    text = (folder / "train.xyz").read_text()
    (folder / "train.xyz").write_text(text.replace("\nB", "\nN") if len(species) == 1 else text)
    read, start = Folder(folder), find_start(Folder(folder))
    trainer = SnesTrainer(read.options, read.train, start.distribution, start.q_scaler)
    tuned = trainer.layout.to_nep(trainer.snes.mu, torch.tensor(start.q_scaler), (20, 15), read.zbl)
    ours, theirs = evaluate(tuned, frames), evaluate(read_nep(whole / "model.txt"), frames)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=2e-6 * np.abs(values).max(), err_msg=name)
    assert tuned.species == species and set(ours) == set(theirs)
    pairs = dict(np.loadtxt(whole / "model.restart"))  # widths are selected with their means
    np.testing.assert_array_equal(start.distribution[1], [pairs[m] for m in start.distribution[0]])


@pytest.mark.parametrize("kind", ["potential", "dipole", "polarizability"])
def test_the_distribution_equals_that_of_calorine(tmp_path, kind):
    calorine = pytest.importorskip("calorine.nep")
    whole, folder = foundation(tmp_path / "whole", kind), student(tmp_path / "run", kind, species=("B", "N"))
    model = calorine.read_model(str(whole / "model.txt"))
    model.read_restart(str(whole / "model.restart"))
    model.keep_species(["B", "N"]).write_restart(str(tmp_path / "theirs"))
    np.testing.assert_array_equal(find_start(Folder(folder)).distribution, np.loadtxt(tmp_path / "theirs").T)


@pytest.fixture
def trained(tmp_path):
    """Return the folder of a finished run with three species, from which the other folders start."""
    folder = tmp_path / "whole"
    folder.mkdir()
    write_nep_in(folder / "nep.in", options("dipole", species=WHOLE))
    write_xyz(folder / "train.xyz", range(5))
    run_directory(folder, SNES)
    for name in ("nep.txt", "nep.restart"):
        (folder / name).rename(folder / name.replace("nep", "model"))
    return folder


@pytest.mark.parametrize("descriptor", [(), ("1",), ("0",)])
def test_frozen_coefficients_do_not_change(tmp_path, trained, descriptor, caplog):
    folder = student(tmp_path / "run", "dipole", descriptor)
    with caplog.at_level("INFO"):
        run_directory(folder, SNES)
    start = find_start(Folder(folder), restart=True)
    mu, sigma = read_restart(folder / "nep.restart", len(start.distribution[0]))
    layout = ParameterOrder(model_config(options("dipole")))
    same = mu == start.distribution[0]
    networks = slice(layout.n_networks)
    assert not same[networks].any() and (sigma[networks] > 0).all()
    coefficients = slice(layout.n_networks, None)
    fixed = descriptor == ("0",)
    assert same[coefficients].all() == (sigma[coefficients] == 0).all() == fixed
    nep, given = read_nep(folder / "nep.txt"), read_nep(trained / "model.txt")
    kept = layout.to_nep(torch.tensor(mu), torch.tensor(nep.q_scaler), (1, 1))
    assert np.array_equal(nep.c_angular, kept.c_angular) == np.array_equal(nep.c_radial, kept.c_radial) == fixed
    np.testing.assert_array_equal(nep.q_scaler, given.q_scaler)
    n = layout.n_parameters - layout.n_networks
    assert (f"{n} of {layout.n_parameters} parameters have the width 0 and keep" in caplog.text) == fixed
    (folder / "tnep_checkpoint.pt").unlink()  # a file with some widths of 0 can also be a start
    write_nep_in(folder / "nep.in", options("dipole", import_q_scaler=True, generation=3), force=True)
    run_directory(folder, SNES)
    later = read_restart(folder / "nep.restart", layout.n_parameters)[0]
    assert np.array_equal(later[coefficients], mu[coefficients]) == fixed


@pytest.mark.parametrize("descriptor", ["0", "1"])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, trained, descriptor):
    folders = [student(tmp_path / name, "dipole", (descriptor,)) for name in ("one", "two")]
    run_directory(folders[0], SNES)
    interrupted(folders[1], 2)
    for name in ("model.txt", "model.restart"):
        (trained / name).unlink()  # the checkpoint is complete
    run_directory(folders[1], SNES)
    for name in ("nep.txt", "nep.restart", "loss.out", "dipole_train.out"):
        assert (folders[0] / name).read_text() == (folders[1] / name).read_text(), name


def test_a_few_generations_lower_the_loss(tmp_path):
    """Labels come from a model close to the first one; the run begins with the errors of the first one."""
    whole = foundation(tmp_path / "whole", "dipole")
    folder = student(
        tmp_path / "run", "dipole", lambda_1=0.0, lambda_2=0.0, population=20, batch=5, output_interval=1, generation=40
    )
    near, frames = read_nep(whole / "model.txt"), Folder(folder).train
    near = replace(near, w1=near.w1 * 1.3, w0=near.w0 * 0.9)
    targets, first = (evaluate(p, frames)["dipole"] for p in (near, read_nep(whole / "model.txt")))
    text = (folder / "train.xyz").read_text()
    for frame, target in zip(frames, targets, strict=True):
        old = " ".join(f"{x:.8f}" for x in frame.structure.dipole)
        text = text.replace(f'dipole="{old}"', 'dipole="' + " ".join(f"{x:.8f}" for x in target) + '"')
    (folder / "train.xyz").write_text(text)
    counts = np.array([len(frame) for frame in frames])[:, None]
    before = float(np.sqrt((((first - targets) / counts) ** 2).mean()))
    run_directory(folder, SNES)
    errors = [row[4] for row in rows(folder)]
    assert errors[1] < 1.3 * before and errors[-1] < 0.5 * before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_max": (3, 2)}, "nep.in: fine_tune keeps the architecture of .*model.txt: 'n_max' must be 2 2, found 3 2$"),
        ({"basis_size": (4, 3), "neuron": 5}, "'basis_size' must be 3 3, found 4 3; 'neuron' must be 4, found 5$"),
        ({"l_max": (3, 0, 0, 0, 0, 0, 0)}, "'l_max' must be 3 1 0 0 0 0 0, found 3 0 0 0 0 0 0$"),
        ({"cutoff": ((3.7, 3.1),)}, "'cutoff' must be 3.7 3 3.7 3, found 3.7 3.1 3.7 3.1$"),
        ({"zbl": 2.0}, r"'zbl' must be absent, found 2 \(from 1\)$"),
        ({"species": ("N", "B", "C")}, "whole/model.txt has no C .it has B H N.: fine_tune needs species that the"),
        ({"import_q_scaler": True}, "takes the descriptor scaling of .*model.txt; remove 'import_q_scaler'"),
        (
            {"model_type": 1, "lambda_e": 0.0, "lambda_f": 0.0},
            r"'model_type' must be 0 \(potential\), found 1 \(dipole\)$",
        ),
    ],
)
def test_unsuitable_structures_and_settings_are_refused(tmp_path, changes, message):
    foundation(tmp_path / "whole", "potential")
    folder = student(tmp_path / "run", "potential")
    write_nep_in(folder / "nep.in", replace(options("potential", fine_tune=FILES), **changes), force=True)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(TnepError, match=message):
        run_directory(folder, SNES)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_unsuitable_files_are_refused(tmp_path, capsys):
    whole, folder = foundation(tmp_path / "whole", "potential"), student(tmp_path / "run", "potential")

    def refused(run=SNES):
        with pytest.raises(TnepError) as caught:
            run_directory(folder, run)
        return str(caught.value)

    text = (whole / "model.restart").read_text()
    (whole / "model.restart").write_text(text[: len(text) - 32])
    n = text.count("\n")
    assert f"model.txt needs {n} rows of mean and width, found an array of shape ({n - 1}, 2)" in refused()
    (whole / "model.restart").write_text("".join(f"{m} 0\n" for m in range(n)))
    assert "model.restart: the width of every parameter is 0" in refused()
    (whole / "model.restart").unlink()
    assert "model.restart: no such file" in refused()
    (whole / "model.restart").write_text(text)
    nep = read_nep(whole / "model.txt")
    write_nep(whole / "model.txt", replace(nep, version=5, species_bias=np.zeros((1, 3))))
    assert "model.txt: expected a model of version 4, like its nep.restart, found nep5" in refused()
    write_nep(whole / "model.txt", nep)
    (folder / "nep.restart").write_text(text)
    assert "nep.restart exists, but fine_tune of nep.in starts from" in refused()
    assert "--start model.txt: only with the gradient engine" in refused(replace(SNES, start="model.txt"))
    assert main(["train", str(folder), "--engine", "snes", "--start", str(whole / "model.txt")]) == 1
    assert (
        "--start are for --engine gradient: use 'generation', and 'fine_tune' with a nep.txt" in capsys.readouterr().err
    )
    for name in ("nep.restart", "nep.restart.old"):
        write_nep_in(folder / "nep.in", options("potential", fine_tune=("model.txt", f"./{name}")), force=True)
        assert f"{name}: the run writes its result there" in refused(replace(SNES, restart=True))
    student(folder, "potential", generation=2)
    assert run_directory(folder, replace(SNES, restart=True))
    assert (folder / "nep.restart.old").read_text() == text


def test_unused_keywords_are_named(tmp_path, caplog):
    foundation(tmp_path / "whole", "dipole")
    folder = student(tmp_path / "run", "dipole", species=("N", "B", "H"), sigma0=0.2, initial_para=0.5, generation=2)
    run_directory(folder, SNES)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    (line,) = [w for w in warnings if "without effect" in w]
    assert "sigma0 (widths are those of " in line and "initial_para (the descriptor scaling is given)" in line
    assert any("no structure of train.xyz has H: regularisation alone changes the parameters" in w for w in warnings)
