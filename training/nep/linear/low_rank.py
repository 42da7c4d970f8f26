"""Least squares with products of angular sums of low rank: the step from a linear potential to a NEP.

With all products ``Q_l,KK'`` (:mod:`.basis`) the mean squared error is a quadratic function of the coefficients x,
``(x - x0)^T H (x - x0)`` plus a constant.  A NEP has the coefficients

``A_l,KK' = sum_n c_nK c_nK' a_nl``,  n = 1..rank,

of each species of the centre.  The error is minimised over c and a by the variable projection method (G. Golub and V.
Pereyra, SIAM J. Numer. Anal. 10, 413 (1973)) in the form of L. Kaufman, BIT 15, 49 (1975): for each c the a and the
coefficients of the radial sums follow from linear least squares, and c from Levenberg-Marquardt steps.  Only H and x0
are needed, so that the time does not depend on the number of structures.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from tnep_calc.progress import Progress

from .basis import NepBasis

log = logging.getLogger(__name__)

STARTS, FIRST_ITERATIONS = 6, 100
"""Number of starts, and of Levenberg-Marquardt steps after which only the best one is continued."""
ITERATIONS = 800
"""Largest number of further steps."""
NOISE = 0.1
"""Random part of the first coefficients, relative to functions of the same effect on the forces."""
TOLERANCE, PATIENCE = 1e-5, 10
"""The descent ends after this number of successive steps whose relative decrease of the squared error is below this."""
_LARGEST_DAMPING = 1e8


@dataclass(frozen=True)
class LowRank:
    """Coefficients of low rank.

    Attributes
    ----------
    c : ndarray, shape (n_species, rank, K)
        Coefficients of the angular functions of each species of the centre; rows have the norm one.
    products : ndarray, shape (n_species, rank, l_max)
        Coefficients a of the invariants ``q_nl``.
    radial : ndarray, shape (radial_size,)
        Coefficients of the radial sums.
    coefficients : ndarray, shape (size,)
        The same potential as coefficients of :func:`.basis.design`.
    """

    c: np.ndarray
    products: np.ndarray
    radial: np.ndarray
    coefficients: np.ndarray


def low_rank(basis: NepBasis, matrix: np.ndarray, vector: np.ndarray, rank: int) -> LowRank:
    """Return coefficients of low rank that minimise ``x^T matrix x - 2 x^T vector``.

    Parameters
    ----------
    basis : NepBasis
    matrix : ndarray, shape (size, size)
        Normal equations, positive definite (with the regularisation).
    vector : ndarray, shape (size,)
        Their right-hand side.
    rank : int
        Number of functions n.
    """
    return _Projection(basis, matrix, vector, rank).solve()


class _Projection:
    """The minimisation, in coefficients scaled by the square roots of the diagonal of the normal equations."""

    def __init__(self, basis, matrix, vector, rank):
        self.basis, self.rank = basis, rank
        self.scale = np.sqrt(np.diag(matrix))
        scaled = matrix / np.outer(self.scale, self.scale)
        self.factor = np.linalg.cholesky(scaled).T
        self.full = np.linalg.solve(scaled, vector / self.scale)
        self.target = self.factor @ self.full
        self.first, self.second = np.triu_indices(basis.functions)
        self.blocks = (len(basis.species), basis.l_max, len(self.first))
        self.product_scale = self.scale[basis.radial_size :].reshape(self.blocks)

    def solve(self) -> LowRank:
        """Return the result of the best of several starts."""
        progress = Progress(log, "steps of the descent to low rank", None)
        tried = [self._descend(self._start(seed), FIRST_ITERATIONS, progress) for seed in range(STARTS)]
        best = min(tried, key=lambda found: found[1])[0]
        c = self._descend(best, ITERATIONS, progress)[0]
        progress.close()
        return self._result(c, self._linear(c)[0])

    def _descend(self, c, iterations, progress):
        """Return c after Levenberg-Marquardt steps, and the squared error."""
        linear, residual, projector = self._linear(c)
        error, damping, small = residual @ residual, 1e-3, 0
        for _ in range(iterations):
            progress.advance()
            jacobian = self._jacobian(c, linear)
            jacobian -= projector @ (projector.T @ jacobian)
            gradient, curvature = jacobian.T @ residual, jacobian.T @ jacobian
            diagonal = np.diag(curvature) + 1e-12 * np.diag(curvature).max()
            while damping < _LARGEST_DAMPING:
                trial = c - np.linalg.solve(curvature + damping * np.diag(diagonal), gradient).reshape(c.shape)
                new = self._linear(trial)
                if new[1] @ new[1] < error:
                    break
                damping *= 4
            else:
                break
            decrease = 1 - new[1] @ new[1] / error
            c, (linear, residual, projector) = trial, new
            error, damping = residual @ residual, max(damping / 3, 1e-9)
            small = small + 1 if decrease < TOLERANCE else 0
            if small == PATIENCE:
                break
        return c, error

    def _start(self, seed):
        """Return the leading eigenvectors of the coefficients of all products, over all l, with noise."""
        species, l_max, _ = self.blocks
        functions = self.basis.functions
        of_products = (self.full / self.scale)[self.basis.radial_size :].reshape(self.blocks)
        rng = np.random.default_rng(seed)
        c = np.zeros((species, self.rank, functions))
        for kind in range(species):
            squares = self.product_scale[kind][:, self.first == self.second].mean(axis=0)
            size = 1 / np.sqrt(squares)  # products of functions of this size have similar effects on the forces
            candidates = []
            for l in range(l_max):
                symmetric = np.zeros((functions, functions))
                symmetric[self.first, self.second] = symmetric[self.second, self.first] = of_products[kind, l]
                values, vectors = np.linalg.eigh(symmetric / np.outer(size, size))
                candidates += [(abs(value), tuple(size * v)) for value, v in zip(values, vectors.T, strict=True)]
            candidates.sort(reverse=True)
            noise = NOISE * size * rng.standard_normal((self.rank, functions))
            leading = np.array([vector for _, vector in candidates])
            c[kind] = leading[np.arange(self.rank) % len(leading)] + noise
        return c

    def _columns(self, c):
        """Return the scaled coefficients x of each linear parameter as columns."""
        species, l_max, pairs = self.blocks
        radial = self.basis.radial_size
        columns = np.zeros((radial + species * l_max * pairs, radial + species * self.rank * l_max))
        columns[:radial, :radial] = np.eye(radial)
        rows = columns[radial:].reshape(species, l_max, pairs, -1)
        for kind in range(species):
            products = c[kind][:, self.first] * c[kind][:, self.second]
            for l in range(l_max):
                start = radial + kind * self.rank * l_max + l
                rows[kind, l, :, start : start + self.rank * l_max : l_max] = (products * self.product_scale[kind, l]).T
        return columns

    def _linear(self, c):
        """Return the linear parameters for given c, the residual, and an orthonormal basis of what they reach."""
        columns = self.factor @ self._columns(c)
        size = np.linalg.norm(columns, axis=0)
        size[size == 0] = 1.0
        basis, values, right = np.linalg.svd(columns / size, full_matrices=False)
        keep = values > 1e-10 * values[0]
        basis = basis[:, keep]
        linear = right[keep].T @ ((basis.T @ self.target) / values[keep]) / size
        return linear, basis @ (basis.T @ self.target) - self.target, basis

    def _jacobian(self, c, linear):
        """Return the derivative of the residual with respect to c for fixed linear parameters."""
        species, l_max, pairs = self.blocks
        radial, functions = self.basis.radial_size, self.basis.functions
        of_products = linear[radial:].reshape(species, self.rank, l_max)
        result = np.zeros((radial + species * l_max * pairs, species * self.rank * functions))
        rows = result[radial:].reshape(species, l_max, pairs, species, self.rank, functions)
        row = np.arange(pairs)
        for kind in range(species):
            for n in range(self.rank):
                change = np.zeros((pairs, functions))
                change[row, self.first] += c[kind, n, self.second]
                change[row, self.second] += c[kind, n, self.first]
                for l in range(l_max):
                    factors = of_products[kind, n, l] * self.product_scale[kind, l]
                    rows[kind, l, :, kind, n] = change * factors[:, None]
        return self.factor @ result

    def _result(self, c, linear):
        radial = self.basis.radial_size
        coefficients = self._columns(c) @ linear / self.scale
        norms = np.linalg.norm(c, axis=2, keepdims=True)
        products = linear[radial:].reshape(c.shape[0], self.rank, -1) * norms**2
        return LowRank(c / norms, products, linear[:radial] / self.scale[:radial], coefficients)
