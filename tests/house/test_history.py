"""The history of benchmarks: what ``benchmarks/history.py`` writes, the page of the site shows."""

import importlib.util
import json
import subprocess
import sys

import pytest

from helpers.paths import ROOT


def page():
    pytest.importorskip("sphinx")
    specification = importlib.util.spec_from_file_location("site_history", ROOT / "docs" / "_ext" / "history.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def add(folder, records, name="spectra"):
    file = folder / f"{name}.json"
    file.write_text(json.dumps(records))
    command = [sys.executable, ROOT / "benchmarks" / "history.py", file, "python benchmarks/spectra.py"]
    return subprocess.run([*command, "--folder", folder / "history"], capture_output=True, text=True)


def test_records_reach_the_page(tmp_path):
    assert add(tmp_path, [{"case": "ours", "samples": 1000, "cpu_seconds": 4.5}]).returncode == 0
    history = page()
    entries = history.entries(tmp_path / "history")
    assert list(entries) == ["spectra"]
    (entry,) = entries["spectra"]
    assert entry["command"] == "python benchmarks/spectra.py" and "cores" in entry["machine"] and entry["versions"]
    assert history.rows(entry) == [["ours, 1,000 samples", "cpu seconds 4.5"]]


def test_other_files_are_refused(tmp_path):
    done = add(tmp_path, {"seconds": 1})
    assert done.returncode == 2 and "expected a list of records" in done.stderr
    assert not (tmp_path / "history").exists()


def test_stored_entries_are_complete():
    found = page().entries()
    assert found, "benchmarks/history has no entry"
    assert len(page().sections()) == len(found)
    for name, dated in found.items():
        assert (ROOT / "benchmarks" / f"{name}.py").exists()
        for entry in dated:
            assert {"date", "machine", "command", "versions", "records"} <= set(entry)
