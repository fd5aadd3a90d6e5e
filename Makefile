# Everything starts here: `make run` and `make test` go from an empty machine (git, make, python3 with venv) to a result.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock
APT    := iverilog yosys opensta

.PHONY: run test check-all lint format tables gpu gpu-wheels pyfhel tools clean
GPU_PACKAGES := hydra-core omegaconf diffusers snntorch platformdirs flash-linear-attention fla-core

run: $(VENV)/core.stamp ## install the core and run the first experiment
	$(BIN)/effml run maxk

test: $(VENV)/rest.stamp $(VENV)/pyfhel.stamp crypten tools ## everything that needs no GPU, under 15 minutes on two idle cores
	$(BIN)/effml table all --check
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=2 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

$(VENV)/engines.stamp: $(VENV)/rest.stamp
	$(PIP) -e '.[slurm,ray]'
	@touch $@

check-all: $(VENV)/engines.stamp $(VENV)/pyfhel.stamp crypten tools ## the long checks: timing figures, replays, Ray, browser, stress
	EFFML_TEST_SEED=fresh $(BIN)/python -m pytest -m "slow or not slow" --durations=40

lint: $(VENV)/rest.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/rest.stamp
	$(BIN)/ruff check -q --fix . && $(BIN)/ruff format .

tables: $(VENV)/core.stamp ## gather rows of finished runs and rewrite the committed tables
	$(BIN)/effml table all --update

$(VENV)/base.stamp:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "effml needs Python 3.11 to 3.13 with venv (apt-get install python3-venv); or make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and exactly: a range would let pip replace a CPU build by a CUDA build of several gigabytes.
$(VENV)/core.stamp: $(VENV)/base.stamp pyproject.toml requirements.lock
	$(PIP) "$$(grep '^torch==' requirements.lock)"
	$(PIP) -e .
	@touch $@

$(VENV)/rest.stamp: $(VENV)/core.stamp
	$(PIP) -e '.[systems,dev]'
	@touch $@

# Pyfhel comes as source only and its build clones compression libraries with git. A toolchain file switches them off, so
# that it builds anywhere in about three minutes; ciphertexts are then stored uncompressed.
$(VENV)/pyfhel.stamp: $(VENV)/core.stamp
	printf 'set(SEAL_USE_%s OFF CACHE BOOL "" FORCE)\n' MSGSL ZLIB ZSTD > $(abspath $(VENV))/seal-offline.cmake
	CMAKE_TOOLCHAIN_FILE=$(abspath $(VENV))/seal-offline.cmake $(PIP) Pyfhel==3.5.0
	$(BIN)/python -c 'import Pyfhel'
	@touch $@

pyfhel: $(VENV)/pyfhel.stamp ## encrypted inference's library

# Debian's packages as root; otherwise one line says what is missing, and the tests that need them are skipped by name.
tools:
	@missing=""; for tool in iverilog yosys sta; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(APT) >/dev/null; \
		else echo "missing tools:$$missing; get them with: sudo apt-get install $(APT)"; fi; fi

# On a CUDA machine, with the python3 at hand: nothing is installed. DRY=1 rehearses on the CPU at smoke size.
# OUT takes the archive; unpack it below results/ and run `make tables`.
GPU_MINUTES ?= 9
OUT ?= results
gpu:
	$(PYTHON) -m effml.experiments.core.batch gpu --minutes $(GPU_MINUTES) --archive $(OUT)/gpu.tar.gz $(if $(DRY),--dry)

# Wheels that a GPU machine without network may lack, for its Python; antlr4 comes as source and is built here.
GPU_PYTHON ?= 3.12
gpu-wheels: $(VENV)/base.stamp
	mkdir -p .gpu/wheels
	for package in $(GPU_PACKAGES); do \
		$(BIN)/python -m pip download -q --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
			--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
			-d .gpu/wheels $$package || exit 1; done
	$(BIN)/python -m pip wheel -q --no-deps -w .gpu/wheels antlr4-python3-runtime==4.9.3

# CrypTen's declared dependencies would replace torch: it gets an environment of its own, over the main one.
crypten: .venv-crypten/stamp ## the engine of `effml run autorep suite=cost`

.venv-crypten/stamp: $(VENV)/core.stamp
	$(BIN)/python -m effml.models.private.environment crypten
	@touch $@

clean:
	rm -rf $(VENV) .venv-* build dist *.egg-info
