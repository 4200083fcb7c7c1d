# Needs nothing but Python >= 3.11 and make. `make help` lists what there is.

PYTHON ?= python3
PIP_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)
TORCH := $(shell sed -n 's/^pinned = .*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
JOBS ?= 2
# One thread per worker: on small tensors more threads only wait for each other. `make test THREADS=4` asks for more.
THREADS ?= 1
TRIALS ?= 100
TEST_ENVIRONMENT := OMP_NUM_THREADS=$(THREADS) MKL_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS) MPLBACKEND=Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-portable faults lint reformat readme clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## make the environment and bound the distance between the two sample sets in samples/
	@mkdir -p demo
	$(BIN)/wdist estimate samples/digits-low.h5 samples/digits-high.h5 -o demo/estimate.json --plot demo/estimate.png

test: $(VENV)/.installed-test  ## make the environment and run the tests
	$(TEST_ENVIRONMENT) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(PYTEST_FLAGS)

test-portable: $(VENV)/.installed-test  ## run the tests of laws, critics and bounds once more, as on a processor without vector extensions
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE $(TEST_ENVIRONMENT) $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal \
		tests/laws tests/critics tests/bounds tests/robustness tests/estimation/test_model_selection.py \
		tests/estimation/test_semi_discrete.py

faults: $(VENV)/.installed-test  ## break the system in a hundred ways of each kind: signals, full disks, little memory (half an hour)
	WDIST_TRIALS=$(TRIALS) $(TEST_ENVIRONMENT) $(BIN)/python -m pytest -m faults tests/faults

lint: $(VENV)/.installed-lint  ## ruff, mypy, import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reformat: $(VENV)/.installed-lint  ## let ruff rewrite the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

readme: $(VENV)/.installed-test  ## regenerate the output that the README and the guide quote
	$(BIN)/python tests/quotations.py
	$(BIN)/python -m tests.notebooks
	$(BIN)/python -m tests.reproductions

clean:  ## remove the environment, caches and what the demo wrote
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find wdist tests samples -name __pycache__ -type d -exec rm -rf {} +

# torch comes first and alone, at the version that pyproject.toml pins: what follows then finds it in place and leaves it there.
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wdist needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing $(TORCH) into $(VENV); this is the large download."
	$(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	$(PIP) --editable ".[pinned]"
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[pinned,test]"
	@touch $@

$(VENV)/.installed-lint: $(VENV)/.installed
	$(PIP) --editable ".[pinned,lint]"
	@touch $@
