"""Force constants of second and third order from any potential, and the lattice thermal conductivity.

===================  ================================================================================================
`polymlp`            polynomial potentials of pypolymlp: parameters, files, ASE calculator
`polymlp_fit`        their fit to displaced supercells, resumed after a kill
`potential`          a potential given by its file, from which worker processes make a calculator
`accuracy`           training and test supercells, errors of a potential on them
`evaluation`         energies and forces of many supercells, in parallel, with progress, resumed after a kill
`force_constants`    displacements -> forces -> fc2 and fc3 (phono3py objects and files)
`conductivity`       thermal conductivity and linewidths
`convergence`        force constants and conductivity against the number of supercells in the training set
===================  ================================================================================================

The calculations are done by phono3py, symfc and pypolymlp.  Displaced supercells are read by
:mod:`tnep_calc.io.supercells`.
"""
