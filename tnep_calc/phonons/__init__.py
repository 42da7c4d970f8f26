"""Lattice dynamics with response: Gamma modes, LO-TO splitting."""
