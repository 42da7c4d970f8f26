"""Writers on a full disk, in a folder that cannot be written to, and killed: one line, and the old file or none."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from helpers.random_nep import random_nep
from tnep_calc import write_nep
from tnep_calc.cli import main
from tnep_calc.io.files import atomic_output
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, write_timeseries

pytestmark = pytest.mark.slow

LIMIT = 3000  # bytes; larger files cannot be written, as on a full disk
COMMANDS = {
    "data": ("data out.extxyz md.extxyz --force", "out.extxyz"),
    "data report": ("data --report out.html md.extxyz --force", "out.html"),
    "export": ("export d0.txt out.pt --force", "out.pt"),
    "predict": ("predict md.extxyz --dipole d0.txt -o out.xyz --force", "out.xyz"),
    "ir": ("ir run.h5 -o out.txt --force", "out.txt"),
    "ir json": ("ir run.h5 -o out.json --force", "out.json"),
    "figure": ("predict md.extxyz --dipole d0.txt --plot out.png --force", "out.png"),
    "ir hdf5": ("ir run.h5 -o out.h5 --force", "out.h5"),
    "series": ("series md.extxyz -o out2.h5 --interval 1 --dipole-model d0.txt --force", "out2.h5"),
}
RUN = """
import contextlib, io, json, os, resource, sys
from tnep_calc.cli import main
from tnep_calc.io.files import atomic_output
found = {}
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for name, (command, target) in json.loads(sys.argv[1]).items():
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(command.split())
        except BaseException as error:
            status = repr(error)
    left = sorted(os.listdir("."))
    found[name] = status, errors.getvalue(), open(target).read(), left
    print(json.dumps({name: found[name]}), flush=True)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_nep("d0.txt", random_nep("dipole"))
    rng = np.random.default_rng(0)
    frames = [
        Atoms("B8N8", rng.uniform(0, 8, size=(16, 3)), cell=[8, 8, 8], pbc=True, info={"dipole": [0.1, 0, 0]})
        for _ in range(40)
    ]
    write("md.extxyz", frames)
    values = rng.normal(size=(4000, 3))
    write_timeseries(
        "run.h5", TimeSeries(dipole=Sampled(values, 1.0), temperature=300.0, volume=512.0, cell=np.eye(3) * 8)
    )
    for _, target in COMMANDS.values():
        (tmp_path / target).write_text("old")
    return tmp_path


def test_a_full_disk_leaves_the_old_file_and_one_line(folder):
    before = sorted(os.listdir("."))
    command = [sys.executable, "-c", RUN, json.dumps(COMMANDS), str(LIMIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {name: value for line in lines for name, value in line.items()}
    assert done.returncode == 0 and set(found) == set(COMMANDS), done.stderr[-2000:]
    for name, (status, errors, content, left) in found.items():
        assert status == 1, f"{name}: {status} {errors[-300:]}"
        last = errors.strip().splitlines()[-1]
        assert last.startswith(f"tnep {COMMANDS[name][0].split()[0]}: error: "), f"{name}: {errors[-300:]}"
        assert content == "old", f"{name}: {content[:40]!r}"
        more = [path for path in left if path not in before and not path.endswith(".parts")]  # parts to resume from
        assert not more, f"{name}: {more}"


@pytest.mark.parametrize("name", ["data", "export", "ir hdf5"])
def test_a_folder_that_cannot_be_written_to(name, folder, capsys):
    command, target = COMMANDS[name]
    assert main(command.replace(target, f"/proc/{target}").split()) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tnep ") and "/proc" in line


def test_a_killed_writer_leaves_the_old_file(folder):
    """The file is the old one or the new one, never a part; what the killed process left is removed later."""
    script = """
from tnep_calc.io.files import atomic_output
with atomic_output("out.extxyz", force=True) as temporary, open(temporary, "w") as stream:
    for k in range(10 ** 9):
        print(k, file=stream, flush=True)
        if k == 100:
            print("writing", flush=True)
"""

    def temporary():
        return [name for name in os.listdir(".") if name.startswith(".out.tnep-") and name.endswith(".extxyz")]

    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "writing\n"
    with atomic_output("out.extxyz", force=True) as path:
        path.write_text("other")
    assert len(temporary()) == 1  # of the process that is still writing
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert open("out.extxyz").read() == "other" and len(temporary()) == 1
    with atomic_output("out.extxyz", force=True) as path:
        path.write_text("new")
    assert open("out.extxyz").read() == "new" and not temporary()


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("ü" * 120 + ".txt")
    with atomic_output(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
