# `make` lists the targets. The only things needed on PATH are make and Python 3.11+ with its venv module.

PYTHON ?= python3
VENV ?= .venv
# Extra arguments of pip, for example `PIP_ARGS="--quiet --proxy http://proxy:3128"`.
PIP_ARGS ?=
# Index of CPU-only PyTorch wheels; without it Linux installs the CUDA build, several GB.
TORCH_INDEX ?=

BIN := $(VENV)/bin
STAMP := $(VENV)/.hanse-installed
RUN_PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest
FAST := 'not federation and not slow and not soak'

.DEFAULT_GOAL := help
.PHONY: help dev lint format test coverage test-slow soak soak-scoring federation proto proto-check docs bench demo clean

help: ## List the targets and variables
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=$(PYTHON)  VENV=$(VENV)  TORCH_INDEX=$(TORCH_INDEX)  PIP_ARGS=$(PIP_ARGS)"

dev: $(STAMP) ## Create .venv and install Hanse with everything that its development needs

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Hanse needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev]'
	@touch $@

lint: dev ## Check style, types, layers and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/codespell

format: dev ## Rewrite the code as ruff wants it
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

test: dev ## Run the fast tests
	$(RUN_PYTEST) -m $(FAST) -n 2

coverage: dev ## Run the fast tests, traced (takes thrice as long); branch coverage of core and policies below 90 % fails
	$(RUN_PYTEST) -m $(FAST) -n 2 --cov --cov-report=
	$(BIN)/coverage report --skip-covered --include='core/*,policies/*' --fail-under=90

test-slow: dev ## Run the tests that take more than ten seconds each
	$(RUN_PYTEST) -m 'slow and not federation' -n 2

soak: dev ## Run the tests that repeat for many minutes: kills, withdrawals, hot swaps
	$(RUN_PYTEST) -m soak -n 2 --ignore tests/soak/test_soak_scoring.py

soak-scoring: dev ## Run half an hour of scoring; nothing else may run on the machine
	$(RUN_PYTEST) -m soak -s tests/soak/test_soak_scoring.py

federation: dev ## Run the tests that start the real processes on loopback
	$(RUN_PYTEST) -m federation -n 2

proto: dev ## Generate the protobuf modules
	$(BIN)/python protos/generate.py

proto-check: dev ## Fail when the committed protobuf modules are not those of the .proto files
	$(BIN)/python protos/generate.py --check

docs: dev ## Check links, examples, command lines and generated pages of the docs
	$(RUN_PYTEST) tests/docs

bench: dev ## Run the benchmarks
	for script in benchmarks/*.py; do OMP_NUM_THREADS=1 $(BIN)/python "$$script" || exit 1; done

demo: dev ## Train, evaluate, register and score a shared model on loopback (about three minutes)
	$(BIN)/hanse demo

clean: ## Remove what the targets made: environment, caches, reports, the demo's folder
	rm -rf $(VENV) .coverage .coverage.* htmlcov .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache hanse-demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
