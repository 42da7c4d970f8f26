"""Runs whose spectra are known in closed form."""

import numpy as np
from scipy.linalg import expm

from tnep_calc.units import INV_CM_TO_RAD_PER_FS


class Langevin:
    """A Brownian oscillator: position and damping (width of the band) in cm^-1, variance of the position."""

    def __init__(self, position, width, variance=1.0):
        self.position, self.width, self.variance = position, width, variance
        self.w0, self.gamma = position * INV_CM_TO_RAD_PER_FS, width * INV_CM_TO_RAD_PER_FS

    def correlation(self, t):
        shifted = np.sqrt(self.w0**2 - 0.25 * self.gamma**2)
        envelope = self.variance * np.exp(-0.5 * self.gamma * t)
        return envelope * (np.cos(shifted * t) + 0.5 * self.gamma / shifted * np.sin(shifted * t))

    def run(self, n, dt, components, rng):
        """Return exact samples of position and velocity, each of shape (n, components)."""
        step = expm(dt * np.array([[0.0, 1.0], [-(self.w0**2), -self.gamma]]))
        stationary = self.variance * np.diag([1.0, self.w0**2])
        kick = np.linalg.cholesky(stationary - step @ stationary @ step.T)
        noise = kick @ rng.normal(size=(n, 2, components))
        states = np.empty((n, 2, components))
        state = np.sqrt(stationary) @ rng.normal(size=(2, components))
        for k in range(n):
            state = step @ state + noise[k]
            states[k] = state
        return states[:, 0], states[:, 1]

    def response(self, wavenumber):
        """eps - eps_inf per fluctuation factor."""
        w, w0, g = np.asarray(wavenumber), self.position, self.width
        return self.variance * w0**2 / (w0**2 - w**2 - 1j * g * w)


def two_bands():
    """Return two oscillators, and dipole and current of a run of 60 ps, sampled every 1 fs, in three directions."""
    oscillators = [Langevin(600.0, 40.0, 0.8), Langevin(1650.0, 25.0, 0.3)]
    rng = np.random.default_rng(17)
    runs = [oscillator.run(60_000, 1.0, 3, rng) for oscillator in oscillators]
    return oscillators, sum(run[0] for run in runs), sum(run[1] for run in runs)
