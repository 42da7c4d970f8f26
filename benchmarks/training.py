"""Training: accuracy compared with published models, time to the same error of other programs, share of the peak.

Run ``python benchmarks/training.py [--parts PART ...] [--json FILE] [--figure FILE] [--quick]``.  Parts that compare
with published results need their data and are left out without them; parts that measure times use molecules of the same
size instead.  The part ``neppo`` needs that program (``pip install neppo``).  Every process has
one thread, and times are process CPU times.  Parts, with their CPU time on the machine of the README:

qm7b        learning curves of QM7B dipole and polarizability with up to 1,154 molecules (two processes of {qm7b})
neppo       time to the test errors of neppo 1.0 at points of its curve ({neppo})
snes        time to the test errors of the evolution strategy ({snes})
water       atomic targets, compared with GPUMD's own models of the same data ({water})
enthalpy    SiO2 and BaTiO3, compared with the published allegro-pol models ({enthalpy})
ensemble    five members of bagging, trained together and one after the other ({ensemble})
throughput  an epoch as a share of the dense-product peak and of the memory bandwidth ({throughput})

``--quick`` only shows that everything runs: a twentieth of the steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cases import one_thread, write_records
from stand_ins import PUBLISHED

TIMES = {
    "qm7b": "6 min",
    "neppo": "2 min",
    "snes": "2 min",
    "water": "2 min",
    "enthalpy": "3 min",
    "ensemble": "3 min",
    "throughput": "1 min",
}


NEEDS = {
    "qm7b": "tnep/qm7b",
    "water": "tnep/atomic_dipole_water",
    "snes": "tnep/qm7b",
    "enthalpy": "enthalpy",
}
"""Published data that a part compares with; the other parts measure times, for which replacements suffice."""


def run_part(name: str, quick: bool, figure: Path | None) -> list[dict]:
    """Run one part and return its records."""
    import training_ensemble
    import training_peers
    import training_qm7b
    import training_sets
    import training_throughput

    if name == "qm7b":
        return training_qm7b.run(quick, figure)
    parts = {
        "neppo": training_peers.against_neppo,
        "snes": training_peers.against_snes,
        "water": training_sets.water,
        "enthalpy": training_sets.enthalpy,
        "ensemble": training_ensemble.ensemble,
        "throughput": training_throughput.throughput,
    }
    return parts[name](quick)


def main():
    one_thread()
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(**TIMES), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=list(TIMES), default=list(TIMES))
    parser.add_argument("--json", type=Path, help="write the records to this file")
    parser.add_argument("--figure", type=Path, help="write the learning curves of QM7B to this file")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the steps")
    args = parser.parse_args()
    records: list[dict] = []
    for name in args.parts:
        if name in NEEDS and not (PUBLISHED.parent / NEEDS[name]).exists():
            print(f"--- {name}: left out, as the published data that it compares with are absent ({NEEDS[name]})")
            continue
        print(f"--- {name}: about {TIMES[name]} of CPU time", flush=True)
        records += run_part(name, args.quick, args.figure)
        if args.json:
            write_records(args.json, records)


if __name__ == "__main__":
    main()
