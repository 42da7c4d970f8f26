"""Response models in plain torch: the reference for the native kernels, their fallback, and the models to train.

The contract of every model
---------------------------
A model is a scriptable ``torch.nn.Module``.  Its ``forward`` receives only the centres that it must evaluate and their
edges, so that periodic images (ASE) and ghost atoms (LAMMPS) are treated alike::

    forward(species, centers, offsets, neighbors, vectors, quantities, field) -> Dict[str, Tensor]

``species`` : int64, shape (n_atoms,)
    Index into the metadata's ``species`` for every atom, including ghost atoms.
``centers`` : int64, shape (n_centers,)
    Atom index of every centre; only centres contribute.
``offsets`` : int64, shape (n_centers + 1,)
    The edges of centre ``c`` are ``offsets[c]:offsets[c + 1]``.
``neighbors`` : int64, shape (n_edges,)
    Atom index of the neighbour of every edge.
``vectors`` : float64, shape (n_edges, 3), in Å
    ``r_neighbor - r_center``; edges longer than a cutoff are allowed and contribute nothing.
``quantities`` : List[str]
    Names of the requested quantities, from the table below; a name that the model does not give is an error.
``field`` : Optional[Tensor], float64, shape (3,) or (n_centers, 3), in V/Å
    One field for all centres, or one for each centre.
    NEP and radnet families: used only for ``field_forces`` and ``field_virials``; all else is evaluated at zero field.
    Enthalpy family: everything is evaluated at the field (None: zero).  Energies are those of the enthalpy H(R, E),
    and forces and virials are its derivatives.  Dipoles ``-dH/dE`` include the induced ones, and Born charges and the
    piezoelectric tensor are the derivatives of those dipoles.

All results are float64, whatever the arithmetic of the model.  For another precision the floating-point tensors of a
model and its attributes ``dtype`` are cast, except the tensors whose names are in the list ``always_double`` of the
model, if it has one (:func:`tnep_calc.artifact.precision.cast`).

=========================== ==================== ===================================================================
name                        shape                meaning (units are those of the artifact's metadata)
=========================== ==================== ===================================================================
``energies``                (n_centers,)         site energies, eV
``energy``                  ()                   sum of the site energies, eV
``forces``                  (n_atoms, 3)         minus the gradient of the energy, also for ghost atoms, eV/Å
``virial``                  (3, 3)               ``-sum_ij r_ij[a] dU/dr_ij[b]``, eV
``virials``                 (n_atoms, 3, 3)      the same per atom, attributed to the neighbour
``dipoles``, ``dipole``     (n_centers, 3), (3,) per centre, and their sum
``polarizabilities``        (n_centers, 3, 3)    per centre
``polarizability``          (3, 3)               sum over the centres
``hyperpolarizability``     (3, 3, 3)            ``-d3H/dE3`` (enthalpy models of third order in the field), e·Å^3/V^2
``born_charges``            (n_atoms, 3, 3)      [atom, dipole component, displacement component]
``polarizability_gradient`` (n_atoms, 3, 3, 3)   [atom, displacement component, i, j]
``field_forces``            (n_atoms, 3)         forces of the energy -E.mu from one backward pass, i.e.
                                                 ``sum_a field[a] * born_charges[:, a, :]``; for polarizability
                                                 models, forces of the energy -E.alpha.E / 2
``field_virials``           (n_atoms, 3, 3)      virials of the same energy (NEP and radnet)
``piezoelectric``           (3, 3, 3)            ``[i, a, b] = sum r[a] dP_i/dr[b]`` over edges, i.e. dP_i/d(strain ab),
                                                 not symmetrised in ab, e·Å
``descriptors``             (n_centers, dim)     scaled descriptors (NEP family)
=========================== ==================== ===================================================================
"""
