"""Radnet models as files: the scripted model equals the module, and the calculator takes it in three roles."""

import numpy as np
import pytest

from helpers.random_nep import random_nep
from helpers.random_radnet import SPECIES, displaced, random_artifact, random_sites
from tnep_calc import TNEPCalculator
from tnep_calc.artifact import artifact_from_radnet, export_radnet, read_metadata
from tnep_calc.errors import InputError

pytestmark = pytest.mark.slow

NAMES = (
    "dipole",
    "polarization",
    "born_effective_charges",
    "polarizability",
    "dielectric_tensor",
    "susceptibility",
    "polarizability_gradient",
    "piezoelectric_tensor",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("radnet") / "model.pt"
    export_radnet(random_sites(), SPECIES, path, {"source": "random numbers"})
    return path


def test_file_equals_the_module(file):
    meta = read_metadata(file)
    assert (meta.family, meta.kind, meta.species, meta.dtype) == ("radnet", "radnet", SPECIES, "float64")
    assert meta.provenance == {"source": "random numbers"} and meta.cutoff == 3.4
    atoms = displaced(0, (2, 1, 1))
    memory, disk = (TNEPCalculator(radnet=x) for x in (random_artifact(), file))
    assert sorted(memory.implemented_properties) == sorted(NAMES)
    for name in NAMES:
        assert np.abs(memory.get_property(name, atoms) - disk.get_property(name, atoms)).max() < 1e-13


def test_a_file_of_the_published_architecture(tmp_path):
    export_radnet(random_sites(architecture="paper"), SPECIES, tmp_path / "model.pt")
    atoms = displaced(0)
    memory, disk = (TNEPCalculator(radnet=x) for x in (random_artifact(architecture="paper"), tmp_path / "model.pt"))
    for name in ("dipole", "polarizability"):
        assert np.allclose(memory.get_property(name, atoms), disk.get_property(name, atoms), rtol=1e-12, atol=1e-13)


def test_roles(file):
    """One file serves as dipole and susceptibility model, next to a potential and in a field."""
    atoms = displaced(1, (2, 1, 1))
    whole = TNEPCalculator(radnet=file, energy=random_nep())
    parts = TNEPCalculator(dipole=file, susceptibility=file, energy=random_nep())
    for name in ("energy", *NAMES[:-1]):
        assert np.allclose(whole.get_property(name, atoms), parts.get_property(name, atoms), rtol=0, atol=1e-13)
    parts.efield = [0.0, 0.1, 0.0]
    induced = parts.get_property("dipole", atoms) - whole.get_property("dipole", atoms)
    assert np.allclose(induced, 0.1 * whole.get_property("polarizability", atoms)[:, 1], rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="leave out dipole="):
        TNEPCalculator(radnet=file, dipole=file)
    with pytest.raises(InputError, match="pass it as radnet= or dipole= or susceptibility="):
        TNEPCalculator(energy=file)
    with pytest.raises(InputError, match="radnet= got a model of kind 'dipole': pass it as dipole="):
        TNEPCalculator(radnet=random_nep("dipole"))


def test_model_of_one_target():
    artifact = random_artifact(targets=("dipole",))
    atoms = displaced(2)
    found = TNEPCalculator(dipole=artifact).get_property("born_effective_charges", atoms)
    both = TNEPCalculator(radnet=random_artifact()).get_property("born_effective_charges", atoms)
    assert np.abs(found - both).max() < 1e-13
    with pytest.raises(InputError, match="model of the polarizability, which this radnet model was not trained for"):
        TNEPCalculator(susceptibility=artifact)


def test_ensemble_has_error_bars(file):
    calculator = TNEPCalculator(radnet=[file, random_artifact(seed=1)])
    atoms = displaced(3)
    assert calculator.get_uncertainty("dielectric_tensor", atoms).shape == (3, 3)
    assert calculator.get_uncertainty("dipole", atoms).max() > 0


def test_species_must_fit():
    with pytest.raises(InputError, match="2 species, got 1"):
        artifact_from_radnet(random_sites(), ("B",))
