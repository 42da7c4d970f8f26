"""Training of NEP and TNEP models by gradients on precomputed moments."""
