"""Effective media, films and ATR against closed forms."""

import numpy as np
import pytest

from tnep_calc.errors import InputError
from tnep_calc.spectra.instruments import (
    attenuated_total_reflection,
    bruggeman,
    layers,
    maxwell_garnett,
    powder_absorbance,
    thin_film,
)
from tnep_calc.spectra.optics import reflectivity

W = np.arange(200.0, 1200.0, 1.0)
EPS = 2.4 + 5.0e5 / (700.0**2 - W**2 - 15j * W)  # one oscillator


def test_reflectivity_at_an_angle():
    """Fresnel: s + p at normal incidence agree with |(n-1)/(n+1)|^2; R_p = R_s^2 at 45 degrees; Brewster."""
    normal = np.abs((np.sqrt(EPS) - 1) / (np.sqrt(EPS) + 1)) ** 2
    for light in ("s", "p"):
        np.testing.assert_allclose(reflectivity(EPS, 0.0, light), normal, rtol=1e-12)
        tensor = EPS[:, None, None] * np.eye(3)
        np.testing.assert_allclose(reflectivity(tensor, 50.0, light), reflectivity(EPS, 50.0, light), rtol=1e-9)
    np.testing.assert_allclose(reflectivity(EPS, 45.0, "p"), reflectivity(EPS, 45.0, "s") ** 2, rtol=1e-9)
    uniaxial = np.array([np.diag([2.0 + 0.1j, 3.0 + 0.2j, 4.0 + 0.3j])])
    np.testing.assert_allclose(reflectivity(uniaxial, 60.0, "s"), reflectivity(np.array([3.0 + 0.2j]), 60.0, "s"))
    np.testing.assert_allclose(reflectivity(uniaxial, 0.0, "p"), reflectivity(np.array([2.0 + 0.1j]), 0.0, "p"))


def test_effective_media_in_their_limits():
    for model in (maxwell_garnett, bruggeman):
        np.testing.assert_allclose(model(EPS, 2.33, 0.0), 2.33, rtol=1e-9)
        np.testing.assert_allclose(model(EPS, 2.33, 1.0), EPS, rtol=1e-9)
        # dilute: eps_m + 3 f eps_m (eps - eps_m) / (eps + 2 eps_m)
        f = 1e-6
        dilute = 2.33 + 3 * f * 2.33 * (EPS - 2.33) / (EPS + 2 * 2.33)
        # the slope is that of the dilute limit, to first order in f
        np.testing.assert_allclose((model(EPS, 2.33, f) - 2.33) / f, (dilute - 2.33) / f, rtol=2e-3)
        assert model(EPS, 2.33, 0.3).imag.min() >= 0
    # Clausius-Mossotti: (e - m) / (e + 2 m) = f (eps - m) / (eps + 2 m)
    e = maxwell_garnett(EPS, 2.33, 0.2)
    np.testing.assert_allclose((e - 2.33) / (e + 4.66), 0.2 * (EPS - 2.33) / (EPS + 4.66), rtol=1e-12)
    e = bruggeman(EPS, 2.33, 0.4)
    np.testing.assert_allclose(0.4 * (EPS - e) / (EPS + 2 * e) + 0.6 * (2.33 - e) / (2.33 + 2 * e), 0, atol=1e-12)
    np.testing.assert_allclose(bruggeman(2.33, EPS, 0.6), e, rtol=1e-9)  # symmetric in the two media


def test_needles_and_plates():
    """N = 0: needles along the field, the mean of eps; N = 1: plates across it, the mean of 1 / eps."""
    np.testing.assert_allclose(maxwell_garnett(EPS, 2.0, 0.3, 0.0), 0.3 * EPS + 0.7 * 2.0, rtol=1e-12)
    np.testing.assert_allclose(1 / maxwell_garnett(EPS, 2.0, 0.3, 1.0), 0.3 / EPS + 0.7 / 2.0, rtol=1e-12)


def test_froehlich_mode_of_a_dilute_powder():
    """The powder absorbs where Re eps = -2 eps_m, between TO and LO: not at the TO frequency."""
    absorbance = powder_absorbance(W, EPS, 0.5, 1e-3, matrix=2.33)
    expected = W[np.abs(EPS.real + 2 * 2.33)[W > 700].argmin() + np.sum(W <= 700)]
    assert W[absorbance.argmax()] == pytest.approx(expected, abs=2)
    # Beer and Lambert
    np.testing.assert_allclose(powder_absorbance(W, EPS, 1.0, 1e-3), 2 * absorbance, rtol=1e-12)


def test_layers_in_closed_form():
    for light in ("s", "p"):
        r, _ = layers(W, [1.0, EPS], [], 40.0, light)
        np.testing.assert_allclose(r, reflectivity(EPS, 40.0, light), rtol=1e-10)
        # Airy's formula for a slab
        sine2 = np.sin(np.radians(40.0)) ** 2
        q0, q1, q2 = np.sqrt(1 - sine2 + 0j), np.sqrt(EPS - sine2), np.sqrt(2.33 - sine2 + 0j)
        y = (q0, q1, q2) if light == "s" else (1 / q0, EPS / q1, 2.33 / q2)
        r01, r12 = (y[0] - y[1]) / (y[0] + y[1]), (y[1] - y[2]) / (y[1] + y[2])
        phase = np.exp(2j * 2 * np.pi * W * 1e-4 * 1.7 * q1)
        airy = np.abs((r01 + r12 * phase) / (1 + r01 * r12 * phase)) ** 2
        r, t = thin_film(W, EPS, 1.7, 2.33, 40.0, light)
        np.testing.assert_allclose(r, airy, rtol=1e-9)
        assert (r + t <= 1 + 1e-12).all() and (t >= 0).all()
        clear, through = thin_film(W, 4.0, 1.7, 2.33, 40.0, light)
        np.testing.assert_allclose(clear + through, 1.0, rtol=1e-12)
    # two layers of one material are one layer; an opaque film is a half space
    np.testing.assert_allclose(layers(W, [1, EPS, EPS, 2.33], [0.7, 1.0])[0], thin_film(W, EPS, 1.7)[0], rtol=1e-9)
    np.testing.assert_allclose(thin_film(W, EPS + 1j, 1e4)[0], reflectivity(EPS + 1j), rtol=1e-9)
    # a quarter wave of n = sqrt(n_s) does not reflect
    quarter = 1e4 / (4 * 1000.0 * np.sqrt(2.0))
    assert thin_film(np.array([1000.0]), 2.0, quarter, 4.0)[0][0] < 1e-20


