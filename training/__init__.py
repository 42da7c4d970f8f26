"""Training of NEP potentials, dipole and polarizability models by gradients on precomputed moments.

Where to look, in the order of a run (``tnep train`` enters at the first of each row):

=====================  ================================================================================================
configuration          `tables` (what all families share), `config`, `device`; `architecture` of an existing model
data                   `preparation`, `splits`, `edges`, `features`, `groups`, `moments`, `coverage`, `blocks`, `pool`
model                  `model`, `centres`, `invariants`, `native` kernels, `scaling`; `initial` parameters, or a `start`
loop                   `trainer`, `loop`, `objective`, `gradients`, `methods`, `soap`, `checkpoint`, `watching`
several models         `ensemble` of `members`, trained together by `joint`, with a `rendezvous` of their line searches
results                `outputs`, `run_files`, `former`, `comparison`, `parity_file`, `report`, `html_report`
beside                 `selection` of structures for the next calculations
=====================  ================================================================================================

Rooms of their own: ``data`` (checks before training), ``gpumd`` (its folders, and the evolution strategy) and
``enthalpy`` (the family of the electric enthalpy: its configuration, frames, loop, ensemble and outputs).
"""
