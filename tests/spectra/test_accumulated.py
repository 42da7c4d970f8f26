"""Spectra from sums over blocks equal those from the samples."""

import numpy as np
import pytest

from tnep_calc.errors import InputError
from tnep_calc.spectra import AccumulatedSignal, dielectric_spectrum, infrared_spectrum, static_dielectric
from tnep_calc.spectra.accumulated import CorrelationBlock
from tnep_calc.spectra.correlation import nyquist_load, split_blocks

LAGS, BLOCK = 300, 700


def signal(n, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    return 5.0 + np.outer(np.cos(0.1 * t), [1, 0.2, 0.3]) + 0.1 * rng.normal(size=(n, 3)).cumsum(axis=0)


def accumulated(x):
    """Return the sums of a signal, by direct summation."""
    blocks = []
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK] - x[0]
        products = np.zeros((LAGS, 3, 3))
        for k in range(min(LAGS, len(rows))):
            product = rows[: len(rows) - k].T @ rows[k:]
            products[k] = 0.5 * (product + product.T)
        kept = min(len(rows), LAGS - 1)
        blocks.append(CorrelationBlock(len(rows), rows.sum(0), products, rows[:kept], rows[len(rows) - kept :]))
    return AccumulatedSignal(blocks, np.eye(3), x[0])


@pytest.mark.parametrize(("length", "blocks"), [(6 * BLOCK, 6), (6 * BLOCK, 3), (6 * BLOCK + 150, 0), (450, 0)])
def test_equals_samples(length, blocks):
    pieces = [signal(length), signal(2 * BLOCK, 1)] if blocks == 0 else [signal(length)]
    sums = [accumulated(piece) for piece in pieces]
    options = {"volume": 1000.0, "temperature": 300.0, "resolution": 250.0, "blocks": blocks}
    for more in ({}, {"direction": [1, 1, 0.5]}):
        one, two = (infrared_spectrum(x, 1.0, **options, **more) for x in (pieces, sums))
        for name, values in one.values.items():
            assert np.abs(two.values[name] - values).max() < 1e-10 * np.abs(values).max()
            if blocks:
                assert np.abs(two.errors[name] - one.errors[name]).max() < 1e-9 * np.abs(values).max()
    one, two = (dielectric_spectrum(1.0, dipole=x, tensor=True, **options) for x in (pieces, sums))
    assert all(np.allclose(two.values[name], one.values[name], rtol=1e-8, atol=1e-9) for name in one.values)
    assert nyquist_load(sums) == pytest.approx(nyquist_load(pieces), rel=1e-9)
    means = [static_dielectric(x, 1000.0, 300.0).mean for x in (pieces, sums)]
    assert means[0] == pytest.approx(means[1], rel=1e-12)


def test_current_route():
    x = signal(5 * BLOCK)
    one, two = (dielectric_spectrum(1.0, 1e3, 300.0, current=c, resolution=250.0) for c in (x, accumulated(x)))
    assert one.parameters["blocks"] != 5 and two.parameters["blocks"] == 5  # the stored blocks
    assert np.abs(two.values["eps_imag"] - one.values["eps_imag"]).max() < 1e-10 * np.abs(one.values["eps_imag"]).max()


def test_default_resolution_needs_no_more_lags_than_there_are():
    x = accumulated(signal(8 * BLOCK))
    found = infrared_spectrum(x, 1.0, 1000.0, 300.0)
    assert found.parameters["resolution_fwhm_cm-1"] == pytest.approx(209, abs=1)  # 62.5 ps / 0.3 ps
    assert found.parameters["blocks"] == 8


def test_refusals():
    x = accumulated(signal(4 * BLOCK))
    with pytest.raises(InputError, match="accumulated for 300 lags, but this resolution needs 626"):
        infrared_spectrum(x, 1.0, 1000.0, 300.0, resolution=100.0)
    with pytest.raises(InputError, match="accumulated in 4 blocks of 700 samples, not 7"):
        split_blocks([x], 7)
    with pytest.raises(InputError, match="only its columns can be selected"):
        x[3:]
