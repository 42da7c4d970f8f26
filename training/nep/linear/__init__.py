"""A NEP by linear least squares, without gradient descent, for data that need small errors rather than many functions.

The energy is taken as linear in the descriptor, and the descriptor's coefficients are chosen for the labels: least
squares with all products of angular sums, then their best approximation of low rank.  The result is an ordinary NEP
with a single neuron per species in its linear range.

=============  ========================================================================================================
`basis`        the functions: energies, forces and virials of a structure for each linear coefficient
`equations`    normal equations of the structures, regularisation, constants of the species
`low_rank`     from all products of angular sums to the invariants of a NEP
`fit`          the parameters of the NEP
`supercells`   the fit for ``tnep fc --potential nep``
`start`        the fit as initial parameters of ``tnep train``
=============  ========================================================================================================
"""
