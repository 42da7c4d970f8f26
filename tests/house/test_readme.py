"""The Python blocks of the README and of the pages in docs/ run unchanged, in the order of each page."""

import re

import numpy as np
import pytest
from ase.build import bulk

from helpers.paths import ROOT
from helpers.random_enthalpy import CUTOFF, RADIAL, SPECIES, random_sites, silica
from helpers.random_nep import random_nep
from helpers.random_radnet import random_sites as random_radnet_sites
from tnep_calc import export_artifact
from tnep_calc.artifact import artifact_from_radnet, export_enthalpy, save_artifact

pytestmark = pytest.mark.slow

KINDS = {"energy": "potential", "dipole": "dipole", "polarizability": "polarizability"}


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(page)]


def files(folder):
    """Write models under the names that the pages use."""
    for name, kind in KINDS.items():
        export_artifact(random_nep(kind), folder / f"{name}.pt")
    (folder / "quartz").mkdir()
    export_enthalpy([random_sites()], SPECIES, CUTOFF, RADIAL, 2.0, folder / "quartz" / "model.pt")
    (folder / "gaas").mkdir()
    save_artifact(artifact_from_radnet(random_radnet_sites(), ("Ga", "As")), folder / "gaas" / "model.pt")
    _write_phonons(folder / "phonopy_params.yaml")
    for k in range(1, 6):
        member = folder / "dip" / f"member{k}"
        member.mkdir(parents=True)
        export_artifact(random_nep("dipole", seed=k), member / "model.pt")


def _write_phonons(path):
    """Write a rock salt crystal with springs between its two sublattices."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    crystal = bulk("NaCl", "rocksalt", a=5.6)
    symbols, places = crystal.get_chemical_symbols(), crystal.get_scaled_positions()
    atoms = PhonopyAtoms(symbols=symbols, scaled_positions=places, cell=crystal.cell.array)
    phonon = Phonopy(atoms, np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    spring = 3.0 * np.eye(3)
    phonon.force_constants = np.array([[spring, -spring], [-spring, spring]])
    phonon.nac_params = {"born": [np.eye(3), -np.eye(3)], "dielectric": 2.3 * np.eye(3), "factor": 14.4}
    phonon.save(path, settings={"force_constants": True})


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_python_blocks_run(page, tmp_path, monkeypatch):
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    for text in blocks(page):
        if "bulk(" not in text:  # the page uses atoms of the reader
            names["atoms"] = silica() if "quartz" in text else bulk("BN", "zincblende", a=3.589)
        text = re.sub(r"steps=\d+", "steps=2", re.sub(r"\.run\(\d+\)", ".run(5)", text))
        exec(compile(text, f"{page.name}", "exec"), names)


def test_the_readme_has_python():
    assert ROOT / "README.md" in PAGES
