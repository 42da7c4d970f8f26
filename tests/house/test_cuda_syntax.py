"""nvcc compiles every header of the native core and the CUDA kernels, and g++ their operators; this needs no GPU."""

import subprocess
from pathlib import Path

import pytest
from torch.utils.cpp_extension import include_paths

from helpers.cuda import find_program
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
    """Return the nvcc of the path, or of the package nvidia-cuda-nvcc (extra ``cuda``); skip the test without one."""
    found = find_program("nvcc")
    if found is None:
        pytest.skip("there is no nvcc: neither on the path nor from pip install 'tnep_calc[cuda]'")
    return found


def compile_cuda(tmp_path, source, *flags):
    nvcc = find_nvcc()
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
    """To PTX, for the smallest l_max and without optimisation, which takes seconds."""
    found = compile_cuda(
        tmp_path, f'#include "core/cuda/{name}"\n', "-ptx", "-Xcicc", "-O0", "-DTNEP_ISA=device", "-DTNEP_L=1"
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert ("_kernel" in (tmp_path / "out").read_text()) == (name != "nep.cu")  # which only chooses kernels


def check_operators(tmp_path, *flags):
    nvcc = find_nvcc()
    # Builds of torch for CPUs have the headers of its CUDA part but for this one, which a build writes.
    written = tmp_path / "c10" / "cuda" / "impl" / "cuda_cmake_macros.h"
    written.parent.mkdir(parents=True)
    written.write_text("#define C10_CUDA_BUILD_SHARED_LIBS\n")
    toolkit = subprocess.run([nvcc, "--dryrun", "-c", "x.cu"], capture_output=True, text=True).stderr
    top = next(line.split("=", 1)[1] for line in toolkit.splitlines() if line.startswith("#$ TOP="))
    folders = [*include_paths(), str(tmp_path), str(Path(top) / "include")]
    command = [
        "g++",
        "-fsyntax-only",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-DTNEP_ISA=device",
        "-I",
        str(CSRC),
    ]
    command += [word for folder in folders for word in ("-isystem", folder)]
    return subprocess.run([*command, *flags], capture_output=True, text=True)


@pytest.mark.parametrize("name", sorted(p.name for p in (CSRC / "torch").glob("*_cuda.cpp")))
def test_operators_compile_with_the_headers_of_cuda(tmp_path, name):
    found = check_operators(tmp_path, str(CSRC / "torch" / name))
    assert found.returncode == 0, found.stdout + found.stderr


def test_syntax_errors_are_detected(tmp_path):
    assert compile_cuda(tmp_path, "__global__ void kernel(float* p) { p[0] = undeclared; }\n", "-ptx").returncode != 0
