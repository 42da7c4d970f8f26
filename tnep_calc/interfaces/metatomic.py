"""Models for the programs that read metatomic's format (ASE, TorchSim, LAMMPS, i-PI, ... through metatomic).

The exported file has the outputs ``energy`` (eV; forces and stress follow from its gradient), ``tnep::dipole`` (e·Å per
cell, components xyz) and ``tnep::polarizability`` (e·Å²/V per cell).  It calls the native kernels: a program in Python
imports ``tnep_calc.ops`` and calls ``load()`` before it loads the file.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from ase.data import atomic_numbers

from .. import __version__
from ..artifact import Artifact
from ..calculators.loading import load_model
from ..errors import InputError
from ..io.files import atomic_output

ENERGY = ("energy", "forces", "virial")
"""Quantities behind the output ``energy``."""


def export_metatomic(path, energy=None, dipole=None, susceptibility=None, *, enthalpy=None) -> Path:
    """Write models as one file of metatomic.

    Parameters
    ----------
    path : str or path
        File to write, ``*.pt``.
    energy, dipole, susceptibility, enthalpy : str, path or Artifact
        Models as for :class:`.TNEPCalculator`; `enthalpy` gives all three.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If metatomic is not installed, no model is given, or a model is one of N*chi, which needs the volume.

    Examples
    --------
    >>> from tnep_calc.interfaces.metatomic import export_metatomic
    >>> export_metatomic("metatomic.pt", energy="energy.pt", dipole="dipole.pt")  # doctest: +SKIP
    """
    try:
        from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput

        from ._metatomic_module import Exported
    except ImportError as error:
        raise InputError("metatomic is not installed: pip install metatomic-torch") from error
    given = {"energy": energy, "dipole": dipole, "susceptibility": susceptibility, "enthalpy": enthalpy}
    models: list[Artifact] = [
        load_model(source, role, torch.device("cpu"), None, None)
        for role, source in given.items()
        if source is not None
    ]
    if not models:
        raise InputError("metatomic needs at least one model: energy=, dipole=, susceptibility= or enthalpy=")
    names = [[n for n in (*ENERGY, "dipole", "polarizability") if n in m.metadata.quantities] for m in models]
    if any(
        "polarizability" in n and m.metadata.units["polarizability"] == "N*chi"
        for n, m in zip(names, models, strict=True)
    ):
        raise InputError("a model of N*chi cannot be exported: export its nep.txt with another --unit")
    species = [[atomic_numbers[symbol] for symbol in model.metadata.species] for model in models]
    cutoff = max(model.metadata.cutoff for model in models)
    units = {"energy": "eV", "dipole": "e*A", "polarizability": "e^2*A^2/eV"}
    outputs = {
        "energy" if name == "energy" else f"tnep::{name}": ModelOutput(unit=unit, sample_kind="system")
        for name, unit in units.items()
        if any(name in own for own in names)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = AtomisticModel(
            Exported([model.module for model in models], names, species, cutoff).eval(),
            ModelMetadata(name="tnep_calc", description=f"written by tnep_calc {__version__}"),
            ModelCapabilities(
                outputs=outputs,
                atomic_types=sorted({number for numbers in species for number in numbers}),
                interaction_range=cutoff,
                length_unit="angstrom",
                supported_devices=["cpu", "cuda"],
                dtype="float64",
            ),
        )
        with atomic_output(path, force=True) as temporary:
            wrapped.save(str(temporary))
    return Path(path)
