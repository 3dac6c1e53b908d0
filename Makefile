# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VLLM ?= .vllm
DATA ?= winnow-data

.PHONY: help demo serve test check format bench clean

help:  ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.service  ## set up, index a real corpus, search it, show what an instruction changes
	$(BIN)/winnow demo --data $(DATA)

serve: $(VENV)/.service  ## start the service on http://127.0.0.1:8000
	$(BIN)/winnow serve --data $(DATA)

# An environment of its own, since vLLM has its own mind about versions; where the machine cannot run it, it says so.
test: $(VENV)/.develop  ## set up and run all tests, those against a real vLLM included
	vllm="$$($(BIN)/python tests/vllm/environment.py $(VLLM))" && WINNOW_VLLM_PYTHON="$$vllm" $(BIN)/python -m pytest

check: $(VENV)/.develop  ## format, lint, types, layers: under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.develop  ## rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.develop  ## measure search and indexing beside the naive way
	$(BIN)/python bench/search.py
	$(BIN)/python bench/index.py

clean:  ## remove what `make` made, the indexed data included
	rm -rf $(VENV) $(VLLM) $(DATA) build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# constraints.txt holds the versions that were tried together; the ranges in pyproject.toml are what may be used.
$(VENV)/.service: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python deploy/install.py cpu
	@touch $@

$(VENV)/.develop: $(VENV)/.service
	$(BIN)/python deploy/install.py cpu,dev
	@touch $@
