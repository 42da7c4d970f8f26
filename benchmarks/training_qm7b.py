"""QM7B: learning curves of dipole and polarizability with a fifth of GPUMD's training data, and the figure."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from cases import one_thread, record
from matplotlib.ticker import LogLocator
from training_common import HYPER, MOLECULES, QM7B, SPECIES, TRAIN, qm7b, rmse, splits, train

from tnep_calc.conventions import GPUMD_ORDER
from tnep_calc.plotting.style import BLUE, GREY, ORANGE, save_figure, styled

QUOTED = {"dipole": 0.00199, "polarizability": 0.0430}
"""GPUMD's errors on all 1,443 molecules, trained on 5,768 others (README of the data)."""
UNIT = {"dipole": "e bohr/atom", "polarizability": "bohr^3/atom"}
STEPS = {0.25: 800, 0.5: 1600, 1.0: 2500}
"""Steps of one model, by the fraction of the molecules that it is trained on."""
MODELS, STEPS_OF_MODELS = 8, 2000
"""Number of models whose mean gives the best result, and their steps."""


def gpumd_error(kind, test):
    """Return GPUMD's error on some molecules from its own predictions, which are per atom."""
    n = {"dipole": 3, "polarizability": 6}[kind]
    table = np.loadtxt(QM7B / kind / f"{kind}_test.out.gz")[test]
    return rmse(table[:, :n] - table[:, n:])


def check_labels(kind, structures, test):
    """Make sure that GPUMD's table and the structures are in the same order: its targets are ours."""
    n = {"dipole": 3, "polarizability": 6}[kind]
    targets = np.loadtxt(QM7B / kind / f"{kind}_test.out.gz")[test, n:]
    ours = [getattr(structures[k], kind) / len(structures[k]) for k in test]
    if kind == "polarizability":
        ours = [[a[c] for c in GPUMD_ORDER] for a in ours]
    if np.abs(targets - np.array(ours)).max() > 1e-4 * np.abs(targets).max():
        raise SystemExit(f"QM7B {kind}: the rows of GPUMD's table are not those of test.xyz")


def run_kind(kind, quick):
    """Return the results of one kind: rows of the table, as (fraction, model, single, mean, CPU seconds)."""
    one_thread()
    structures, indices = qm7b(kind)
    check_labels(kind, structures, indices["test"])
    order = np.random.default_rng(1).permutation(indices["train"])
    model, loss = {"kind": kind, "species": list(SPECIES)} | HYPER, {"weight_decay": 1e-6}
    rows = []
    for fraction, steps in STEPS.items():
        some = splits(order[: round(fraction * TRAIN)], indices["test"])
        run = train(structures, some, model, loss, MOLECULES, steps=steps // (20 if quick else 1))
        rows.append((fraction, "same hyper-parameters", *run.rmse(kind), run.preparation + run.seconds))
    steps = STEPS_OF_MODELS // (20 if quick else 1)
    run = train(structures, indices, model, loss, MOLECULES, steps=steps, models=MODELS)
    rows.append((1.0, f"mean of {MODELS}", *run.rmse(kind), run.preparation + run.seconds))
    return rows, gpumd_error(kind, indices["test"])


def run(quick: bool, figure: Path | None) -> list[dict]:
    """Run both kinds, one process each; print the table; return the records."""
    records, results = [], {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = {kind: pool.submit(run_kind, kind, quick) for kind in QUOTED}
        results = {kind: future.result() for kind, future in futures.items()}
    for kind, (rows, gpumd) in results.items():
        test = len(qm7b(kind)[1]["test"])
        print(
            f"QM7B {kind}, RMSE on {test} molecules in {UNIT[kind]}; GPUMD (5,768 molecules) has {gpumd:.5f} on "
            f"these and {QUOTED[kind]:.5f} on all 1,443"
        )
        for fraction, name, single, mean, seconds in rows:
            print(
                f"  {round(fraction * TRAIN):5d} molecules, {name:<22} {mean:.5f} (one model: {single:.5f}), "
                f"GPUMD/ours {gpumd / mean:.2f}, {seconds:.0f} CPU s"
            )
            records.append(
                record(
                    f"QM7B {kind}, {round(fraction * TRAIN)} molecules, {name}",
                    f"test RMSE {kind}",
                    "GPUMD, 5,768 molecules, same test set",
                    mean,
                    gpumd,
                    UNIT[kind],
                )
            )
    if figure is not None:
        save_figure(plot(results), figure, force=True)
    return records


def plot(results):
    """Return the figure of the learning curves."""
    with styled():
        fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.8))
        for ax, (kind, (rows, gpumd)) in zip(axes, results.items(), strict=True):
            single = [(f * TRAIN, error) for f, name, error, _, _ in rows if name.startswith("same")]
            ax.loglog(*zip(*single, strict=True), "o-", color=BLUE, label="one model")
            ax.loglog(rows[-1][0] * TRAIN, rows[-1][3], "s", color=ORANGE, label=rows[-1][1])
            ax.loglog(5768, gpumd, "D", color=GREY, label="GPUMD")
            ax.set(xlabel="training molecules", ylabel=f"test RMSE ({UNIT[kind]})", title=kind)
            ticks = [*(n for n, _ in single), 5768]
            ax.set_xticks(ticks, [f"{n:.0f}" for n in ticks])
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 4)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.minorticks_off()
            ax.legend()
    return fig
