"""Force constants of second and third order through any potential, and the lattice thermal conductivity.

===================  ================================================================================================
`polymlp`            polynomial potentials of pypolymlp: fit to displaced supercells, ASE calculator
`potential`          a potential by its file, of which worker processes make a calculator
`accuracy`           training and test supercells, errors of a potential on them
`evaluation`         energies and forces of many supercells: parallel, with progress, resumed after a kill
`force_constants`    displacements -> forces -> fc2 and fc3 (phono3py objects and files)
`conductivity`       thermal conductivity and linewidths
`convergence`        all of it against the number of supercells in the training set
===================  ================================================================================================

phono3py, symfc and pypolymlp do the physics.  Displaced supercells are read by :mod:`tnep_calc.io.supercells`.
"""
