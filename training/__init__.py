"""Training of NEP potentials, dipole and polarizability models by gradients on precomputed moments."""
