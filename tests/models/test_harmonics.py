"""Real harmonics, their couplings and their Cartesian form: symmetry, traces, rotations."""

import numpy as np
import torch

from tnep_calc.models.harmonics import cartesian_rank1, cartesian_rank2, cartesian_rank3, gaunt, real_harmonics

RNG = np.random.default_rng(0)
UNIT = RNG.normal(size=(200, 3))
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
ROTATION = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
BLOCKS = [slice(l * l, (l + 1) ** 2) for l in range(4)]


def harmonics(u):
    return real_harmonics(torch.from_numpy(u)).numpy()


def representation():
    """Return matrices D_l with ``Y_l(R u) = D_l Y_l(u)``, from a fit."""
    y, turned = harmonics(UNIT), harmonics(UNIT @ ROTATION.T)
    return [np.linalg.lstsq(y[:, b], turned[:, b], rcond=None)[0].T for b in BLOCKS]


def test_harmonics_are_normalised_and_transform_under_rotations():
    y = harmonics(UNIT)
    for l, block in enumerate(BLOCKS):
        np.testing.assert_allclose((y[:, block] ** 2).sum(1), 2 * l + 1, rtol=1e-13)
    for l, d in enumerate(representation()):
        np.testing.assert_allclose(harmonics(UNIT @ ROTATION.T)[:, BLOCKS[l]], y[:, BLOCKS[l]] @ d.T, atol=1e-12)
        np.testing.assert_allclose(d @ d.T, np.eye(2 * l + 1), atol=1e-12)


def test_gaunt_coefficients_expand_products_and_are_invariant():
    y, table = harmonics(UNIT), gaunt()
    for order in ((1, 0, 2), (2, 1, 0)):
        np.testing.assert_allclose(table, table.transpose(order), atol=1e-14)
    for a in range(1, 4):  # l = 1 and l = 1 or 2: the product has no part beyond l = 3
        for b in range(1, 9):
            np.testing.assert_allclose(y[:, a] * y[:, b], y @ table[a, b], atol=1e-12)
    d = representation()
    for l1, l2, l3 in ((1, 1, 2), (1, 2, 3), (2, 2, 2), (1, 3, 2)):
        block = table[BLOCKS[l1], BLOCKS[l2], BLOCKS[l3]]
        np.testing.assert_allclose(np.einsum("ai,bj,ck,ijk->abc", d[l1], d[l2], d[l3], block), block, atol=1e-12)


def test_cartesian_forms_equal_the_harmonics():
    y = harmonics(UNIT)
    np.testing.assert_allclose(3**0.5 * UNIT, y[:, 1:4] @ cartesian_rank1().T, atol=1e-13)
    np.testing.assert_allclose(np.einsum("mij,pi,pj->pm", cartesian_rank2(), UNIT, UNIT), y[:, 4:9], atol=1e-12)
    cubic = np.einsum("mijk,pi,pj,pk->pm", cartesian_rank3(), UNIT, UNIT, UNIT)
    np.testing.assert_allclose(cubic, y[:, [1, 2, 3, *range(9, 16)]], atol=1e-12)


def test_cartesian_tensors_are_symmetric_and_traceless():
    rank2, rank3 = cartesian_rank2(), cartesian_rank3()
    np.testing.assert_allclose(rank2, rank2.transpose(0, 2, 1), atol=1e-14)
    np.testing.assert_allclose(np.einsum("mii->m", rank2), 0, atol=1e-12)
    for order in ((0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1)):
        np.testing.assert_allclose(rank3, rank3.transpose(order), atol=1e-14)
    traces = np.einsum("mijj->mi", rank3)
    np.testing.assert_allclose(traces[3:], 0, atol=1e-12)
    np.testing.assert_allclose(traces[:3], 5 / 3**0.5 * cartesian_rank1().T, atol=1e-12)
    assert np.linalg.matrix_rank(rank3.reshape(10, 27)) == 10


def test_cartesian_rank3_transforms_like_a_tensor():
    components = RNG.normal(size=10)
    d = representation()
    moved = np.concatenate([d[1] @ components[:3], d[3] @ components[3:]])
    tensor, turned = (np.tensordot(c, cartesian_rank3(), 1) for c in (components, moved))
    expected = np.einsum("ai,bj,ck,ijk->abc", ROTATION, ROTATION, ROTATION, tensor)
    np.testing.assert_allclose(turned, expected, atol=1e-12)
