"""The table of families names modules and functions that exist, and what it says about precision and fields holds."""

from importlib import import_module

import pytest

from tnep_calc.artifact import in_precision
from tnep_calc.artifact.archive import Artifact
from tnep_calc.artifact.metadata import UNITS, Metadata
from tnep_calc.errors import InputError
from tnep_calc.families import KINDS, ROLES, Kind


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_a_row(kind):
    row = KINDS[kind]
    module, function = row.converter.split(".")
    assert callable(getattr(import_module(f"tnep_calc.artifact.{module}"), function))
    assert callable(import_module(f"tnep_calc.training.{row.training}").train)
    assert set(row.native) <= {"cpu", "cuda"} and set(row.roles) <= set(ROLES)
    assert row.double == (row.converter != "nep.in_precision")  # who cannot be converted keeps its type


def test_only_the_enthalpy_takes_the_field_itself():
    assert [name for name, role in ROLES.items() if role.field] == ["enthalpy"]


def test_conversion_goes_by_the_table(monkeypatch):
    meta = Metadata("toy", "toy", ("dipole",), ("B",), 3.0, "float64", dict(UNITS))
    model = Artifact(None, meta)
    with pytest.raises(
        InputError, match="a toy model in float64 cannot be converted; train with precision = 'float32'"
    ):
        in_precision(model, "float32")  # a family without a row of its own
    monkeypatch.setitem(KINDS, "toy", Kind("toy", ("dipole",), "toy.run", converter="nep.in_precision"))
    with pytest.raises(InputError, match="for float32 give the nep.txt next to it"):
        in_precision(model, "float32")
