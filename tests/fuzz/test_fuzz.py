"""Every reader, on damaged files, returns a result or an error of one line within seconds.

``TNEP_MUTATIONS=1000 pytest tests/fuzz`` tries more files per format than the 50 of a normal run.
"""

import json
import lzma
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from fuzz.attempts import COUNT, attempt, attempt_mutations, sample_of_ase
from fuzz.mutations import mutations

from helpers.archives import HOSTILE, member, with_member, write_hostile, write_setstate
from helpers.paths import DATA
from helpers.random_nep import random_nep
from helpers.toy_models import write_toy
from tnep_calc.artifact import METADATA_FILE, load_artifact, read_metadata
from tnep_calc.errors import DataFileError, ModelFileError
from tnep_calc.io.gpumd.nep_in import read_nep_in
from tnep_calc.io.gpumd.nep_txt import format_nep, read_nep
from tnep_calc.io.series.collect import collect_series
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries
from tnep_calc.io.structures.read import read_structures
from tnep_calc.training.common.checkpoint import load_checkpoint, save_checkpoint
from tnep_calc.training.common.parity import save_panels
from tnep_calc.training.nep.config import load_config
from tnep_calc.training.results.report import read_run

pytestmark = pytest.mark.slow

XYZ = b"""2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 dipole="0.1 0.2 0.3" pbc="T T T"
B 0.0 0.0 0.0 0.1 0.2 0.3
N 1.4 0.1 0.2 -0.1 -0.2 -0.3
"""
CONFIG = b"""[data]
files = ["train.xyz"]
[model]
kind = "dipole"
species = ["B", "N"]
radial_cutoff = 5.0
angular_cutoff = 4.0
n_max = [4, 4]
neurons = 10
[optimizer]
steps = 100
[output]
directory = "out"
"""
NEP_IN = b"type 2 B N\nversion 4\nmodel_type 1\ncutoff 5 4\nn_max 4 4\nl_max 4 2 0\nneuron 10\ngeneration 10\n"
AVE_TIME = b"# Time-averaged data for fix d\n# TimeStep c_dip[1] c_dip[2] c_dip[3]\n" + b"".join(
    b"%d 0.1 %d.5 -0.3\n" % (2 * k, k) for k in range(20)
)
DIPOLE = b"".join(b"%d 0.1 %d.5 -0.3\n" % (10 * k, k) for k in range(20))
TENSOR = b"".join(b"%d 1.5 %d.5 2.5 0.1 0.2 0.3\n" % (10 * k, k) for k in range(20))


def series(path):
    return collect_series(
        [path], timestep=0.5, cell=4 * np.eye(3), units={"dipole": "e*A", "polarizability": "e*A^2/V"}
    )


def structures(path):
    return read_structures([path])


def abinit(name):
    return lzma.decompress((DATA / "abinit" / name).read_bytes())


def small_series(folder):
    path = folder / "made.h5"
    values = np.arange(60.0).reshape(20, 3)
    write_timeseries(path, TimeSeries(dipole=Sampled(values, 0.5), temperature=300.0, cell=4 * np.eye(3)))
    return path.read_bytes()


def database(folder):
    from ase import Atoms
    from ase.db import connect

    atoms = Atoms("BN", [[0, 0, 0], [1.4, 0, 0]], cell=[4, 4, 4], pbc=True)
    connect(folder / "made.json").write(atoms, data={"dipole": [0.1, 0.2, 0.3]})
    return (folder / "made.json").read_bytes()


def checkpoint(folder):
    save_checkpoint(folder / "made.pt", {"fingerprint": {"data": "x"}, "step": 3, "parameters": torch.zeros(20)})
    return (folder / "made.pt").read_bytes()


