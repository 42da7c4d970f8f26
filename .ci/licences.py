"""Check the licence headers: sources of the LAMMPS plugin are GPL-2.0-or-later and say so, no other file does.

``python .ci/licences.py`` ends with exit status 1 and one line per wrong file.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADER = "SPDX-License-Identifier: GPL-2.0-or-later"
SOURCES = {".cpp", ".h", ".cu", ".py", ".inc"}
FOLDERS = ("tnep_calc", "training", "lammps_plugin/src", "benchmarks", "examples", "docs", "tests")


def wrong_files(root: Path = ROOT) -> list[str]:
    """Return one line for each source file with a wrong header."""
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in SOURCES or "__pycache__" in path.parts:
                continue
            lines = path.read_text(errors="replace").splitlines()[:3]
            says, must = any(HEADER in line for line in lines), folder == "lammps_plugin/src"
            if says != must:
                found.append(f"{path.relative_to(root)}: {'lacks' if must else 'must not have'} '{HEADER}'")
    return found


if __name__ == "__main__":
    problems = wrong_files()
    print("\n".join(problems), end="\n" * bool(problems))
    sys.exit(bool(problems))
