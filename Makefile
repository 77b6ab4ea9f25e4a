# Two commands matter to a newcomer: make demo, make test. Each makes .venv by itself; make help lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test test-all lint type bench clean

help: ## Show this list
	@echo "unmask: from your own text to a measured encoder"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "Each sets up .venv by itself. Another Python: make PYTHON=python3.12 test"

demo: .venv/.train ## Pre-train an encoder on text that is here already, and show it
	$(BIN)/unmask demo

test: .venv/.dev ## Run the default tests (some minutes on two cores)
	$(BIN)/python -m pytest

test-all: .venv/.dev ## Run every test that needs no GPU, the slow ones too
	$(BIN)/python -m pytest -m "not gpu"

lint: .venv/.dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: .venv/.dev ## Check types
	$(BIN)/mypy

bench: .venv/.dev ## Run benchmarks/*.py on this machine
	@shopt -s nullglob; for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python "$$file"; done

clean: ## Remove .venv, caches and what was built
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is what venv puts in last, so an environment that was cut short is made again.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "unmask needs Python 3.11 or newer, and $(PYTHON) is not here: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "unmask needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) can not make virtual environments: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.train: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing what training needs into .venv; torch is large, this takes a few minutes the first time."
	$(PIP) install -c constraints.txt -e '.[train]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing what training and testing need into .venv; torch is large, this takes a few minutes the first time."
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch .venv/.train $@
