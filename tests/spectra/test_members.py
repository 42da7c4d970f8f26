"""Spectra of an ensemble of models: mean, spread, file, figure and commands."""

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from helpers.random_enthalpy import random_enthalpy, silica
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, write_nep
from tnep_calc.artifact import save_artifact
from tnep_calc.cli import main
from tnep_calc.errors import InputError
from tnep_calc.io.series.spectrum_text import read_spectrum, write_spectrum
from tnep_calc.io.series.timeseries import Sampled, TimeSeries, read_timeseries, write_timeseries
from tnep_calc.plotting.spectra import plot_ir, plot_raman
from tnep_calc.spectra import combine_members, infrared_spectrum, raman_spectrum

pytestmark = pytest.mark.slow

FACTORS = (0.9, 1.0, 1.2)


def dipole(n=12000, seed=1):
    rng = np.random.default_rng(seed)
    phase = np.cumsum(rng.normal(scale=0.03, size=(n, 3)), axis=0)
    return np.cos(0.2 * np.arange(n)[:, None] + phase)


def infrared(factor, signal=None, **options):
    signal = dipole() if signal is None else signal
    return infrared_spectrum(factor * signal, 1.0, 900.0, 300.0, resolution=40.0, **options)


def test_mean_spread_and_common_error():
    members = [infrared(factor) for factor in FACTORS]
    both = combine_members(members)
    squares = np.square(FACTORS)
    one = infrared(1.0)
    np.testing.assert_allclose(both.values["absorption"], squares.mean() * one.values["absorption"], rtol=1e-8)
    np.testing.assert_allclose(both.spreads["eps_imag"], squares.std(ddof=1) * abs(one.values["eps_imag"]), rtol=1e-8)
    np.testing.assert_allclose(both.errors["eps_imag"], squares.mean() * one.errors["eps_imag"], rtol=1e-8)
    fluctuation = one.parameters["static_fluctuation"]
    assert both.parameters["static_fluctuation"] == pytest.approx(squares.mean() * fluctuation)
    assert both.parameters["static_fluctuation_spread"] == pytest.approx(squares.std(ddof=1) * fluctuation)
    assert both.parameters["models"] == 3 and both.parameters["blocks"] == one.parameters["blocks"]
    assert combine_members([one]) is one
    np.testing.assert_allclose(both.replicas["eps_imag"], squares.mean() * one.replicas["eps_imag"], rtol=1e-8)
    part = both.between(500, 1500)
    assert part.spreads["absorption"].shape == part.wavenumber.shape


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"signal": dipole(11900)}, "samples"),
        ({"eps_inf": 2.0}, "other columns"),
        ({"max_wavenumber": 3000.0}, "other wavenumbers"),
    ],
)
def test_members_must_belong_together(other, message):
    with pytest.raises(InputError, match=message):
        combine_members([infrared(1.0), infrared(1.1, **other)])


