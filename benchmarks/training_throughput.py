"""A training epoch as a share of the dense-product peak and of the memory bandwidth, measured in the same run."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from cases import cpu_seconds, record
from training_common import HYPER, MOLECULES, SPECIES, qm7b, train

from tnep_calc.training.nep import native


def peak(size=1024):
    """Return 10^9 operations per second of one thread: the fastest float32 matrix product (two per multiply-add)."""
    a = torch.rand(size, size)
    return 2 * size**3 / cpu_seconds(lambda: a @ a, 8) / 1e9


def bandwidth(count=30_000_000):
    """Return GB/s of one thread: ``z = x + 2 y`` on arrays larger than any cache (STREAM's triad, three transfers)."""
    x, y, z = (torch.rand(count) for _ in range(3))
    return 3 * 4 * count / cpu_seconds(lambda: torch.add(x, y, alpha=2.0, out=z), 5) / 1e9


def epoch(structures, indices, kind, models, epochs):
    """Return the CPU seconds of the fastest epoch, and the cost of an epoch."""
    model = {"kind": kind, "species": list(SPECIES)} | HYPER
    batches = -(-len(indices["train"]) // MOLECULES["batch"])
    run = train(
        structures,
        indices,
        model,
        {"weight_decay": 1e-3},
        MOLECULES,
        steps=epochs * batches,
        models=models,
        interval=batches,
    )
    return float(np.diff([0.0, *(seconds for _, seconds, _ in run.curve)]).min()), run.trainer.speed()


def throughput(quick: bool) -> list[dict]:
    """Measure the fastest epoch (steps over all QM7B training molecules) of one model and of four trained together."""
    gflops, gbs = peak(), bandwidth()
    print(f"one thread: matrix product {gflops:.0f} GFlop/s (float32), triad {gbs:.1f} GB/s")
    records = []
    for kind in ("dipole", "polarizability"):
        structures, indices = qm7b(kind)
        for models in (1, 4):
            seconds, cost = epoch(structures, indices, kind, models, 2 if quick else 4)
            with mock.patch.object(native, "available", lambda moments: False):
                plain, _ = epoch(structures, indices, kind, models, 2)
            rates = cost["gigaflops"] / seconds, cost["gigabytes"] / seconds
            print(
                f"QM7B {kind}, {models} model(s), epoch: {seconds:.2f} CPU s (plain torch {plain:.2f}), counted "
                f"{cost['gigaflops']:.2f} GFlop and {cost['gigabytes']:.2f} GB: {rates[0]:.1f} GFlop/s "
                f"({100 * rates[0] / gflops:.0f} %), {rates[1]:.1f} GB/s ({100 * rates[1] / gbs:.0f} %)"
            )
            case = f"QM7B {kind}, epoch, {models} models"
            records.append(record(case, "time", "plain torch", seconds, plain, "CPU s"))
            limits = (("dense products", rates[0], gflops, "GFlop/s"), ("memory", rates[1], gbs, "GB/s"))
            for what, rate, limit, unit in limits:
                records.append(
                    {
                        "case": case,
                        "quantity": what,
                        "peer": "peak of this machine",
                        "ours": rate,
                        "theirs": limit,
                        "unit": unit,
                        "ratio": rate / limit,
                    }
                )
    return records
