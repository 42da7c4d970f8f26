"""Programs of the CUDA toolkit, from the path or from the packages of the extra ``cuda``."""

import shutil
import sysconfig
from pathlib import Path


def find_program(name):
    """Return the path of ``nvcc`` or ``compute-sanitizer``, or None."""
    packaged = sorted(Path(sysconfig.get_paths()["purelib"]).glob(f"nvidia/cu*/bin/{name}"))
    return shutil.which(name) or (str(packaged[-1]) if packaged else None)
