"""The table of families names modules and functions that exist, and what it says about precision and fields holds."""

from importlib import import_module

import pytest
import torch

from tnep_calc.artifact import in_precision
from tnep_calc.artifact.archive import Artifact
from tnep_calc.artifact.metadata import UNITS, Metadata
from tnep_calc.errors import InputError
from tnep_calc.families import KINDS, ROLES, Kind


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_a_row(kind):
    row = KINDS[kind]
    if row.converter:
        module, function = row.converter.split(".")
        assert callable(getattr(import_module(f"tnep_calc.artifact.{module}"), function))
    assert callable(import_module(f"tnep_calc.training.{row.training}").train)
    assert set(row.native) <= {"cpu", "cuda"} and set(row.roles) <= set(ROLES)


def test_only_the_enthalpy_takes_the_field_itself():
    assert [name for name, role in ROLES.items() if role.field] == ["enthalpy"]


class Toy(torch.nn.Module):
    """A model of a family without a row of its own."""

    def __init__(self):
        super().__init__()
        self.dtype = torch.float64
        self.always_double = ["large"]
        for name in ("large", "weight"):
            self.register_buffer(name, torch.tensor([1 / 3], dtype=torch.float64))
        self.register_buffer("index", torch.tensor([1]))


def test_a_family_without_a_function_is_cast():
    meta = Metadata("toy", "toy", ("dipole",), ("B",), 3.0, "float64", dict(UNITS))
    model = Artifact(Toy(), meta)
    single = in_precision(model, "float32")
    types = {name: value.dtype for name, value in single.module.named_buffers()}
    assert types == {"large": torch.float64, "weight": torch.float32, "index": torch.int64}
    assert single.module.dtype == torch.float32 and single.metadata.weights == "float32"
    assert model.module.weight.dtype == model.module.dtype == torch.float64
    with pytest.raises(InputError, match="dtype must be float64 or float32, got 'half'"):
        in_precision(model, "half")


def test_conversion_goes_by_the_table(monkeypatch):
    monkeypatch.setitem(KINDS, "toy", Kind("toy", ("dipole",), "toy.run", converter="enthalpy.in_precision"))
    model = Artifact(Toy(), Metadata("toy", "toy", ("dipole",), ("B",), 3.0, "float64", dict(UNITS)))
    with pytest.raises(AttributeError, match="plain"):  # the function of the other family looks for its own parts
        in_precision(model, "float32")
