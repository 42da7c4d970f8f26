"""Tables of the NEP descriptor: angular polynomials and invariants (numpy only).

Angular sums of a centre are indexed by ``s``: (l, 0), (l, 1, re), (l, 1, im), (l, 2, re), ... with the block of l
starting at ``l**2 - 1``.  Equations: Fan et al., J. Chem. Phys. 157, 114801 (2022), eqs 10-17.  The additional 4-body
terms follow the keyword ``l_max`` in the GPUMD manual.
"""

from fractions import Fraction
from functools import cache, reduce
from math import gcd, pi

import numpy as np

from ...errors import InputError


def n_angular(l_max: int) -> int:
    """Return the number of angular components s for l = 1..l_max."""
    return (l_max + 1) ** 2 - 1


@cache
def z_polynomial(l: int, m: int) -> tuple[int, ...]:
    """Return ``Z_lm``: the (l+m)-th derivative of ``(z^2-1)^l`` as coprime integers, lowest power first."""
    poly = [1]
    for _ in range(l):  # times (z^2 - 1)
        longer = [0, 0, *poly]
        for k, c in enumerate(poly):
            longer[k] -= c
        poly = longer
    for _ in range(l + m):
        poly = [k * c for k, c in enumerate(poly)][1:]
    divisor = reduce(gcd, poly)
    return tuple(c // divisor for c in poly)


@cache
def c_lm(l: int, m: int) -> float:
    """Return the weight ``C_lm = 1 / (2 pi int_-1^1 Z_lm(z)^2 (1-z^2)^m dz)`` of the 3-body invariants."""
    poly = z_polynomial(l, m)
    square = [0] * (2 * len(poly) - 1)
    for i, a in enumerate(poly):
        for j, b in enumerate(poly):
            square[i + j] += a * b
    for _ in range(m):  # times (1 - z^2)
        longer = [*square, 0, 0]
        for k, c in enumerate(square):
            longer[k + 2] -= c
        square = longer
    integral = sum(Fraction(2 * c, k + 1) for k, c in enumerate(square) if k % 2 == 0)
    return 1.0 / (2 * pi * float(integral))


def angular_tables(l_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables that define the angular functions of a unit vector.

    Returns
    -------
    z_table : ndarray, shape (l_max + 1, n_angular)
        Column s holds the coefficients of ``Z_lm`` in powers of z.
    xy_index : ndarray of int64, shape (n_angular,)
        Index into ``1, Re u, Im u, Re u^2, Im u^2, ...`` (``u = x + iy``) of the factor that multiplies column s.
    """
    z_table = np.zeros((l_max + 1, n_angular(l_max)))
    xy_index = np.zeros(n_angular(l_max), dtype=np.int64)
    for l in range(1, l_max + 1):
        for m in range(l + 1):
            poly = z_polynomial(l, m)
            for part in range(1 if m == 0 else 2):
                s = l * l - 1 + (0 if m == 0 else 2 * m - 1 + part)
                z_table[: len(poly), s] = poly
                xy_index[s] = 0 if m == 0 else 2 * m - 1 + part
    return z_table, xy_index


def three_body_weights(l_max: int) -> np.ndarray:
    """Return the weights, shape (n_angular, l_max), in the 3-body invariants ``q_l = sum_s S_s^2 weights[s, l-1]``."""
    weights = np.zeros((n_angular(l_max), l_max))
    for l in range(1, l_max + 1):
        for m in range(l + 1):
            first = l * l - 1 + (0 if m == 0 else 2 * m - 1)
            weights[first : first + (1 if m == 0 else 2), l - 1] = c_lm(l, m) * (1 if m == 0 else 2)
    return weights


_222 = (-0.007499480826664, -0.134990654879954, 0.067495327439977, 0.404971964639861, -0.809943929279723)
_1111 = (0.026596810706114, 0.053193621412227, 0.026596810706114)
_112 = (0.027493550848847, 0.164961305093080, -0.013746775424423, 0.041240326273270, 0.082480652546540)
_123 = (
    -0.008418146349617,
    -0.016836292699234,
    -0.033672585398469,
    -0.042090731748086,
    -0.067345170796937,
    -0.084181463496172,
    -0.168362926992344,
)
_233 = (
    0.008572620635186,
    0.009644198214584,
    0.019288396429168,
    0.025717861905558,
    0.026789439484956,
    0.032147327381947,
    0.038576792858337,
    0.128589309527790,
    0.192883964291685,
    0.321473273819474,
)
_134 = (
    0.003645164295772,
    0.004860219061029,
    0.006075273826286,
    0.018225821478859,
    0.024301095305146,
    0.036451642957719,
    0.042526916784005,
    0.072903285915437,
    0.085053833568010,
    0.255161500704030,
)

# Each block: (constants, {index of a constant: signed monomials}).  A monomial is a list of indices s.
_BLOCKS: dict[str, tuple[tuple[float, ...], dict[int, str]]] = {
    "222": (
        _222,
        {
            0: "+3,3,3",
            1: "+3,4,4 +3,5,5",
            2: "+3,6,6 +3,7,7",
            3: "+6,5,5 -6,4,4",
            4: "+4,5,7",
        },
    ),
    "1111": (
        _1111,
        {
            0: "+0,0,0,0",
            1: "+0,0,1,1 +0,0,2,2",
            2: "+1,1,1,1 +1,1,2,2 +1,1,2,2 +2,2,2,2",
        },
    ),
    "112": (
        _112,
        {
            0: "+0,0,3",
            1: "+0,1,4 +0,2,5",
            2: "+3,1,1 +3,2,2",
            3: "+6,1,1 -6,2,2",
            4: "+1,2,7",
        },
    ),
    "123": (
        _123,
        {
            0: "+10,2,6 -10,1,7 -2,7,9 -1,6,9",
            1: "+3,10,2 +3,0,8 +3,1,9",
            2: "-8,2,5 -8,1,4",
            3: "+14,2,6 -13,2,7 +1,13,6 +1,14,7",
            4: "+0,10,5 +0,4,9",
            5: "+0,11,6 +0,12,7",
            6: "+12,2,4 -11,2,5 +1,11,4 +1,12,5",
        },
    ),
    "233": (
        _233,
        {
            0: "+3,8,8",
            1: "+3,9,9 +3,10,10",
            2: "+6,9,9 -6,10,10",
            3: "+8,4,9 +8,10,5",
            4: "-3,13,13 -3,14,14",
            5: "-14,7,9 -13,6,9 -10,14,6 +10,13,7",
            6: "+10,7,9",
            7: "-8,11,6 -8,12,7",
            8: "+11,4,9 +12,5,9 +10,12,4 -10,11,5",
            9: "+12,14,4 +11,14,5 +13,11,4 -13,12,5",
        },
    ),
    "134": (
        _134,
        {
            0: "-15,10,2 -15,1,9",
            1: "+0,15,8",
            2: "-1,13,18 -1,14,19 -2,14,18 +2,13,19",
            3: "-10,18,2 +1,10,19 +1,18,9 +2,19,9",
            4: "+8,1,16 +8,2,17",
            5: "+0,10,17 +0,16,9 -1,11,16 -1,12,17 -2,12,16 +2,11,17",
            6: "+1,13,22 +1,14,23 -2,14,22 +2,13,23",
            7: "+0,11,18 +0,12,19",
            8: "+0,13,20 +0,14,21",
            9: "+1,11,20 +1,12,21 -2,12,20 +2,11,21",
        },
    ),
}
_NEEDS_L = {"222": 2, "1111": 1, "112": 2, "123": 3, "233": 3, "134": 4}


def block_terms(block: str) -> list[tuple[float, tuple[int, ...]]]:
    """Return the monomials (coefficient, s-indices) of one optional 4- or 5-body block."""
    constants, monomials = _BLOCKS[block]
    terms = []
    for k, text in monomials.items():
        for word in text.split():
            sign = -1.0 if word[0] == "-" else 1.0
            terms.append((sign * constants[k], tuple(int(s) for s in word[1:].split(","))))
    return terms


def check_blocks(l_max: int, blocks: list[str]) -> None:
    """Raise InputError if one of the optional blocks needs a larger l than l_max."""
    for block in blocks:
        if _NEEDS_L[block] > l_max:
            raise InputError(f"the {block} block needs l_max >= {_NEEDS_L[block]}, got {l_max}")


def extra_tables(l_max: int, blocks: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of all enabled optional blocks.

    Returns
    -------
    index : ndarray of int64, shape (4, n_terms)
        Indices s of the factors of every monomial; the index ``n_angular`` stands for the constant 1.
    weights : ndarray, shape (n_terms, n_blocks)
        Coefficient of every monomial in every block.

    Raises
    ------
    InputError
        If a block needs a larger l than l_max.
    """
    check_blocks(l_max, blocks)
    one = n_angular(l_max)
    index, rows = [], []
    for b, block in enumerate(blocks):
        for coefficient, factors in block_terms(block):
            index.append(list(factors) + [one] * (4 - len(factors)))
            row = np.zeros(len(blocks))
            row[b] = coefficient
            rows.append(row)
    if not index:
        return np.zeros((4, 0), dtype=np.int64), np.zeros((0, 0))
    return np.array(index, dtype=np.int64).T.copy(), np.array(rows)
