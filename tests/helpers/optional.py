"""Reference data that the repository may not contain: their purpose and source, and whether they are present.

They are read from ``data/`` of a folder ``shared`` next to the checkout, under the names given here.
"""

from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared"
_GPUMD, _TUTORIALS = "github.com/brucefan1983/GPUMD (GPL-3.0)", "github.com/brucefan1983/GPUMD-Tutorials (GPL-3.0)"
_ALLEGRO = "github.com/mir-group/allegro-pol (MIT, several MB)"
_PHONOPY = "examples of phonopy (BSD-3-Clause)"
OPTIONAL = {
    "tnep/oracle": ("outputs of calorine for published models, which are GPL-3.0", _GPUMD),
    "tnep/qm7b": ("dipoles and polarizabilities of molecules, with trained models", _TUTORIALS),
    "tnep/atomic_dipole_water": ("a training folder with dipoles of atoms", _GPUMD),
    "tnep/atomic_polarizability_water": ("a training folder with polarizabilities of atoms", _GPUMD),
    "tnep/pbte": ("a training folder of a potential", _GPUMD),
    "tnep/water_ir": ("a potential, a dipole model and the published spectrum of water", _TUTORIALS),
    "tnep/gpumd_fixtures": ("models of BaZrO3, BaTiO3, carbon and water", _GPUMD),
    "tnep/gpumd_tests": ("models of versions 3 and 4", _GPUMD),
    "tnep/potentials": ("potentials of carbon, silicon and 16 metals", _GPUMD),
    "enthalpy": ("labels of SiO2 and BaTiO3, and outputs of Quantum ESPRESSO", _ALLEGRO),
    "phonons/NaCl-phonopy": ("force constants and Born charges", _PHONOPY),
    "phonons/MgO": ("force constants and Born charges", _PHONOPY),
    "phonons/SnO2": ("force constants and Born charges", _PHONOPY),
    "phonons/TiO2-anatase": ("force constants and Born charges", _PHONOPY),
    "phonons/ZnTe": ("force constants and Born charges", _PHONOPY),
    "phonons/SiO2-quartz": ("modes, Raman tensors and spectra", "github.com/skelton-group/Phonopy-Spectroscopy (MIT)"),
    "phonons/TiO2-ramannoodle": ("dielectric tensors of displaced geometries", "github.com/wolearyc/ramannoodle (MIT)"),
    "phonons/nacl": ("supercells with forces", "examples of phono3py (BSD-3-Clause)"),
}
"""Name -> description and source."""


def entry_of(name):
    """Return the name in ``OPTIONAL`` that a file or folder belongs to."""
    found = [key for key in OPTIONAL if name == key or name.startswith(key + "/")]
    if not found:
        raise KeyError(f"'{name}' is not among the optional data: add it to tests/helpers/optional.py, or ship it")
    return found[0]


def absent(name):
    """Return why a file or folder cannot be used, or None if it is present."""
    key = entry_of(name)
    if (SHARED / "data" / name).exists():
        return None
    what, source = OPTIONAL[key]
    return f"optional data {key} are absent: {what}; from {source}"
