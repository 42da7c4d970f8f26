"""What the study trains: materials, families of models and their configurations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Material:
    """One crystal, its data and what DFPT gives for it with the settings of the data.

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
        ``d eps_yz / d u_x`` of the first species, of the two-atom cell.
    cutoff, width, sigma : float, in Å
        Of the radnet model.
    tnep : float, in Å
        Cutoff of the TNEP models.
    batch : int
        Structures per step of radnet: of about 16 atoms.
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


MATERIALS = {
    "gaas": Material(
        "GaAs", "GaAs", ("Ga", "As"), HERE / "gaas2.extxyz", 5.600, 268.8988, -12.31404557, 5.0, 5.0, 0.8, 5.0, 8
    ),
    "bn": Material(
        "c-BN",
        "BN",
        ("B", "N"),
        HERE.parent / "bn" / "bn8.extxyz",
        3.589,
        1061.137,
        -1.71216258,
        3.6,
        4.0,
        0.6,
        3.28,
        4,
    ),
}
FAMILIES = {"radnet": ("radnet",), "TNEP": ("dipole", "polarizability"), "enthalpy": ("enthalpy",)}
"""Models of each family."""
SHARES = (0.12, 0.25, 0.5, 1.0)
"""Parts of the training structures for the learning curves."""

_DATA = """[data]
files = ["{file}"]
validation_fraction = 0.0
test_fraction = 0.0

[model]
kind = "{kind}"
species = {species}
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


def configuration(material: Material, kind: str, file: Path, structures: int) -> str:
    """Return the configuration of one model as TOML.

    Parameters
    ----------
    material : Material
    kind : {"radnet", "dipole", "polarizability", "enthalpy"}
    file : path
        Training structures.
    structures : int
        Their number: all trainings of a family have about the same number of steps.
    """
    per_epoch = -(-structures // (material.batch if kind == "radnet" else 2))
    epochs = max(40, (4000 if kind == "radnet" else 2400) // per_epoch)
    head = _DATA.format(file=file, kind=kind, species=list(material.species)).replace("'", '"')
    own = {"m": material, "epochs": epochs, "report": max(1, epochs // 50), "enthalpy": max(material.tnep, 4.0)}
    return head + _OWN[kind].format(**own)