def test_berreman_film_shows_the_longitudinal_mode_in_p_only():
    r_s = 1 - np.sum(thin_film(W, EPS, 0.01, 11.7, 70.0, "s"), axis=0)
    r_p = 1 - np.sum(thin_film(W, EPS, 0.01, 11.7, 70.0, "p"), axis=0)
    longitudinal = W[(-1 / EPS).imag.argmax()]
    above = W > 0.5 * (700 + longitudinal)
    assert W[above][r_p[above].argmax()] == pytest.approx(longitudinal, abs=3)
    assert W[r_s.argmax()] == pytest.approx(700, abs=3)


def test_attenuated_total_reflection():
    assert np.abs(attenuated_total_reflection(W, np.full_like(W, 1.8) + 0j, 5.66, 45.0)).max() < 1e-12
    weak = 1.8 + 1e-4j * np.ones_like(W)
    # weak absorption: R = 1 - alpha d_e with Harrick's effective thickness of a thick sample, s polarization
    n21, theta = np.sqrt(1.8 / 5.66), np.radians(45.0)
    wavelength_in_crystal = 1 / (W * np.sqrt(5.66))
    d_e = wavelength_in_crystal * n21 * np.cos(theta) / (np.pi * (1 - n21**2) * np.sqrt(np.sin(theta) ** 2 - n21**2))
    alpha = 4 * np.pi * W * np.sqrt(weak).imag
    expected = -np.log10(1 - alpha * d_e)
    np.testing.assert_allclose(attenuated_total_reflection(W, weak), expected, rtol=1e-3)
    nine = attenuated_total_reflection(W, weak, reflections=9)
    np.testing.assert_allclose(nine, 9 * attenuated_total_reflection(W, weak), rtol=1e-9)
    # at 45 degrees p is twice as strong as s in absorbance
    np.testing.assert_allclose(
        attenuated_total_reflection(W, weak, polarization="p"), 2 * attenuated_total_reflection(W, weak), rtol=1e-3
    )


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: maxwell_garnett(EPS, 1.0, 1.2), "fraction"),
        (lambda: powder_absorbance(W, EPS, 0.0, 0.1), "thickness"),
        (lambda: powder_absorbance(W, EPS, 1.0, 0.1, model="x"), "maxwell-garnett, bruggeman"),
        (lambda: powder_absorbance(W, np.zeros((3, 3, 3)), 1.0, 0.1, model="bruggeman"), "not for a tensor"),
        (lambda: layers(W, [1.0, EPS], [1.0]), "need 3 media"),
        (lambda: layers(W, [EPS, 1.0], []), "transparent"),
        (lambda: layers(W, [1.0, EPS, 2.0], [-1.0]), "at least 0"),
        (lambda: layers(W, [1.0, EPS], [], 95.0), "below 90"),
        (lambda: layers(W, [1.0, EPS], [], 5.0, "x"), "s or p"),
        (lambda: attenuated_total_reflection(W, EPS, reflections=0), "at least 1"),
    ],
)
def test_errors(call, match):
    with pytest.raises(InputError, match=match):
        call()


@pytest.mark.parametrize(
    "light, expected",
    [
        (
            "s",
            [
                (0.275579279, 0.68381172),
                (0.586512234, 0.0259007006),
                (0.850665885, 0.00307400971),
                (0.217357337, 0.680296373),
            ],
        ),
        (
            "p",
            [
                (0.104963916, 0.84923071),
                (0.403024559, 0.0403879409),
                (0.7584328, 0.0050411903),
                (0.0497806857, 0.787154564),
            ],
        ),
    ],
)
def test_two_absorbing_layers_against_the_program_tmm(light, expected):
    """Numbers of coh_tmm (S. Byrnes, tmm 0.2.0, arXiv:1603.02720): 1.7 µm and 0.6 µm at 40 degrees, on n^2 = 2.33."""
    w = np.array([450.0, 690.0, 720.0, 900.0])
    eps = 2.4 + 5.0e5 / (700.0**2 - w**2 - 15j * w)
    r, t = layers(w, [1.0, eps, (2.0 + 0.1j) ** 2, 2.33], [1.7, 0.6], 40.0, light)
    np.testing.assert_allclose(np.column_stack([r, t]), expected, rtol=2e-8)


@pytest.mark.parametrize(
    "wavenumber, expected",
    [
        (450.0, 2.47781365674527 + 0.0027470584663047888j),
        (720.0, 3.290959565047713 + 1.3282669335006398j),
        (900.0, 2.143302703468713 + 0.010498066792658767j),
    ],
)
def test_bruggeman_against_the_program_pdielec(wavenumber, expected):
    """Numbers of bruggeman_iter of PDielec 10.0.0 (spheres, 10 % in eps = 2.33), converged to 1e-8."""
    eps = 2.4 + 5.0e5 / (700.0**2 - wavenumber**2 - 15j * wavenumber)
    assert complex(bruggeman(eps, 2.33, 0.1)) == pytest.approx(expected, rel=1e-7)
