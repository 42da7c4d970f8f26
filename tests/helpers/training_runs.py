"""Small configurations of the NEP trainer, and runs that a test stops at a given step."""

from tnep_calc.training.nep.config import TARGETS, load_config, parse_config


def small_config(kind="potential", base=".", data=(), **tables):
    content = {
        "data": {"files": ["data.extxyz"], "validation_fraction": 0.0, "test_fraction": 0.0, **dict(data)},
        "model": {
            "kind": kind,
            "species": ["N", "B"],
            "radial_cutoff": 3.7,
            "angular_cutoff": 3.0,
            "n_max": [2, 2],
            "basis_size": [3, 3],
            "l_max": [3, 2, 0],
            "neurons": 5,
        },
        "loss": {"born_charges": 1.0} if kind == "dipole" else {},
        "optimizer": {"steps": 5, "lbfgs_steps": 5},
        "output": {"directory": "out"},
    }
    for name, table in tables.items():
        content[name].update(table)
    return parse_config(content, base)


class Stop(Exception):
    """Ends a run at the step that a test chooses."""


def stop_at(run, step):
    """Make a run raise ``Stop`` as soon as it has done this many steps."""
    advance = run.advance

    def stopping():
        if run.step >= step:
            raise Stop
        advance()

    run.advance = stopping


def start_config(folder, kind, species=("N", "B"), **model):
    """Return a configuration without an architecture, which the file to start from fixes."""
    config = small_config(kind, folder, data={"allow_missing": True})
    text = f"""
[data]
files = ["data.extxyz"]
validation_fraction = 0.0
test_fraction = 0.0
[model]
start = "nep.txt"
kind = "{kind}"
species = {list(species)}
"""
    for name, value in model.items():
        text += f"{name} = {value}\n".lower() if isinstance(value, bool) else f"{name} = {value}\n"
    weights = {name: 1.0 for name in TARGETS[kind]}
    text += "[loss]\n" + "".join(f"{name} = {value}\n" for name, value in weights.items())
    text += '[optimizer]\nsteps = 0\nlbfgs_steps = 20\n[output]\ndirectory = "out"\nreport_interval = 5\n'
    (folder / "config.toml").write_text(text)
    assert config.base == folder
    return load_config(folder / "config.toml")
