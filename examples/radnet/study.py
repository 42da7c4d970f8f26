"""Materials, families of models, and training configurations of the study."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Material:
    """One crystal, its data, and DFPT results with the settings of the data.

    Attributes
    ----------
    name, formula : str
    species : tuple of str
    file : Path
        Extended xyz; the first structure is the ideal crystal, which no model is trained on.
    lattice : float, in Å
    to : float, in cm^-1
        Transverse optical mode.
    raman : float, in 1/Å
        ``d eps_yz / d u_x`` of the first species in the two-atom cell.
    cutoff, width, sigma : float, in Å
        Parameters of the radnet model.
    tnep : float, in Å
        Cutoff of the TNEP models.
    batch : int
        Structures per step of radnet.
    abinit : float, in s
        CPU time of ABINIT for P, Z* and eps_inf of one structure of the data: for c-BN with two atoms the mean of six
        calculations, for the others the lower end of what was seen.
    derivatives : Path, optional
        Structures of the data with d eps_inf/du of DFT, extended xyz with ``epsilon_gradient``.
    """

    name: str
    formula: str
    species: tuple[str, str]
    file: Path
    lattice: float
    to: float
    raman: float
    cutoff: float
    width: float
    sigma: float
    tnep: float
    batch: int
    abinit: float
    derivatives: Path | None = None


_BN = Material(
    name="c-BN, 8 atoms",
    formula="BN",
    species=("B", "N"),
    file=HERE.parent / "bn" / "bn8.extxyz",
    lattice=3.589,
    to=1061.137,
    raman=-1.71216258,
    cutoff=3.6,
    width=4.0,
    sigma=0.6,
    tnep=3.28,
    batch=4,
    abinit=120.0,
)
MATERIALS = {
    "gaas": Material(
        name="GaAs",
        formula="GaAs",
        species=("Ga", "As"),
        file=HERE / "gaas2.extxyz",
        lattice=5.600,
        to=268.8988,
        raman=-12.31404557,
        cutoff=5.0,
        width=5.0,
        sigma=0.8,
        tnep=5.0,
        batch=8,
        abinit=60.0,
    ),
    "bn2": replace(
        _BN,
        name="c-BN, 2 atoms",
        file=HERE / "bn2.extxyz",
        batch=8,
        abinit=53.8,
        derivatives=HERE / "bn2_derivatives.extxyz",
    ),
    "bn": _BN,
}
FAMILIES = {"radnet": ("radnet",), "TNEP": ("dipole", "polarizability"), "enthalpy": ("enthalpy",)}
"""Models of each family."""
OPTIONAL = {"paper": ("paper",)}
"""The polarizability by the paper's network, for the comparison in ``benchmarks/radnet.py``."""
SHARES = (0.12, 0.25, 0.5, 1.0)
"""Parts of the training structures for the learning curves."""
STEPS = {"radnet": 2500, "paper": 3000, "enthalpy": 2400}
"""Steps of the trainings that work on batches; TNEP is fitted to all structures at once."""
BATCH = {"enthalpy": 2, "paper": 4}
"""Structures per step where they do not depend on the material."""
FEWEST = 0.3
"""Parts of the training structures have fewer steps in proportion, but at least this share of them."""

_DATA = """[data]
files = ["{file}"]
validation_fraction = 0.0
test_fraction = 0.0

[model]
kind = "{family}"
species = {species}
seed = {seed}
"""
_OWN = {
    "radnet": """cutoff = {m.cutoff}
width = {m.width}
sigma = {m.sigma}

[optimizer]
epochs = {epochs}
batch = {m.batch}
early_stopping = 0

[output]
directory = "."
report_interval = {report}
checkpoint_interval = {report}
""",
    "paper": """targets = ["polarizability"]
architecture = "paper"
points = 15
cutoff = {m.cutoff}
width = {m.width}
sigma = {m.sigma}

[optimizer]
epochs = {epochs}
batch = {batch}
lr = 3e-4
early_stopping = 0

[output]
directory = "."
report_interval = {report}
checkpoint_interval = 2
""",
    "dipole": """radial_cutoff = {m.tnep}
angular_cutoff = {m.tnep}
n_max = [4, 7]
basis_size = [4, 4]
l_max = [4]
neurons = 10

[loss]
dipole = 0.3
born_charges = 1.0
weight_decay = 1e-6

[optimizer]
steps = 600
lr = 0.05
lbfgs_steps = 1200

[output]
directory = "."
report_interval = 300
""",
    "polarizability": """radial_cutoff = {m.tnep}
angular_cutoff = {m.tnep}
n_max = [3, 5]
basis_size = [4, 4]
l_max = [4]
neurons = 10

[loss]
weight_decay = 1e-2

[optimizer]
steps = 200
lbfgs_steps = 1000

[output]
directory = "."
report_interval = 300
""",
    "enthalpy": """cutoff = {enthalpy}
channels = 8
hidden = 32

[optimizer]
epochs = {epochs}
average = 0.99
polarizability = "ridge"

[output]
directory = "."
report_interval = {report}
""",
}


def folder_of(study: Path, key: str, seed: int) -> Path:
    """Return the folder of a material's data and models; those of other seeds than 0 have a folder of their own."""
    return study / (f"{key}-seed{seed}" if seed else key)


def configuration(material: Material, kind: str, file: Path, structures: int, share: float, seed: int = 0) -> str:
    """Return the configuration of one model as TOML.

    Parameters
    ----------
    material : Material
    kind : {"radnet", "paper", "dipole", "polarizability", "enthalpy"}
    file : path
        Training structures.
    structures : int
        Number of training structures.
    share : float
        What part of all training structures these are.
    seed : int, default 0
        Seed of the initial parameters and of the order of the structures.
    """
    steps = STEPS.get(kind, 0) * max(share, FEWEST)
    batch = BATCH.get(kind, material.batch)
    epochs = max(40, int(steps) // -(-structures // batch))
    family = "radnet" if kind == "paper" else kind
    head = _DATA.format(file=file, family=family, species=list(material.species), seed=seed).replace("'", '"')
    own = {
        "m": material,
        "batch": batch,
        "epochs": epochs,
        "report": max(1, epochs // 50),
        "enthalpy": max(material.tnep, 4.0),
    }
    return head + _OWN[kind].format(**own)
