"""Configuration: defaults, types, ranges, and messages that list the known keys."""

from dataclasses import fields
from pathlib import Path

import pytest

from tnep_calc.errors import DataFileError, InputError
from tnep_calc.training.nep import config as module
from tnep_calc.training.nep.config import load_config, parse_config

GOOD = """
[data]
files = ["a.extxyz", "/data/b.extxyz"]
keys = { energy = "dft_energy" }
[model]
kind = "dipole"
species = ["B", "N"]
radial_cutoff = 6
l_max = [4, 2]
[loss]
born_charges = 0.5
dipole = 0
[output]
directory = "out"
"""


def write(tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    return tmp_path / "c.toml"


def test_values_defaults_and_paths(tmp_path):
    config = load_config(write(tmp_path, GOOD))
    assert config.data_files == [tmp_path / "a.extxyz", Path("/data/b.extxyz")]
    assert config.directory == tmp_path / "out"
    assert config.model.radial_cutoff == 6.0 and config.model.angular_cutoff == 4.0
    assert config.model.extra == (True, False, False, False, False, False)
    assert config.loss.weights("dipole") == {"born_charges": 0.5}
    assert config.optimizer.steps == 300
    load_config(write(tmp_path, GOOD.replace("dipole = 0", "forces = 0")))  # a weight of 0 is allowed for any kind
    assert load_config(write(tmp_path, GOOD), "elsewhere").directory == Path("elsewhere").resolve()


def test_patterns_stand_for_files(tmp_path):
    for name in ("b2.xyz", "b10.xyz", "c.xyz", "deep/er/b3.xyz", "a[1].xyz", "a1.xyz"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "b.xyz").mkdir()  # a folder is not a file

    def files(*names):
        listed = ", ".join(f'"{name}"' for name in names)
        config = load_config(write(tmp_path, GOOD.replace('"a.extxyz", "/data/b.extxyz"', listed)))
        return [str(path.relative_to(tmp_path)) for path in config.data_files]

    assert files("c.xyz", "b*.xyz") == ["c.xyz", "b10.xyz", "b2.xyz"]
    assert files("b?.xyz", "b*.xyz") == ["b2.xyz", "b10.xyz"]  # no file twice
    assert files("**/b*.xyz") == ["b10.xyz", "b2.xyz", "deep/er/b3.xyz"]
    assert files("a[1].xyz") == ["a[1].xyz"] and files("a[12].xyz") == ["a1.xyz"]
    assert files(str(tmp_path / "deep/*/*.xyz")) == ["deep/er/b3.xyz"]
    assert files("missing.xyz") == ["missing.xyz"]  # the reader says that it is missing
    with pytest.raises(DataFileError, match=r"x\*.xyz: no file matches this pattern: correct the pattern"):
        files("x*.xyz")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("[loss]", "[losses]", r"c\.toml: unknown table \[losses\]; known: \[data\], \[model\]"),
        ("radial_cutoff", "cutoff", r"unknown key 'cutoff' in \[model\]; known: kind, species, radial_cutoff"),
        ('kind = "dipole"', "", r"key 'kind' is missing in \[model\]"),
        (
            'kind = "dipole"',
            'kind = "tensor"',
            "model.kind must be 'potential' or 'dipole' or 'polarizability', got 'tensor'",
        ),
        (
            "radial_cutoff = 6",
            "radial_cutoff = 'far'",
            "model.radial_cutoff must be a number or a list of numbers, got 'far'",
        ),
        ("radial_cutoff = 6", "neurons = 2.5", r"model.neurons must be an integer, got 2\.5"),
        ("radial_cutoff = 6", "radial_cutoff = 3", "0 < angular_cutoff <= radial_cutoff"),
        ("radial_cutoff = 6", "n_max = [4]", "model.n_max must be two integers"),
        ("l_max = [4, 2]", "l_max = [9]", "model.l_max must be from 0 to 8, got 9"),
        ('species = ["B", "N"]', 'species = ["B", "B"]', "must be different symbols"),
        ('species = ["B", "N"]', 'species = ["B", 7]', "model.species must be a list of strings"),
        ("born_charges = 0.5", "born_charges = 0", r"needs a positive weight in \[loss\]: dipole, born_charges"),
        ("born_charges = 0.5", "energy = -1.0", r"loss.energy must be from 0 to 1e\+09, got -1"),
        (
            "born_charges = 0.5",
            "born_charges = 0.5\nforces = 5",
            r"loss\.forces has no meaning for a dipole model.*remove it",
        ),
        ("dipole = 0", "shear = 2.0", r"loss\.shear has no meaning for a dipole model, whose keys are dipole, born_"),
        ("keys =", "validation_fraction = 0.6\ntest_fraction = 0.4\nkeys =", "must leave structures to train on"),
        ("dft_energy", 'x" , mass = "q', "data.keys may name only energy, forces"),
        (
            "[loss]",
            "[optimizer]\nprecision = 'half'\n[loss]",
            "optimizer.precision must be 'float64' or 'float32', got 'half'",
        ),
        ("[loss]", "[optimizer]\nsteps = 0\nlbfgs_steps = 0\n[loss]", "nothing to train"),
        ("[output]", "[output]\nreport_interval = 0", "output.report_interval must be from 1 to 10,000,000, got 0"),
    ],
)
def test_errors(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        load_config(write(tmp_path, GOOD.replace(old, new, 1)))


def test_files_that_are_not_configurations(tmp_path):
    with pytest.raises(DataFileError, match="none.toml: no such file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(DataFileError, match="cannot be read as a TOML"):
        load_config(write(tmp_path, "[data\n"))
    with pytest.raises(InputError, match="'data' must be a table"):
        parse_config({"data": 3})


def test_every_key_is_documented():
    for cls in (module.DataConfig, module.ModelConfig, module.LossConfig, module.OptimizerConfig, module.OutputConfig):
        for field in fields(cls):
            assert field.name in cls.__doc__, f"{cls.__name__}.{field.name} is not in the docstring"
