# Everything a person or CI does with this tree. `make` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) development/install.py
	@touch $@

.PHONY: install
install: $(STAMP) ## .venv with the locked dependencies and the commands gunicorn and waitcall

.PHONY: run
run: install ## the whole stack: embedded Valkey, provider simulator, service (Ctrl-C ends it)
	@$(BIN)/python -m development run

.PHONY: demo
demo: install ## one verification from create to consume, against a fresh stack
	@$(BIN)/python -m development demo

.PHONY: simulator
simulator: install ## the provider simulator alone
	@$(BIN)/python -m simulator --calm

.PHONY: test
test: install ## every test
	@$(BIN)/python -m pytest

.PHONY: coverage
coverage: install ## every test, with branch coverage of the service's in-process part
	@$(BIN)/coverage run -m pytest -m "not slow" && $(BIN)/coverage report

.PHONY: format
format: install ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

.PHONY: lint
lint: install ## style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: install ## strict types
	@$(BIN)/mypy

.PHONY: imports
imports: install ## the floors of docs/architecture.md
	@$(BIN)/lint-imports

.PHONY: check
check: lint types imports test ## everything that CI runs

.PHONY: bench-isolation
bench-isolation: install ## reads and callbacks while the provider holds 100 creates, against idle (3 minutes)
	@$(BIN)/python -m benchmarks.isolation

.PHONY: lock
lock: install ## resolve the dependencies anew, with hashes and without addresses
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --upgrade --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@echo "setuptools>=80" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links -c requirements-dev.txt - -o requirements-build.txt

.PHONY: clean
clean: ## remove what make made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