def test_file_keeps_the_spread(tmp_path):
    both = combine_members([infrared(factor, max_wavenumber=2000.0) for factor in FACTORS])
    write_spectrum(tmp_path / "ir.txt", both)
    read = read_spectrum(tmp_path / "ir.txt")
    assert list(read.values) == list(both.values) and read.parameters["models"] == 3
    for name in both.spreads:
        np.testing.assert_allclose(read.spreads[name], both.spreads[name], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(read.errors[name], both.errors[name], rtol=1e-8, atol=1e-12)


def test_figures_have_both_bands():
    both = combine_members([infrared(factor) for factor in FACTORS])
    ax = plot_ir(both)
    heights = [np.ptp(band.get_paths()[0].vertices[:, 1]) for band in ax.collections]
    assert len(heights) == 2 and heights[0] > heights[1]
    assert "spread of 3 models, with standard error" in ax.get_title(loc="left")
    alone = combine_members([infrared(factor, blocks=0) for factor in FACTORS])
    assert len(plot_ir(alone).collections) == 1
    tensors = dipole()[:, :, None] * np.eye(3)
    raman = [raman_spectrum(factor * tensors, 1.0, 300.0, resolution=40.0) for factor in FACTORS]
    assert len(plot_raman(combine_members(raman)).collections) == 4


def test_models_on_a_trajectory(tmp_path, capsys):
    """Each member gets the same series as from its model alone."""
    rng, atoms = np.random.default_rng(3), bulk("BN", "zincblende", a=3.6)
    frames = []
    for _ in range(4):
        frames.append(atoms.copy())
        frames[-1].positions += rng.normal(scale=0.05, size=(2, 3))
    write(tmp_path / "md.extxyz", frames)
    for k in range(2):
        write_nep(tmp_path / f"dipole{k}.txt", random_nep("dipole", seed=k))
    write_nep(tmp_path / "alpha.txt", random_nep("polarizability"))
    models = [str(tmp_path / f"dipole{k}.txt") for k in range(2)]
    command = ["series", str(tmp_path / "md.extxyz"), "-o", str(tmp_path / "run.h5"), "--dipole-model", *models]
    assert main([*command, "--polarizability-model", str(tmp_path / "alpha.txt")]) == 1
    assert "--interval" in capsys.readouterr().err
    options = ["--polarizability-model", str(tmp_path / "alpha.txt"), "--interval", "0.002ps", "--temperature", "250"]
    assert main([*command, *options]) == 0
    for k in range(2):
        series = read_timeseries(tmp_path / f"run-member{k + 1}.h5")
        alone = TNEPCalculator(dipole=models[k], susceptibility=tmp_path / "alpha.txt")
        assert series.dipole.dt == 2.0 and series.temperature == 250.0
        assert series.volume == pytest.approx(atoms.get_volume()) and len(series.dipole.values) == 4
        for frame, dipole, alpha in zip(frames, series.dipole.values, series.polarizability.values, strict=True):
            # all members are on one branch
            turns = (dipole - alone.get_dipole_moment(frame)) @ np.linalg.inv(series.cell)
            np.testing.assert_allclose(turns, np.round(turns), atol=1e-7)
            np.testing.assert_allclose(alpha, alone.get_property("polarizability", frame), atol=1e-6)
    assert main([*command, *options]) == 1 and "--force" in capsys.readouterr().err
    frames[2].numbers[0] = 7
    write(tmp_path / "md.extxyz", frames)
    assert main([*command, *options, "--force"]) == 1 and "frame 2 has other atoms" in capsys.readouterr().err


def test_enthalpy_models_on_a_trajectory(tmp_path, capsys):
    frames = [silica(seed) for seed in (3, 4)]
    write(tmp_path / "md.extxyz", frames)
    models = [str(tmp_path / f"{k}.pt") for k in range(2)]
    for k, model in enumerate(models):
        save_artifact(random_enthalpy(seed=k, dipole_unit=1e-3), model)  # P within half a quantum: one branch
    command = ["series", str(tmp_path / "md.extxyz"), "-o", str(tmp_path / "run.h5"), "--interval", "1"]
    assert main([*command, "--enthalpy-model", *models]) == 0
    for k, model in enumerate(models):
        series, alone = read_timeseries(tmp_path / f"run-member{k + 1}.h5"), TNEPCalculator(enthalpy=model)
        for frame, dipole, alpha in zip(frames, series.dipole.values, series.polarizability.values, strict=True):
            np.testing.assert_allclose(dipole, alone.get_dipole_moment(frame), rtol=0, atol=1e-7)
            np.testing.assert_allclose(alpha, alone.get_property("polarizability", frame), rtol=0, atol=1e-6)
    assert main([*command, "--enthalpy-model", models[0], "--dipole-model", "x.txt"]) == 1
    assert "leave the other models out" in capsys.readouterr().err


def test_commands(tmp_path, capsys):
    paths = []
    for k, factor in enumerate(FACTORS):
        alpha = factor * dipole(seed=2)[:, :, None] * np.eye(3)
        series = TimeSeries(Sampled(factor * dipole(), 1.0), Sampled(alpha, 1.0), 300.0, 900.0)
        paths.append(str(tmp_path / f"member{k}.h5"))
        write_timeseries(paths[-1], series)
    for command, column in (("ir", "absorption"), ("raman", "VV")):
        table = tmp_path / f"{command}.txt"
        options = ["-o", str(table), "--resolution", "40", "--plot", str(tmp_path / f"{command}.png")]
        assert main([command, *paths, *options]) == 0
        printed = capsys.readouterr().out
        assert "mean over 3 models" in printed and "(models)" in printed
        spectrum = read_spectrum(table)
        top = spectrum.values[column].argmax()
        squares = np.square(FACTORS)
        ratio = spectrum.spreads[column][top] / spectrum.values[column][top]
        assert ratio == pytest.approx(squares.std(ddof=1) / squares.mean(), rel=1e-6)
        assert spectrum.parameters["series"] == paths and len(spectrum.parameters["series_sha256"]) == 3
