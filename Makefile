# make demo   environment, build with the LAMMPS plugin, then train, run LAMMPS on 2 ranks, spectra, figure
# make test   environment, build, style, types and the whole test suite; JOBS=2 processes
# make fast   the same without the tests marked slow: below a minute
# make docs   the documentation site, in build/docs
# make lint   style, format and types; make bench: benchmarks on the shipped models
# make env    the environment alone; VENV=dir chooses where (default .venv), PYTHON=python3.11 with what
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
JOBS ?= 2
BIN := $(abspath $(VENV))/bin
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# pypolymlp has no wheels: it is compiled against the headers of Eigen, which cmeel-eigen brings.
POLYMLP_BUILD := pybind11 nanobind setuptools_scm cmeel-eigen

NATIVE := $(shell find tnep_calc/csrc lammps_plugin -type f -not -name '*.md' 2>/dev/null)

.PHONY: env test fast lint bench demo docs clean

env: $(VENV)/.installed

# torch comes first and alone: an open version range would fetch gigabytes of GPU libraries, and the native code is
# compiled against the torch that is there (hence no build isolation).
$(VENV)/.torch:
	@echo "[env 1/3] virtual environment in $(VENV) and torch (about 1 min)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	@touch $@

$(VENV)/.dependencies: $(VENV)/.torch pyproject.toml
	@echo "[env 2/3] LAMMPS, MPI, ASE, phono3py and test tools; compiling pypolymlp (about 3 min)"
	$(BIN)/pip install -q "scikit-build-core>=0.10" "cmake>=3.24,<4" ninja numpy $(POLYMLP_BUILD)
	CMAKE_PREFIX_PATH=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cmeel.prefix \
	$(BIN)/pip install -q --no-build-isolation "pypolymlp>=0.22"
	$(BIN)/python .ci/requirements.py lammps phonons test | xargs -d '\n' $(BIN)/pip install -q
	@touch $@

$(VENV)/.installed: $(VENV)/.dependencies $(NATIVE)
	@echo "[env 3/3] compiling the native library and the LAMMPS plugin (about 2 min)"
	$(BIN)/pip install -q --no-build-isolation --no-deps -e .
	$(BIN)/tnep info
	@touch $@

test: env
	@echo "[test] style and types"
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	@echo "[test] test suite"
	TNEP_EXPECT_FULL=1 $(BIN)/python -m pytest -rfEs -n $(JOBS) --dist loadfile

fast: env
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: env
	mkdir -p build/bench
	for name in inference gradients enthalpy lammps spectra; do \
	  $(BIN)/python benchmarks/$$name.py --json build/bench/$$name.json || exit 1; done

docs: env
	$(BIN)/python .ci/requirements.py docs | xargs -d '\n' $(BIN)/pip install -q
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs
	@echo "[docs] build/docs/index.html"

demo: env
	$(BIN)/python examples/bn/run.py

clean:
	rm -rf build demo .pytest_cache .mypy_cache .ruff_cache
