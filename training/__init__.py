"""Training of all model families, from a configuration file or a GPUMD folder to a model and a report.

=============  ========================================================================================================
``run``        ``train(path)``: reads ``model.kind``, and calls the ``train`` of that family (``tnep_calc.families``)
``common``     shared by the families: tables of a configuration and ranges of its numbers, reading, labels, splits, the
               training loop, trainers in epochs and their runs, several processes, optimizers, checkpoints, the output
               directory, storage of large arrays, parity tables, ensembles
``nep``        NEP and TNEP by gradients on precomputed moments
``enthalpy``   the electric enthalpy H(R, E)
``radnet``     convolutional networks on voxels around each atom, for dipole and polarizability
``gpumd``      GPUMD's training folders (``nep.in``, ``train.xyz``) with the gradient engine; ``gpumd.snes`` is GPUMD's
               evolution strategy
``results``    predictions of any model against labels, and reports about runs
=============  ========================================================================================================

Every family has the same files: ``config`` (tables of the configuration file), ``data`` (from structures to the input
of a training step), ``trainer`` (the state of a run and one step) and ``run`` (from configuration to files).
``common`` imports no family, and families do not import each other.
"""
