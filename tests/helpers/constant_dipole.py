"""A complete model family in one file: a constant dipole per species, fitted in closed form.

It uses only the shared code (configuration tables, splits, the artifact), and nothing of the other families.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np
import torch
from torch import Tensor

from tnep_calc.artifact import Artifact, Metadata, save_artifact
from tnep_calc.io.structures.read import read_structures
from tnep_calc.training.common.config import (
    BaseConfig,
    BaseDataConfig,
    BaseOutputConfig,
    EnsembleConfig,
    load,
    parse_tables,
)
from tnep_calc.training.common.splits import split_indices

KIND = "constant dipole"
UNITS = {"length": "A", "energy": "eV", "dipole": "e*A", "polarizability": "e*A^2/V"}


class ConstantDipole(torch.nn.Module):
    values: Tensor

    def __init__(self, values):
        super().__init__()
        self.register_buffer("values", torch.as_tensor(values, dtype=torch.float64))

    def forward(
        self,
        species: Tensor,
        centers: Tensor,
        offsets: Tensor,
        neighbors: Tensor,
        vectors: Tensor,
        quantities: List[str],
        field: Optional[Tensor],
    ) -> Dict[str, Tensor]:
        dipoles = self.values[species[centers]]
        charges = torch.zeros(species.shape[0], 3, 3, dtype=torch.float64)
        known = {"dipoles": dipoles, "dipole": dipoles.sum(0), "born_charges": charges}
        return {name: known[name] for name in quantities}


@dataclass(frozen=True)
class ModelConfig:
    kind: str
    species: tuple[str, ...]


@dataclass(frozen=True)
class NoKeys:
    pass


TABLES = {
    "data": BaseDataConfig,
    "model": ModelConfig,
    "loss": NoKeys,
    "optimizer": NoKeys,
    "output": BaseOutputConfig,
    "ensemble": EnsembleConfig,
}


def train(path, output=None, restart=False) -> Path:
    """Fit the constants of a configuration file and write ``model.pt``; see ``tnep_calc.training.run.train``."""
    config = load(path, output, lambda tables, base: BaseConfig(**parse_tables(TABLES, tables), base=Path(base)))
    structures, _ = read_structures(config.data_files)
    chosen = [structures[k] for k in split_indices(structures, config)["train"]]
    counts = np.array([[s.symbols.count(symbol) for symbol in config.model.species] for s in chosen], dtype=float)
    values = np.linalg.lstsq(counts, np.array([s.dipole for s in chosen]), rcond=None)[0]
    config.directory.mkdir(exist_ok=True)
    metadata = Metadata(
        family="constant",
        kind=KIND,
        quantities=("dipoles", "dipole", "born_charges"),
        species=config.model.species,
        cutoff=2.0,
        dtype="float64",
        units=UNITS,
    )
    save_artifact(Artifact(ConstantDipole(values), metadata), config.directory / "model.pt")
    return config.directory
