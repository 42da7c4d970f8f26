"""Porto notation: selection rules of textbooks, and refusals."""

import argparse

import numpy as np
import pytest

from tnep_calc.cli.porto_options import add_porto_argument, porto_geometries
from tnep_calc.errors import InputError
from tnep_calc.spectra.porto import parse_direction, parse_porto, polarization_settings

S = np.sqrt(0.5)


@pytest.mark.parametrize(
    "text, vectors",
    [
        ("z(xy)-z", ([0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, -1])),
        ("z(xy)z\u0304", ([0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, -1])),
        ("-z( x x ) z", ([0, 0, -1], [1, 0, 0], [1, 0, 0], [0, 0, 1])),
        ("x(z,[0,1,0])y\u0305", None),
        ("x([011][0 1 -1])-x", ([1, 0, 0], [0, S, S], [0, S, -S], [-1, 0, 0])),
        ("-[110]([1-10]z)[1,1,0]", ([-S, -S, 0], [S, -S, 0], [0, 0, 1], [S, S, 0])),
    ],
)
def test_notation(text, vectors):
    if vectors is None:  # the scattered polarization lies along the scattered light
        with pytest.raises(InputError, match="scattered polarization"):
            parse_porto(text)
        return
    g = parse_porto(text)
    for found, expected in zip((g.incident, g.incident_field, g.scattered_field, g.scattered), vectors, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("text", ["", "z(xy)", "(xy)", "z(xyz)-z", "a(bc)d", "z(x[0,0,0])-z", "z(x[1,1])-z", "zz(xy)z"])
def test_invalid_porto_notation_is_an_error(text):
    with pytest.raises(InputError) as caught:
        parse_porto(text)
    assert "\n" not in str(caught.value)


def test_selection_rules_of_zincblende_on_001():
    """T2 tensors (Loudon 1964): from (001) in backscattering only LO is seen, in parallel [110] and crossed [100]."""
    tensors = np.zeros((3, 3, 3))
    for mode, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):  # displacement along x, y, z
        tensors[mode, i, j] = tensors[mode, j, i] = 1.0
    seen = {t: np.abs(parse_porto(t).project(tensors)) ** 2 for t in ("z(xx)-z", "z(xy)-z", "z([110][110])-z")}
    np.testing.assert_allclose(seen["z(xx)-z"], 0, atol=1e-15)
    np.testing.assert_allclose(seen["z(xy)-z"], [0, 0, 1], atol=1e-15)  # the mode along z = q: longitudinal
    np.testing.assert_allclose(seen["z([110][110])-z"], [0, 0, 1], atol=1e-12)
    assert parse_porto("z(xy)-z").q.tolist() == [0, 0, 1]
    assert parse_porto("z(xy)z").q is None
    np.testing.assert_allclose(parse_porto("x(zz)y").q, [S, -S, 0])


def test_order_of_the_polarizations_for_a_tensor_that_is_not_symmetric():
    tensor = np.arange(9.0).reshape(3, 3)
    assert parse_porto("z(xy)-z").project(tensor) == tensor[1, 0]  # scattered . A . incident


def test_lattice_directions_of_a_hexagonal_cell():
    cell = np.array([[1.0, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, 1.6]])
    np.testing.assert_allclose(parse_direction("[1,2,0]", cell), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(parse_direction("y", cell), [0, 1, 0])
    parser = argparse.ArgumentParser()
    add_porto_argument(parser)
    args = parser.parse_args(["--porto", "z(xx)-z", "--porto=-z([120][120])z", "--lattice-directions"])
    np.testing.assert_allclose(porto_geometries(args, cell)[1].incident_field, [0, 1, 0], atol=1e-12)
    with pytest.raises(InputError, match="needs the cell"):
        porto_geometries(args)


def test_rotating_crystal_and_light_together_keeps_intensities():
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    tensor = rng.normal(size=(3, 3))
    g = parse_porto("x([0,1,1]z)-x")
    assert g.rotated(rotation).project(rotation @ tensor @ rotation.T) == pytest.approx(g.project(tensor))
    with pytest.raises(InputError, match="orthogonal"):
        g.rotated(np.ones((3, 3)))


def test_right_angle_settings_of_an_isotropic_scatterer():
    """A liquid in 90-degree scattering: HH is depolarized, only VV sees the isotropic part."""
    settings = polarization_settings([1, 0, 0], [0, 0, 1], [0, 1, 0])
    found = {name: abs(g.project(np.eye(3))) for name, g in settings.items()}
    assert found == {"VV": 1.0, "VH": 0.0, "HV": 0.0, "HH": 0.0}
    with pytest.raises(InputError, match="perpendicular"):
        polarization_settings([1, 0, 0], [0, 1, 0], [0, 1, 0])
