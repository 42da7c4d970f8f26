"""nvcc compiles every header of the native core and the CUDA kernels; this needs no GPU."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from helpers.paths import ROOT

pytestmark = pytest.mark.slow

CSRC = ROOT / "tnep_calc" / "csrc"
FLAGS = [
    "-std=c++17",
    "--expt-relaxed-constexpr",
    "--diag-suppress=20091",
    "--Werror=all-warnings",
    "-arch=sm_80",
    "-I",
    str(CSRC),
]


def find_nvcc():
    """Return the nvcc of the path, or of the package nvidia-cuda-nvcc (extra ``cuda``), else None."""
    packaged = sorted(Path(sysconfig.get_paths()["purelib"]).glob("nvidia/cu*/bin/nvcc"))
    return shutil.which("nvcc") or (str(packaged[-1]) if packaged else None)


def compile_cuda(tmp_path, source, *flags):
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("there is no nvcc: neither on the path nor from pip install 'tnep_calc[cuda]'")
    file = tmp_path / "source.cu"
    file.write_text(source)
    command = [nvcc, *FLAGS, *flags, "-o", str(tmp_path / "out"), str(file)]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_core_header_compiles(tmp_path):
    headers = sorted(p.relative_to(CSRC).as_posix() for p in (CSRC / "core").rglob("*.h"))
    assert len(headers) > 25
    emulation = "core/cuda/emulation.h"  # replaces block.h for C++ compilers
    found = compile_cuda(tmp_path, "".join(f'#include "{h}"\n' for h in headers if h != emulation), "-c")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("name", sorted(p.name for p in (CSRC / "core" / "cuda").glob("*.cu")))
def test_kernels_compile(tmp_path, name):
    """To PTX, for the smallest l_max and without optimisation, which takes seconds instead of minutes."""
    found = compile_cuda(
        tmp_path, f'#include "core/cuda/{name}"\n', "-ptx", "-Xcicc", "-O0", "-DTNEP_ISA=device", "-DTNEP_MOST_L=1"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "_kernel" in (tmp_path / "out").read_text()


def test_syntax_errors_are_detected(tmp_path):
    assert compile_cuda(tmp_path, "__global__ void kernel(float* p) { p[0] = undeclared; }\n", "-ptx").returncode != 0
