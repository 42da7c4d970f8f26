"""The study of the radnet paper with this package: train radnet, TNEP and the electric enthalpy on the same structures.

    python examples/radnet/run.py [--material gaas] [--shares 1.0] [--seed 1] [--output study]

It can be killed at any time and started again: finished trainings are not repeated, and the others resume.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from study import FAMILIES, MATERIALS, OPTIONAL, SHARES, Material, configuration, folder_of

from tnep_calc.io.structures.extxyz import read_dataset, write_dataset
from tnep_calc.training.radnet.symmetry import crystals, without_formal_polarization

TEST = 0.2
"""Part of the structures that is held back for the test."""


def write_data(material: Material, folder: Path, shares, seed: int = 0) -> dict[float, int]:
    """Write training parts and test structures; return the number of structures of each part.

    Dipoles are relative to that of the symmetric crystal, so all families learn the same numbers.  Parts are the first
    structures of one random order, which `seed` gives, so larger parts contain smaller ones.
    """
    structures = read_dataset(material.file)[1:]
    structures, removed = without_formal_polarization(structures, crystals(structures, 0.1))
    order = np.random.default_rng(seed).permutation(len(structures))
    held = round(TEST * len(order))
    folder.mkdir(parents=True, exist_ok=True)
    write_dataset(folder / "test.extxyz", [structures[k] for k in order[:held]], force=True)
    counts = {share: max(3, round(share * (len(order) - held))) for share in shares}
    for share, count in counts.items():
        chosen = [structures[k] for k in order[held : held + count]]
        write_dataset(folder / f"train{share:g}.extxyz", chosen, force=True)
    print(
        f"{material.name}: {held} test structures, training parts of {', '.join(map(str, counts.values()))}; "
        f"formal polarization removed: {removed}",
        flush=True,
    )
    return counts


def main() -> None:
    """Train all models that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("study"), help="folder for all results (default: study)")
    parser.add_argument("--material", nargs="+", choices=MATERIALS, default=list(MATERIALS))
    parser.add_argument("--family", nargs="+", choices=[*FAMILIES, *OPTIONAL], default=list(FAMILIES))
    parser.add_argument(
        "--shares", nargs="+", type=float, default=list(SHARES), help="parts of the training structures"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the test structures and of the initial parameters (default: 0); results of others than 0 are written "
        "into folders like gaas-seed1",
    )
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed must not be negative, got {options.seed}")
    program = Path(sys.executable).parent / "tnep"
    for name in options.material:
        material, folder = MATERIALS[name], folder_of(options.output.resolve(), name, options.seed)
        counts = write_data(material, folder, options.shares, options.seed)
        for share in sorted(options.shares, reverse=True):
            for family in options.family:
                for kind in (FAMILIES | OPTIONAL)[family]:
                    place = folder / f"{share:g}" / kind
                    if (place / "results.json").exists():
                        continue
                    place.mkdir(parents=True, exist_ok=True)
                    file = place / "train.toml"
                    data = folder / f"train{share:g}.extxyz"
                    file.write_text(configuration(material, kind, data, counts[share], share, options.seed))
                    print(f"{material.name}, {counts[share]} structures, {family}: {kind}", flush=True)
                    start = time.monotonic()
                    if subprocess.run([program, "train", "-q", file], check=False).returncode:
                        sys.exit(f"failed: tnep train {file}")
                    print(f"  {time.monotonic() - start:.0f} s", flush=True)
    print("finished; now: python examples/radnet/summary.py", options.output)


if __name__ == "__main__":
    main()