READERS = {
    "extxyz": ("a.xyz", lambda _: XYZ, structures),
    "nep-txt": ("nep.txt", lambda _: format_nep(random_nep()).encode(), read_nep),
    "nep-in": ("nep.in", lambda _: NEP_IN, read_nep_in),
    "ave-time": ("d.dat", lambda _: AVE_TIME, series),
    "dipole-out": ("dipole.out", lambda _: DIPOLE, series),
    "polarizability-out": ("polarizability.out", lambda _: TENSOR, series),
    "hdf5": ("a.h5", small_series, read_timeseries),
    "ase-db": ("a.json", database, structures),
    "outcar": ("OUTCAR", lambda _: sample_of_ase("vasp", "OUTCAR_example_1"), structures),
    "abinit-output": ("bn.abo", lambda _: abinit("bn.abo.xz"), structures),
    "abinit-ddb": ("bn_DDB", lambda _: abinit("bn_DS3_DDB.xz"), structures),
    "abinit-gsr": ("bn_GSR.nc", lambda _: abinit("bn_DS1_GSR.nc.xz"), structures),
    "toml": ("train.toml", lambda _: CONFIG, load_config),
    "checkpoint": ("checkpoint.pt", checkpoint, load_checkpoint),
    "artifact": ("model.pt", lambda folder: Path(write_toy(folder / "made.pt")).read_bytes(), load_artifact),
}
COSTLY = {
    "outcar": 5,
    "abinit-output": 3,
    "abinit-ddb": 3,
    "abinit-gsr": 2,
}  # the number of files is divided by this for large samples


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_a_result_or_one_line(kind, tmp_path):
    name, make, read = READERS[kind]
    attempt_mutations(kind, make(tmp_path), read, tmp_path / name, max(5, COUNT // COSTLY.get(kind, 1)))


def test_damaged_metadata_of_a_model(tmp_path):
    source = write_toy(tmp_path / "made.pt")
    for k, damaged in enumerate(mutations(member(source, METADATA_FILE), COUNT)):
        with_member(source, tmp_path / "model.pt", METADATA_FILE, damaged)
        attempt(read_metadata, tmp_path / "model.pt", f"metadata, mutation {k}")


@pytest.mark.parametrize(
    "change",
    [
        {"species": 3},
        {"species": [1, 2]},
        {"cutoff": "5"},
        {"cutoff": float("nan")},
        {"cutoff": 1e30},
        {"units": []},
        {"format": float("inf")},
        {"quantities": "energy"},
        {"units": {"length": 1}},
    ],
)
def test_metadata_of_another_type_are_refused(change, tmp_path):
    source = write_toy(tmp_path / "made.pt")
    content = json.loads(member(source, METADATA_FILE))
    with_member(source, tmp_path / "model.pt", METADATA_FILE, json.dumps({**content, **change}))
    with pytest.raises(ModelFileError, match=METADATA_FILE):
        read_metadata(tmp_path / "model.pt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["results.json", "log.csv", "parity.npz"])
def test_damaged_reports(name, tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"kind": "dipole", "steps": 3, "splits": {"train": [0, 1]}}))
    (tmp_path / "log.csv").write_text("step,loss_train,loss_validation\n0,1.5,2.5\n1,1.0,2.0\n2,0.5,1.5\n")
    rows = np.arange(6.0).reshape(2, 3)
    save_panels(
        tmp_path, [{"name": "dipole", "unit": "e*A", "splits": {"train": {"target": rows, "prediction": rows}}}]
    )
    read_run(tmp_path)
    data = (tmp_path / name).read_bytes()
    for k, damaged in enumerate(mutations(data, COUNT)):
        (tmp_path / name).write_bytes(damaged)
        attempt(read_run, tmp_path, f"{name}, mutation {k}")


@pytest.mark.parametrize("chunks", [None, (1000, 3)])
def test_a_series_of_more_rows_than_its_file_holds_is_refused(chunks, tmp_path):
    (tmp_path / "a.h5").write_bytes(small_series(tmp_path))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        attributes = dict(file["dipole"].attrs)
        del file["dipole"]
        file.create_dataset("dipole", shape=(10**9, 3), dtype="f8", chunks=chunks).attrs.update(attributes)
    with pytest.raises(DataFileError, match="more than a file of"):
        read_timeseries(tmp_path / "a.h5")


@pytest.mark.parametrize("what", HOSTILE)
def test_code_that_does_more_than_calculate_is_refused(what, tmp_path):
    write_hostile(tmp_path / "model.pt", what)
    with pytest.raises(ModelFileError, match="which no model of tnep_calc has"):
        read_metadata(tmp_path / "model.pt")


def test_a_setstate_does_not_run(tmp_path):
    target, path = tmp_path / "written", tmp_path / "model.pt"
    write_setstate(path, target)
    with pytest.raises(ModelFileError, match="__[gs]etstate__|from_file"):
        load_artifact(path)
    assert not target.exists()
    torch.jit.load(str(path))  # the check must prevent this
    assert target.exists()


def test_an_output_is_not_the_series_that_is_read(tmp_path, capsys):
    from tnep_calc.cli import main

    path = tmp_path / "made.h5"
    before = small_series(tmp_path)
    assert main(["ir", str(path), "-o", str(path), "--force"])
    assert "is a file that is read" in capsys.readouterr().err
    assert path.read_bytes() == before
