"""Modules import only from lower layers, and importing the package is cheap."""

import ast
import subprocess
import sys

from helpers.paths import ROOT

LAYERS = [  # modules may import only from earlier rows
    {"errors", "units", "conventions", "progress"},
    {"families", "structures", "polarization", "neighbors", "parallel"},
    {"spectra"},
    {"io"},
    {"models"},
    {"ops", "device", "threads"},
    {"artifact"},
    {"calculators"},
    {"phonons", "lammps", "interfaces"},
    {"plotting"},
    {"datasets"},
    {"training"},
    {"cli"},
]
TRAINING = [  # the same inside training; modules of one row do not import each other
    {"common"},
    {"nep", "enthalpy", "radnet"},
    {"gpumd"},
    {"results"},
    {"run"},
]
LEVEL = {part: k for k, row in enumerate(LAYERS) for part in row}
TRAINING_LEVEL = {part: k for k, row in enumerate(TRAINING) for part in row}
FREE = {"__version__", "__file__"}


def modules():
    for package, folder in (("tnep_calc", ROOT / "tnep_calc"), ("tnep_calc.training", ROOT / "training")):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            yield ".".join((package, *parts)), path


def imported(name, path):
    """Return the absolute names of everything that a module imports, also inside functions."""
    is_package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".")
            base = base[: len(base) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def part_of(name):
    parts = name.split(".")
    return parts[1] if parts[0] == "tnep_calc" and len(parts) > 1 else None


def test_dependencies_point_one_way():
    wrong = []
    for name, path in modules():
        here = part_of(name)
        for target in imported(name, path):
            there = part_of(target)
            if here is None or there is None or there in FREE or here == there:
                continue
            assert there in LEVEL, f"{name} imports {target}: '{there}' is in no layer"
            if LEVEL[there] >= LEVEL[here]:
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_dependencies_inside_training_point_one_way():
    wrong = []
    for name, path in modules():
        parts = name.split(".")
        if parts[:2] != ["tnep_calc", "training"] or len(parts) < 3:
            continue
        assert parts[2] in TRAINING_LEVEL, f"{name}: '{parts[2]}' is not in the layout of training"
        for target in imported(name, path):
            there = target.split(".")[2:3]
            if not target.startswith("tnep_calc.training.") or there == parts[2:3]:
                continue
            if TRAINING_LEVEL[there[0]] >= TRAINING_LEVEL[parts[2]]:
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_configurations_are_read_without_torch():
    modules = "tnep_calc.training.run, tnep_calc.training.nep.config, tnep_calc.training.enthalpy.config"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_forbidden_imports():
    wrong = []
    for name, path in modules():
        roots = {target.split(".")[0] for target in imported(name, path)}
        if (
            part_of(name)
            in ("spectra", "units", "conventions", "errors", "families", "structures", "polarization", "io")
            and "torch" in roots
        ):
            wrong.append(f"{name} imports torch")
        if part_of(name) not in ("plotting", "cli") and "matplotlib" in roots:
            wrong.append(f"{name} imports matplotlib")
        if (
            name != "tnep_calc.artifact.archive"
            and "torch.jit" in path.read_text()
            and "`torch.jit" not in path.read_text()
        ):
            wrong.append(f"{name} uses torch.jit")
    assert not wrong, "\n".join(wrong)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, tnep_calc, tnep_calc.units, tnep_calc.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_public_name_resolves():
    import tnep_calc

    for name in tnep_calc.__all__:
        assert getattr(tnep_calc, name) is not None


def test_no_module_imports_itself_through_others():
    graph: dict[str, set[str]] = {}
    names = {name for name, _ in modules()} - {"tnep_calc"}  # it imports the names that it re-exports only on access
    for name, path in modules():
        targets = {target if target in names else target.rpartition(".")[0] for target in imported(name, path)}
        graph[name] = {target for target in targets if target in names and target != name}
    done: set[str] = set()

    def visit(name, chain):
        assert name not in chain, " -> ".join([*chain[chain.index(name) :], name])
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, [*chain, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
