"""LAMMPS checks a model file before it is loaded, and warns about structures outside the training data."""

import numpy as np
import pytest

from helpers.archives import HOSTILE, write_hostile, write_setstate
from helpers.lammps_run import crystal, refusals, run, script, types_of, write_data
from helpers.paths import ROOT
from helpers.random_nep import random_nep
from tnep_calc import TNEPCalculator, export_artifact
from tnep_calc.artifact.training_range import TrainingRange
from tnep_calc.errors import ModelFileError
from tnep_calc.io.structures.extxyz import from_atoms

pytestmark = pytest.mark.slow

START = """units metal
atom_style atomic
region box block 0 8 0 8 0 8
create_box 2 box
mass * 10
pair_style tnep
"""


def test_both_programs_read_the_same_rules():
    source = (ROOT / "lammps_plugin" / "src" / "shared" / "code_rules.cpp").read_text()
    assert '#include "artifact/code_rules.inc"' in source
    assert (ROOT / "tnep_calc" / "artifact" / "code_rules.inc").is_file()


def test_code_that_does_more_than_calculate_is_refused_as_in_python(tmp_path):
    cases, expected = {}, {}
    for k, what in enumerate(HOSTILE):
        write_hostile(tmp_path / f"h{k}.pt", what)
        cases[what] = f"{START}pair_coeff * * {tmp_path}/h{k}.pt B N\n"
        with pytest.raises(ModelFileError) as caught:
            TNEPCalculator(energy=tmp_path / f"h{k}.pt")
        expected[what] = str(caught.value).split("contains ")[1].split(",")[0]
    target = tmp_path / "written"
    write_setstate(tmp_path / "setstate.pt", target)
    cases["setstate"] = f"{START}pair_coeff * * {tmp_path}/setstate.pt B N\n"
    export_artifact(random_nep(), tmp_path / "good.pt")
    cases["good"] = f"{START}pair_coeff * * {tmp_path}/good.pt B N\n"
    answers = refusals(tmp_path, cases)
    for what in HOSTILE:
        assert answers[what] and f"contains {expected[what]}, which no model of tnep_calc has" in answers[what], answers
    assert "contains a method __" in answers["setstate"] and not target.exists()
    assert answers["good"] is None


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_structures_outside_the_training_data_are_a_warning(tmp_path, ranks):
    known = TrainingRange.of([from_atoms(crystal(seed=k), f"{k}") for k in range(8)], ("B", "N"), 5.0)
    export_artifact(random_nep(), tmp_path / "m.pt", training_range=known.table())
    body = "pair_style tnep\npair_coeff * * m.pt B N\nthermo_style custom step pe\nrun 3\n"
    inside, outside = crystal(seed=0), crystal(seed=0)
    outside.set_cell(0.93 * outside.cell.array, scale_atoms=True)
    write_data(tmp_path / "data.txt", inside, types_of(inside))
    assert "outside the range" not in run(tmp_path, script(body), ranks).text
    write_data(tmp_path / "data.txt", outside, types_of(outside))
    text = run(tmp_path, script(body), ranks).text
    edges = TNEPCalculator(energy=tmp_path / "m.pt", skin=0.0)._neighbor_list.edges(
        outside.positions, outside.cell.array, outside.pbc
    )
    expected = known.outside(edges, outside.get_chemical_symbols())
    words = expected.words.replace("Å", "A")
    assert text.count("outside the range of the training data") == 1
    assert f"{expected.atoms} of 8 atoms are outside the range of the training data ({words}) on step 0" in text


def test_models_of_a_field_watch_their_training_data(tmp_path):
    known = TrainingRange.of([from_atoms(crystal(seed=k), f"{k}") for k in range(8)], ("B", "N"), 5.0)
    export_artifact(random_nep(), tmp_path / "m.pt")
    export_artifact(random_nep("dipole"), tmp_path / "mu.pt", training_range=known.table())
    atoms = crystal(seed=0)
    atoms.set_cell(0.93 * atoms.cell.array, scale_atoms=True)
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = "pair_style tnep\npair_coeff * * m.pt B N\nfix F all tnep/field 0 0 0.01 dipole mu.pt B N\nrun 3\n"
    text = run(tmp_path, script(body), 2).text
    assert text.count("Fix tnep/field dipole: mu.pt: 8 of 8 atoms are outside the range") == 1


def test_a_minimization_in_single_precision_names_the_remedy(tmp_path):
    export_artifact(random_nep(), tmp_path / "m.pt", dtype="float32")
    atoms = crystal()
    write_data(tmp_path / "data.txt", atoms, types_of(atoms))
    body = "pair_style tnep\npair_coeff * * m.pt B N\nrun 0\n"
    assert "linesearch" not in run(tmp_path, script(body)).text
    found = run(tmp_path, script(body + "minimize 0 1e-3 3 10\n")).text
    assert "'linesearch alpha is zero'" in found and "use 'pair_style tnep precision double'" in found


def test_the_numbers_of_lammps_are_those_of_python():
    """The powers and tolerances stand in both languages; a change of one must not be forgotten in the other."""
    from tnep_calc.artifact import training_range as python

    source = (ROOT / "lammps_plugin" / "src" / "shared" / "training_range.cpp").read_text()
    for value in (python.TOLERANCE, python.SMALLEST_DISTANCE_WIDTH, python.SMALLEST_DENSITY_WIDTH):
        assert f"= {value:g}" in source
    assert python.POWERS == (2, 4, 8) and np.prod(python.POWERS) == 64
