"""Training of all model families, from a configuration file or a GPUMD folder to a model and a report.

=============  ========================================================================================================
``run``        ``train(path)``: reads ``model.kind``, finds the family in ``tnep_calc.families``, and lets it train
``common``     what the families share: tables of a configuration, labels, splits, the training loop, optimizers,
               checkpoints, the output directory, storage of large arrays, parity tables, ensembles
``nep``        NEP and TNEP by gradients on precomputed moments
``enthalpy``   the electric enthalpy H(R, E)
``radnet``     convolutions of the voxels around each atom, for dipole and polarizability
``gpumd``      GPUMD's training folders (``nep.in``, ``train.xyz``) with the gradient engine; ``gpumd.snes`` is GPUMD's
               evolution strategy
``results``    predictions of any model against labels, and reports about runs
=============  ========================================================================================================

Every family has the same files: ``config`` (tables of the configuration file), ``data`` (from structures to what a
step needs), ``trainer`` (the state of a run and one step) and ``run`` (from configuration to files).  ``common``
imports no family, and families do not import each other.
"""
