"""Separable natural evolution strategy (SNES) with GPUMD's definitions.

Schaul, Glasmachers and Schmidhuber, GECCO 2011, p. 845; per-species ranking as in Song et al., Nat. Commun. 15, 10208
(2024).  The population is ranked for every species, by the losses of the structures that have the species.  A parameter
is updated by the ranking of its species, an output bias by the ranking over all structures.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def utilities(population: int) -> Tensor:
    """Return the utility of each rank, best first: shape (population,), float64, with sum 0.

    ``u_p = max(0, ln(P / 2 + 1) - ln(p + 1))`` normalised to sum 1, minus ``1 / P`` (p from 0).
    """
    rank = torch.arange(population, dtype=torch.float64)
    raw = (math.log(population / 2 + 1) - torch.log(rank + 1)).clamp(min=0)
    return raw / raw.sum() - 1 / population


def sigma_rate(n: int) -> float:
    """Return the learning rate of the widths, ``(3 + ln n) / (5 sqrt n) / 2`` for n parameters per species."""
    return (3 + math.log(n)) / (5 * math.sqrt(n)) / 2


class SNES:
    """Search distribution: independent normal distributions with means mu and widths sigma.

    It is always on the CPU, so a seed gives the same populations whatever device computes the losses.

    Parameters
    ----------
    labels : Tensor of int64, shape (n_parameters,)
        Species of each parameter, `n_species` for output biases.
    n_species : int
    population : int
    sigma0 : float
        Initial width.
    seed : int
        Seed of the initial means (uniform between -1 and 1) and of all populations.

    Attributes
    ----------
    mu, sigma : Tensor of float32, shape (n_parameters,)
    """

    def __init__(self, labels: Tensor, n_species: int, population: int, sigma0: float, seed: int):
        self.labels, self.n_species, self.population = labels, n_species, population
        self.generator = torch.Generator().manual_seed(seed)
        n = len(labels)
        self.per_species = n // n_species
        self.mu = 2 * torch.rand(n, generator=self.generator) - 1
        self.sigma = torch.full((n,), float(sigma0))
        self._utilities = utilities(population).to(torch.float32)
        self._rate = sigma_rate(self.per_species)
        self._member = torch.nn.functional.one_hot(labels, n_species + 1)[:, :n_species].to(torch.float32)

    def ask(self) -> tuple[Tensor, Tensor]:
        """Draw a population: normal deviates s and individuals ``mu + sigma s``, each (population, n_parameters)."""
        s = torch.randn(self.population, len(self.mu), generator=self.generator, device=self.mu.device)
        return s, self.mu + self.sigma * s

    def regularisation(self, individuals: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean absolute value and the root mean square of parameters by species and over all.

        Output biases are left out.  Sums over a species are divided by ``n_parameters // n_species``, those over all
        species (the last column) by ``n_parameters``.

        Parameters
        ----------
        individuals : Tensor, shape (population, n_parameters)

        Returns
        -------
        l1, l2 : Tensor, shape (population, n_species + 1)
        """
        norms = []
        for values in (individuals.abs(), individuals.square()):
            by_species = values @ self._member
            over_all = by_species.sum(dim=1, keepdim=True) / len(self.mu)
            norms.append(torch.cat([by_species / self.per_species, over_all], dim=1))
        return norms[0], norms[1].sqrt()

    def tell(self, s: Tensor, losses: Tensor) -> None:
        """Move the distribution: ``mu += sigma <u s>``, ``sigma = min(1, sigma exp(rate <u (s^2 - 1)>))``.

        Parameters
        ----------
        s : Tensor, shape (population, n_parameters)
            Deviates of the population.
        losses : Tensor, shape (population, n_species + 1)
            Loss of each individual by species, and over all structures.
        """
        order = torch.argsort(losses, dim=0, stable=True)
        u = torch.empty_like(losses)
        u.scatter_(0, order, self._utilities[:, None].expand_as(losses).contiguous())
        weights = u[:, self.labels]
        gradient_mu = (weights * s).sum(dim=0)
        gradient_sigma = (weights * (s * s - 1)).sum(dim=0)
        self.mu = self.mu + self.sigma * gradient_mu
        self.sigma = (self.sigma * torch.exp(self._rate * gradient_sigma)).clamp(max=1.0)

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to resume exactly."""
        return {"mu": self.mu, "sigma": self.sigma, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a state that :meth:`state` has returned."""
        self.mu, self.sigma = state["mu"], state["sigma"]
        self.generator.set_state(state["generator"])
