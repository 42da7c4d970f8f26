"""Partial spectra add up; frequencies and lifetimes of the modes of a harmonic crystal are recovered."""

import numpy as np
import pytest

from helpers.langevin import Langevin
from tnep_calc.errors import InputError
from tnep_calc.spectra import infrared_spectrum, raman_spectrum
from tnep_calc.spectra.decomposition import atomic_currents, group_sums, partial_raman, partial_spectra, self_and_cross
from tnep_calc.spectra.modes import mode_parts, mode_spectra, mode_velocities, modes_in_run

VOLUME, TEMPERATURE = 800.0, 300.0


@pytest.fixture(scope="module")
def crystal():
    """Return four atoms, of whose twelve coordinates four are uncoupled Brownian oscillators (the modes)."""
    rng = np.random.default_rng(3)
    masses = np.array([28.0, 28.0, 16.0, 16.0])
    vectors = np.linalg.qr(rng.normal(size=(12, 12)))[0][:4].reshape(4, 4, 3)
    positions, widths = [300.0, 500.0, 800.0, 1100.0], [20.0, 30.0, 20.0, 40.0]
    runs = [Langevin(p, w, 1e-3).run(40_000, 1.0, 1, rng)[1][:, 0] for p, w in zip(positions, widths, strict=True)]
    rates = np.stack(runs, axis=1)
    velocities = np.einsum("tm,mja->tja", rates, vectors) / np.sqrt(masses)[None, :, None]
    charges = rng.normal(size=(4, 3, 3))
    charges -= charges.mean(axis=0)
    return masses, vectors, positions, widths, rates, velocities, charges


@pytest.mark.parametrize("route", ["dipole", "current"])
@pytest.mark.parametrize("direction", [None, [1, 1, 0]])
def test_parts_add_up_to_rounding(route, direction):
    rng = np.random.default_rng(4)
    parts = {name: rng.normal(size=(6000, 3)) for name in ("Si", "O", "H")}
    parts["O"] += 0.5 * parts["Si"]  # correlated
    options = {"resolution": 60.0, "direction": direction}
    found = partial_spectra(parts, 1.0, VOLUME, TEMPERATURE, route=route, **options)
    total = found.values["total"]
    scale = np.abs(total).max()
    contributions = sum(found.values[f"part_{name}"] for name in parts)
    pairs = sum(v for name, v in found.values.items() if name.startswith(("self_", "cross_")))
    np.testing.assert_allclose(contributions, total, atol=1e-12 * scale)
    np.testing.assert_allclose(pairs, total, atol=1e-12 * scale)
    assert found.values["cross_Si_O"].mean() > 0.3 * found.values["self_Si"].mean() and set(found.errors) == set(
        found.values
    )
    alone = partial_spectra(parts, 1.0, VOLUME, TEMPERATURE, route=route, pairs=False, **options)
    assert list(alone.values) == ["total", "part_Si", "part_O", "part_H"]
    for name, value in alone.values.items():
        np.testing.assert_allclose(value, found.values[name], atol=1e-11 * scale)
    signal = {route: sum(parts.values())}
    whole = infrared_spectrum(signal.pop("dipole", None), 1.0, VOLUME, TEMPERATURE, **options, **signal)
    np.testing.assert_allclose(total, whole.values["absorption"], atol=1e-9 * scale)


def test_raman_of_parts_adds_up():
    rng = np.random.default_rng(7)
    parts = {}
    for name in ("A", "B"):
        tensor = rng.normal(size=(6000, 3, 3))
        parts[name] = tensor + tensor.transpose(0, 2, 1)
    parts["B"] += 0.4 * parts["A"]
    found = partial_raman(parts, 1.0, resolution=60.0)
    total = found.values["total"]
    np.testing.assert_allclose(found.values["part_A"] + found.values["part_B"], total, atol=1e-11 * total.max())
    whole = raman_spectrum(sum(parts.values()), 1.0, TEMPERATURE, 60.0, max_wavenumber=1e4)
    expected = whole.values["isotropic"] + 7 / 30 * whole.values["anisotropic"]
    np.testing.assert_allclose(total[: len(expected)], expected, rtol=1e-9, atol=1e-9 * total.max())
    assert (found.values["self_A"] < found.values["part_A"]).mean() > 0.9  # correlated in phase
    with pytest.raises(InputError, match="same lengths"):
        partial_raman({"A": parts["A"], "B": parts["B"][1:]}, 1.0)


