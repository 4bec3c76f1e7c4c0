# Everything a person or CI calls. Needs git, make and Python 3.11 or newer; installs the rest itself.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ORACLE := tests/conformance/connectivity/requirements.txt
comma := ,
DEBIAN := $(shell cat dev/enforcement/packages.txt dev/image-packages.txt) chromium chromium-driver

.DEFAULT_GOAL := help
.PHONY: help install lock audit sbom zipapp system-packages demo test lint types layers docs site release unit cluster attacks chaos-bounded chaos packets-bounded packets browser bench bench-guard nightly clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1	\2/' | expand -t 26

install: $(STAMP) ## Install the project and its development tools into .venv

$(STAMP): pyproject.toml requirements/dev.txt $(ORACLE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; found " + sys.version.split()[0] + ". Name one with PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip install --quiet --no-deps --requirement $(ORACLE)
	@touch $@

system-packages: ## As root on Debian: what `make packets` and the browser tests need beside Python
	@test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { echo "needs root and apt-get; packages: $(DEBIAN)"; exit 1; }
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN); } >/dev/null

demo: $(STAMP) ## See the product at work on a real API server (KEEP=1 leaves it up)
	@PYTHONPATH=dev $(BIN)/python dev/demo.py $(if $(KEEP),--keep) $(if $(CONTEXT),--context=$(CONTEXT))

test: lint types layers docs unit cluster chaos-bounded packets-bounded browser ## Everything that has to hold before a change lands

lock: $(STAMP) ## Pin all dependencies anew in requirements/ (UPGRADE=1 takes newer versions, too)
	@$(BIN)/python dev/lock.py $(if $(UPGRADE),--upgrade)

audit: $(STAMP) ## Look for known vulnerabilities in what the image installs
	@$(BIN)/python dev/vulnerabilities.py

sbom: $(STAMP) ## List what the image installs, as CycloneDX, in dist/
	@mkdir -p dist && $(BIN)/cyclonedx-py requirements requirements/operator.txt --pyproject pyproject.toml \
	  --output-reproducible --output-format JSON --output-file dist/tenantprofile-operator.cdx.json
	@echo dist/tenantprofile-operator.cdx.json

release: $(STAMP) ## The release checklist, then wheel, sdist, kubectl plugin, image, chart, SBOM and site into dist/ (CHECK=1: the list alone)
	@PYTHONPATH=dev $(BIN)/python dev/release.py $(if $(CHECK),--check) $(if $(ANYWAY),--anyway)

zipapp: $(STAMP) ## kubectl-tenantprofile as one file for Linux and macOS, and the krew manifest, in dist/
	@$(BIN)/python dev/archives.py

lint: $(STAMP)
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

layers: $(STAMP)
	@$(BIN)/lint-imports --no-cache

docs: site ## Check that the generated pages are up to date, and build the site
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python docs/pictures.py --check
	@$(BIN)/python deploy/helm/generate.py --check

site: $(STAMP) ## Build the documentation as a site into dist/site; warnings are errors
	@rm -rf dist/site
	@$(BIN)/python -m sphinx -b html -E -W --keep-going -q -d dist/.doctrees docs dist/site
	@echo dist/site/index.html

unit: $(STAMP) ## The pure core, and its oracles
	@$(BIN)/python -m pytest -n auto -m 'not slow' tests/unit tests/model tests/conformance

cluster: $(STAMP) ## Everything against a real API server; two of them beside each other
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not slow' tests/cluster tests/guard tests/attacks

attacks: $(STAMP) ## Every attempt of docs/security.md, with and without the guard; records what came of it
	@TENANTPROFILE_ATTACKS=record $(BIN)/python -m pytest tests/attacks
	@PYTHONPATH=dev:tests:operator $(BIN)/python -m attacks.table

chaos-bounded: $(STAMP)
	@$(BIN)/python -m pytest -m 'not slow' tests/chaos

chaos: $(STAMP) ## Over a thousand faults, with an independent witness (about 25 minutes)
	@TENANTPROFILE_CHAOS=full $(BIN)/python -m pytest -s tests/chaos

packets-bounded: $(STAMP)
	@$(BIN)/python -m pytest -m 'not slow' tests/packets

packets: $(STAMP) ## Policies on real packets (Linux and root; elsewhere skipped with the reason)
	@PYTHONPATH=dev $(BIN)/python -m packets prepare
	@PACKETS_CASES=60 PACKETS_SAMPLES=25 $(BIN)/python -m pytest tests/packets

browser: $(STAMP)
	@if test -d tests/browser; then $(BIN)/python -m pytest tests/browser; fi

bench: $(STAMP) ## Speed and memory beside the bare floor, on a real API server (SIZES=100,1000)
	@PYTHONPATH=dev:. $(BIN)/python -m benchmarks --sizes $(or $(SIZES),100$(comma)1000)

bench-guard: $(STAMP) ## What the guard costs a namespace update and a policy's creation, by number of profiles
	@PYTHONPATH=dev:. $(BIN)/python -m benchmarks.guard --samples $(or $(SAMPLES),200)

nightly: $(STAMP) ## What takes too long for every change
	@TENANTPROFILE_ORACLE_CASES=5000 $(BIN)/python -m pytest -m slow tests

clean: ## Remove what `make install` made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
