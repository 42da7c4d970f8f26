"""The two mistakes of the published dielectric function of alpha-quartz (Falletta et al., Nat. Commun. 16, 4031, 2025)."""

import numpy as np
import pytest

from helpers.langevin import Langevin
from helpers.paths import shared_data
from tnep_calc.spectra.dielectric import dielectric_function, static_sum_rule
from tnep_calc.spectra.windows import lag_window
from tnep_calc.units import DEBYE, EPSILON_0, SQRT_EV_PER_A2_AMU_TO_INV_CM

A, C = 4.985303, 5.478530  # Å
EPS_INF, STATIC = 2.428, 4.612  # DFPT, mean of the directions


def test_the_curve_of_dfpt_was_made_with_the_volume_a2c():
    """eps'' of the file is sqrt(3)/2 of that of its own modes in the hexagonal cell, of volume a^2 c sin(120 degrees)."""
    folder = shared_data("enthalpy/dfpt")
    _, wavenumber, _, strength = np.loadtxt(folder / "SiO2-IR-dfpt.dat").T
    optical = wavenumber > 1.0
    volume = A**2 * C * np.sqrt(3) / 2
    # strengths in (D/Å)^2/amu; sum of |p|^2 / (3 eps0 V w^2)
    charge2 = strength[optical] * DEBYE**2
    parts = charge2 * SQRT_EV_PER_A2_AMU_TO_INV_CM**2 / (3 * EPSILON_0 * volume * wavenumber[optical] ** 2)
    ionic = parts.sum()
    file = static_sum_rule(*np.loadtxt(folder / "SiO2-epsim-dfpt.dat").T)
    assert ionic == pytest.approx(2.187, abs=0.005)
    assert file == pytest.approx(1.894, abs=0.005)
    assert file / ionic == pytest.approx(np.sqrt(3) / 2, abs=2e-3)
    lowest = np.loadtxt(folder / "SiO2-epsre-dfpt.dat")[0, 1]
    assert lowest == pytest.approx(EPS_INF + file, abs=0.01)  # 4.32
    assert EPS_INF + ionic == pytest.approx(STATIC, abs=0.01)  # 4.61


def test_the_formula_of_the_script_for_dynamics():
    """It has 1 in place of eps_inf and half of the frequency: eps'' is (eps_0 - 1) / (2 (eps_0 - eps_inf)) of the right one."""
    oscillator = Langevin(1050.0, 20.0, 1.0)
    resolution, dt = 2.0, 0.2
    window = lag_window("gaussian", resolution, dt)
    t = dt * np.arange(len(window))
    correlation = oscillator.correlation(t) * window
    w, ratio = dielectric_function(correlation, dt, resolution, 1.0)  # (eps - eps_inf) / (eps_0 - eps_inf)
    right = (STATIC - EPS_INF) * ratio
    exact = (STATIC - EPS_INF) * oscillator.response(w)
    near = np.abs(w - 1050) < 200
    assert np.abs(right - exact)[near].max() < 0.05 * np.abs(exact).max()
    # as coded: eps = 1 + (eps_0 - 1) (1 - i nu pi FT), where 2 pi nu is the angular frequency
    coded = 1 + (STATIC - 1) * (1 + 0.5 * (ratio - 1))
    peak = coded.imag.max() / right.imag.max()
    assert peak == pytest.approx((STATIC - 1) / (2 * (STATIC - EPS_INF)), rel=1e-6)
    assert peak == pytest.approx(0.83, abs=0.005)
    above = w.searchsorted(20_000.0)  # where only electrons respond
    assert coded.real[above] == pytest.approx(1 + 0.5 * (STATIC - 1), abs=0.1)  # 2.8 instead of eps_inf = 2.4
