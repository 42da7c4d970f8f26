"""Numbers of configurations: every key has a range, and absurd values are refused with the range and what is usual."""

from dataclasses import fields

import pytest

from tnep_calc.errors import InputError
from tnep_calc.training.enthalpy import config as enthalpy
from tnep_calc.training.nep import config as nep
from tnep_calc.training.radnet import config as radnet

PARSERS = {
    "dipole": (nep, nep.parse_config),
    "enthalpy": (enthalpy, enthalpy.parse_enthalpy_config),
    "radnet": (radnet, radnet.parse_radnet_config),
}


def parse(kind, **changes):
    tables = {
        "data": {"files": ["a.extxyz"]},
        "model": {"kind": kind, "species": ["B", "N"]},
        "output": {"directory": "out"},
    }
    for table, keys in changes.items():
        tables[table] = tables.get(table, {}) | keys
    return PARSERS[kind][1](tables)


@pytest.mark.parametrize("kind", PARSERS)
def test_every_number_has_a_range(kind):
    module = PARSERS[kind][0]
    numeric = {
        f"{table}.{field.name}"
        for table, cls in module._TABLES.items()
        for field in fields(cls)
        if "int" in str(field.type) or "float" in str(field.type)
    }
    assert numeric == set(module.BOUNDS)


@pytest.mark.parametrize("kind", PARSERS)
def test_absurd_numbers_are_refused(kind):
    for key, allowed in PARSERS[kind][0].BOUNDS.items():
        table, name = key.split(".")
        value = getattr(getattr(parse(kind), table), name)
        kinds = {type(x) for x in (value if isinstance(value, tuple) else (value,))} or {float}
        whole = kinds == {int}
        beyond = [10 * allowed.high + 1, *([allowed.high] if allowed.below else [])]
        beyond += [-1] if whole else [-1.0, float("nan"), float("inf"), 10 * allowed.high]
        if allowed.low > 0 and not allowed.zero:
            beyond.append(0 if whole else allowed.low / 2)
        for wrong in beyond:
            wrong = int(wrong) if whole else float(wrong)
            given = [wrong, wrong] if isinstance(value, tuple) else wrong
            with pytest.raises(InputError, match=rf"^{key} must be .*from .* to .*, got .*; usual: ") as error:
                parse(kind, **{table: {name: given}})
            assert "\n" not in str(error.value)


def test_words_of_a_message():
    with pytest.raises(InputError) as error:
        parse("dipole", model={"radial_cutoff": 600})
    assert str(error.value) == "model.radial_cutoff must be from 0.5 to 30, got 600; usual: 4 to 8 Å"
    with pytest.raises(
        InputError, match=r"ensemble.n_splits must be 0 or from 2 to 1,000, got 1; usual: 0 \(one model\)"
    ):
        parse("enthalpy", ensemble={"n_splits": 1})
    with pytest.raises(InputError, match="model.zbl must be smaller than the cutoff of 3 Å, got 4"):
        parse("enthalpy", model={"cutoff": 3, "zbl": 4})