def test_molecules_self_and_cross():
    rng = np.random.default_rng(5)
    free = rng.normal(size=(8000, 6, 3))
    found = self_and_cross(free, 1.0, VOLUME, TEMPERATURE, resolution=60.0)
    np.testing.assert_allclose(found.values["self"] + found.values["cross"], found.values["total"], rtol=1e-10)
    # independent molecules have no cross term, equal ones n - 1 times the self term
    assert abs(found.values["cross"].mean()) < 0.05 * found.values["self"].mean()
    equal = self_and_cross(np.repeat(free[:, :1], 6, axis=1), 1.0, VOLUME, TEMPERATURE, resolution=60.0)
    np.testing.assert_allclose(equal.values["cross"], 5 * equal.values["self"], rtol=1e-9, atol=1e-6)


def test_currents_of_atoms_and_groups(crystal):
    masses, _, _, _, _, velocities, charges = crystal
    currents = atomic_currents(charges, velocities)
    sums = group_sums(currents, {"Si": [0, 1], "O": [2, 3]})
    expected = np.einsum("jab,tjb->ta", charges, velocities)
    np.testing.assert_allclose(sums["Si"] + sums["O"], expected, atol=1e-14)
    along = atomic_currents(np.broadcast_to(charges, (len(velocities), 4, 3, 3)), velocities)
    np.testing.assert_allclose(along, currents)
    with pytest.raises(InputError, match="exactly one group"):
        group_sums(currents, {"Si": [0, 1], "O": [1, 2, 3]})
    with pytest.raises(InputError, match="have shapes that do not fit"):
        atomic_currents(charges[:2], velocities)


def test_modes_of_a_run(crystal):
    masses, vectors, positions, widths, rates, velocities, charges = crystal
    np.testing.assert_allclose(mode_velocities(velocities, masses, vectors), rates, atol=1e-12)
    spectra = mode_spectra(rates, 1.0, resolution=10.0, max_wavenumber=2000.0)
    modes = modes_in_run(spectra, [p + 7.0 for p in positions])
    for mode, position, width in zip(modes, positions, widths, strict=True):
        assert mode.frequency == pytest.approx(position, abs=max(4, 4 * mode.frequency_error))
        assert mode.shift == pytest.approx(-7.0, abs=max(4, 4 * mode.frequency_error))
        assert width < mode.width + 4 * mode.width_error + 5 and mode.width < 1.8 * width + 10
        assert mode.lifetime == pytest.approx(5.3088 / mode.width, rel=1e-3)  # ps and cm^-1
    # the parts of the modes and the rest add up to the current
    currents = atomic_currents(charges, velocities)
    parts = mode_parts(currents, velocities, masses, vectors, charges)
    assert list(parts) == ["mode1", "mode2", "mode3", "mode4", "rest"]
    np.testing.assert_allclose(sum(parts.values()), currents.sum(axis=1), atol=1e-12)
    assert np.abs(parts["rest"]).max() < 1e-12  # all of the motion is in these modes
    found = partial_spectra(parts, 1.0, VOLUME, TEMPERATURE, route="current", resolution=20.0, pairs=False)
    at = [found.wavenumber[found.values[f"part_mode{m + 1}"].argmax()] for m in range(4)]
    np.testing.assert_allclose(at, positions, atol=15)


def test_equipartition(crystal):
    rates = crystal[4]
    found = mode_spectra(rates, 1.0, resolution=20.0, blocks=0)
    step = found.wavenumber[1] - found.wavenumber[0]
    for m in range(4):
        area = 2 * found.values[f"mode{m + 1}"].sum() * step
        assert area == pytest.approx(np.mean(rates[:, m] ** 2), rel=1e-3)


def test_errors(crystal):
    masses, vectors, *_ = crystal
    with pytest.raises(InputError, match="orthonormal"):
        mode_velocities(np.zeros((5, 4, 3)), masses, 2 * vectors)
    with pytest.raises(InputError, match=r"shape \(n, 4, 3\)"):
        mode_velocities(np.zeros((5, 3, 3)), masses, vectors)
    with pytest.raises(InputError, match="different names"):
        partial_spectra({}, 1.0, VOLUME, TEMPERATURE)
    with pytest.raises(InputError, match="pieces of"):
        partial_spectra({"a": np.zeros((9, 3)), "b": np.zeros((8, 3))}, 1.0, VOLUME, TEMPERATURE)
    with pytest.raises(InputError, match="dipole or current"):
        partial_spectra({"a": np.zeros((9, 3))}, 1.0, VOLUME, TEMPERATURE, route="x")
