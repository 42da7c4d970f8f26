"""Training of NEP and TNEP models by gradients on precomputed moments.

A descriptor of this family is linear in its coefficients, so the sums over neighbours (the moments) are computed once,
and a training step consists of dense products over centres.  In the order of a run:

=============  ========================================================================================================
configuration  `config` and its `rules`; `architecture` of an existing model for fine-tuning
data           `data`: structures to parts; `edges`, `features` of edges, `slots` of neighbour species, `moments` (with
               `native` kernels), `coverage` of species and pairs; `parts` are blocks of moments, `shared_parts` those
               of several models
model          `model` on moments, `forward` (descriptors, networks, labels) with `invariants` and `scaling`;
               `start`: `initial` parameters at random, a `linear` fit, or `fine_tuning` from a ``nep.txt``
loop           `loss` and its gradient, `trainer`, `evaluation` for the progress lines; `joint` training of several
               models, with their line searches in `lockstep`
results        `precision` (what float32 adds to the errors), `run`
=============  ========================================================================================================
"""
