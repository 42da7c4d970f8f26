"""Licence headers, the conda recipe and the container file agree with the package."""

import importlib.util
import re
import tomllib

from helpers.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_licence_headers(tmp_path):
    spec = importlib.util.spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    licences = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(licences)
    assert not licences.wrong_files()
    for name in ("lammps_plugin/src/a.cpp", "tnep_calc/b.py"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("// SPDX-License-Identifier: GPL-2.0-or-later\n" if name[0] == "t" else "int a;\n")
    assert [line.split(":")[0] for line in licences.wrong_files(tmp_path)] == [
        "tnep_calc/b.py",
        "lammps_plugin/src/a.cpp",
    ]


def test_recipe_has_the_requirements():
    recipe = (ROOT / "recipe" / "meta.yaml").read_text()
    run = recipe[recipe.index("  run:") : recipe.index("  run_constrained:")]
    names = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    for requirement in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([\w-]+)(?:==|(?=>=))(.+)", requirement).groups()
        assert f"- {names.get(name, name)} {version}\n" in run, f"recipe/meta.yaml lacks {requirement}"
    assert f"license: {PROJECT['license']}\n" in recipe


def test_the_container_uses_the_make_target():
    text = (ROOT / "Dockerfile").read_text()
    assert "make env VENV=" in text and re.search(r"python:(\d+\.\d+)", text).group(1) in PROJECT["requires-python"]
