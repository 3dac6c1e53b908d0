# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VLLM ?= .vllm
DATA ?= winnow-data
WORKERS ?= 2
HOURS ?= 4
TAG ?=
# One thread a process: two workers on two cores would only wait for each other's.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(WORKERS) --durations=20

.PHONY: help demo serve develop test quick check format docs campaign bench dist clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.service  ## set up, index a real corpus, search it, show what an instruction changes
	$(BIN)/winnow demo --data $(DATA)

serve: $(VENV)/.service  ## start the service on http://127.0.0.1:8000
	$(BIN)/winnow serve --data $(DATA)

develop: $(VENV)/.develop  ## set up what development needs

# Chromium and axe-core for the page, Prometheus for the alerts, npm packages for the TypeScript client; where one cannot be installed, it says why and their tests are skipped.
# An environment of its own, since vLLM has its own mind about versions; where the machine cannot run it, it says so.
test: $(VENV)/.develop  ## set up and run all tests, those against a real vLLM and in a browser included
	$(BIN)/python -m tests.browser.environment
	$(BIN)/python -m tests.observe.environment
	$(BIN)/python -m tests.clients.node
	vllm="$$($(BIN)/python tests/vllm/environment.py $(VLLM))" && WINNOW_VLLM_PYTHON="$$vllm" $(PYTEST)

quick: $(VENV)/.develop  ## run the tests that are not marked as slow
	$(PYTEST) -m "not slow"

check: $(VENV)/.develop  ## check format, lint, types and layers: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.develop  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

campaign: $(VENV)/.develop  ## run the long campaigns of faults, lives, attacks and benches: HOURS=4 at most
	vllm="$$($(BIN)/python tests/vllm/environment.py $(VLLM))" && WINNOW_VLLM_PYTHON="$$vllm" \
	  $(BIN)/python -m tests.campaign --hours $(HOURS)

docs: $(VENV)/.docs  ## build the documentation into site/; any warning fails
	$(BIN)/zensical build --strict --clean

bench: $(VENV)/.develop  ## measure search and indexing beside the naive way
	$(BIN)/python -m bench.search
	$(BIN)/python -m bench.index

dist: $(VENV)/.develop  ## build wheels and source archives into dist/, print and bound their sizes
	$(BIN)/python deploy/distribution.py --tag "$(TAG)"

clean:  ## remove what `make` made, the indexed data included
	rm -rf $(VENV) $(VLLM) .browser .prometheus .frameworks .schemathesis .clients clients/typescript/dist */*/node_modules tests/clients/javascript/node_modules $(DATA) build dist site .cache ./*.egg-info clients/python/*.egg-info clients/python/build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# constraints.txt holds the versions that were tried together; the ranges in pyproject.toml are what may be used.
$(VENV)/.service: pyproject.toml constraints.txt clients/python/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python deploy/install.py cpu,documents,ui
	@touch $@

$(VENV)/.docs: $(VENV)/.service
	$(BIN)/python deploy/install.py cpu,docs
	@touch $@

$(VENV)/.develop: $(VENV)/.service
	$(BIN)/python deploy/install.py cpu,dev
	@touch $@
