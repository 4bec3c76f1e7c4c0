# Everything a person or CI calls. Needs git, make and Python 3.11 or newer; installs the rest itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types layers unit cluster docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 18

install: $(STAMP) ## Install the project and its development tools into .venv

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0] + ". Name one with PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

demo: $(STAMP) ## See the product at work on a real API server (KEEP=1 leaves it up)
	@PYTHONPATH=deploy/local $(BIN)/python deploy/local/demo.py $(if $(KEEP),--keep) $(if $(CONTEXT),--context=$(CONTEXT))

test: lint types layers docs unit cluster ## Everything that has to hold before a change lands

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

layers: $(STAMP)
	@$(BIN)/lint-imports --no-cache

docs: $(STAMP) ## Check that the generated reference pages are up to date
	@$(BIN)/python docs/generate.py --check

unit: $(STAMP) ## The pure core, and its oracles
	@$(BIN)/python -m pytest tests/unit tests/conformance

cluster: $(STAMP) ## Everything against a real API server
	@$(BIN)/python -m pytest tests/cluster

clean: ## Remove what `make install` made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
