# The commands of this project. Each sets up all that it needs by itself; `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
DASHBOARD := services/ingest/http/assets/.inputs
ARGS ?=
# Extras stay in the lock, because old versions of pip do not find a package under its bare name (pip issue 11924).
COMPILE = $(BIN)/uv pip compile --quiet $(or $(ARGS),--upgrade) --no-strip-extras --no-emit-index-url --no-header \
  --no-emit-package batchyard-contracts

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled modules are kept: the tests start hundreds of processes, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo up down dashboard dashboard-dev screenshots test test-browser test-faults test-fuzz test-docs check lint types architecture conventions contracts shell yaml security manifests page bench bench-smoke bench-rates lock clean

help: ## Say what each command does.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml contracts/pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup
	@touch $@

# Without the npm registry all goes on without the page, and the next command tries again.
$(DASHBOARD): $(READY) .ci/dashboard contracts/openapi.json $(shell git ls-files dashboard 2>/dev/null)
	@PYTHON="$(BIN)/python" .ci/dashboard --optional
	@if [ -f $@ ]; then touch $@; fi

dashboard: $(READY) ## Build the page that `make up` serves, from dashboard/, if something there has changed.
	@PYTHON="$(BIN)/python" .ci/dashboard

dashboard-dev: $(READY) ## Serve the page with each change at once, for a Batchyard that runs; BATCHYARD_URL names it.
	@PYTHON="$(BIN)/python" .ci/dashboard dev

screenshots: $(READY) $(DASHBOARD) ## Write the pictures of the README anew, light and dark, from a cluster with the same batches each time.
	@$(BIN)/python -m tests.browser.screenshots

demo: $(READY) $(DASHBOARD) ## Run the main job to its end: servers, five services, one batch of more than 120 pages, webhook, e-mail, exports, and a small batch of each other workload.
	@$(BIN)/batchyard demo $(ARGS)

up: $(READY) $(DASHBOARD) ## Start servers and services, print the address, and keep all running until Ctrl-C or `make down`.
	@$(BIN)/batchyard up $(ARGS)

down: $(READY) ## Stop all that runs for this checkout, from any shell.
	@$(BIN)/batchyard down $(ARGS)

test: $(READY) $(DASHBOARD) ## Run all tests that share servers, several at a time, and print the coverage; red under 85 % in all or in a domain. ARGS="-k words" narrows it.
	@.ci/test $(ARGS)

test-faults: $(READY) $(DASHBOARD) ## Run the tests that kill, block or stop services and servers, one after the other, on servers of their own.
	@$(BIN)/python -m pytest -m faults $(ARGS)

test-browser: $(READY) $(DASHBOARD) ## Run the tests of the page in Debian's Chromium, on two running clusters at a time; under four minutes.
	@$(BIN)/python -m pytest -q -n 2 --dist load --maxschedchunk 1 -p no:randomly -m "not faults" tests/browser $(ARGS)

test-fuzz: $(READY) ## Look for unknown faults with random requests, messages and orders of events, for four minutes; the log names the seeds.
	@$(BIN)/python -m pytest -m fuzz -n 2 --dist loadfile $(ARGS)

test-docs: $(READY) $(DASHBOARD) ## Run every block of README, docs and examples as it stands, twice, on a local cluster of its own; under four minutes.
	@$(BIN)/python -m pytest -q -n 0 -p no:randomly tests/docs $(ARGS)

check: lint types architecture conventions contracts shell yaml security manifests page ## Run every check that needs no server: all that follow up to `make page`.

lint: $(READY) ## Check style and formatting (ruff).
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types (mypy, strict).
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/mypy benchmarks examples

architecture: $(READY) ## Check who may import whom (import-linter).
	$(BIN)/lint-imports

conventions: $(READY) ## Check names, docstrings and commit subjects.
	$(BIN)/python -m pytest -q tests/conventions

contracts: $(READY) ## Check that schemas and the OpenAPI document are generated anew, and that no published message or operation has changed.
	$(BIN)/python -m batchyard_contracts.schema.export --check
	$(BIN)/python -m batchyard_contracts.schema.compat
	$(BIN)/python -m devstack.rights_files --check
	$(BIN)/python -m services.ingest.http.openapi_file --check
	$(BIN)/python -m services.ingest.http.problem_page --check
	$(BIN)/python -m batchyard_contracts.schema.openapi_compat

shell: $(READY) ## Check shell scripts (shellcheck).
	$(BIN)/shellcheck $$(git ls-files .ci) $$(git ls-files '*.sh')

yaml: $(READY) ## Check YAML files (yamllint).
	$(BIN)/yamllint --strict $$(git ls-files '*.yml' '*.yaml')

security: $(READY) ## Look for unsafe code (bandit; its minor findings are among the rules of ruff).
	$(BIN)/bandit --quiet --recursive --severity-level medium contracts/batchyard_contracts shared devstack services

manifests: $(READY) ## Check compose file, image and Kubernetes manifests without an engine, and that no secret is committed.
	$(BIN)/python -m pytest -q tests/manifests

page: $(READY) ## Check style, types and unit tests of dashboard/, where Node.js or the npm registry is there.
	@PYTHON="$(BIN)/python" .ci/dashboard check

bench: $(READY) ## Measure beside others, print a table, and write it to benchmarks/results/ and docs/performance.md; ARGS=--help.
	@$(BIN)/python -m benchmarks $(ARGS)

bench-smoke: $(READY) ## Measure four rates in under four minutes and write them to benchmarks/results/smoke.json.
	@$(BIN)/python -m benchmarks smoke $(ARGS)

bench-rates: $(READY) ## Measure how a rate follows a destination whose capacity changes, and what limits cost that do not bind; 3 min.
	@$(BIN)/python -m benchmarks rates $(ARGS)

lock: $(READY) ## Resolve all locks anew to the newest versions; ARGS="--upgrade-package NAME" changes one package alone.
	$(COMPILE) --all-extras pyproject.toml contracts/pyproject.toml --output-file requirements.lock
	$(COMPILE) --extra otlp --extra parquet --extra s3 --constraints requirements.lock pyproject.toml --output-file requirements-image.lock
	$(COMPILE) --generate-hashes --no-deps --python-version 3.12 tests/support/routing-engines.in --output-file tests/support/routing-engines.txt
	$(COMPILE) dashboard/nodejs.in --output-file dashboard/nodejs.txt
	for peer in benchmarks/peers/*.in; do $(COMPILE) "$$peer" --output-file "$${peer%.in}.txt"; done
	for folder in benchmarks/peers/bullmq dashboard examples/node examples/node-worker examples/typescript; do \
	  (cd "$$folder" && rm package-lock.json && npm install --silent --package-lock-only --omit-lockfile-registry-resolved); done

clean: ## Stop what runs here and delete all that was made: servers' data, caches, results, the environment.
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m devstack erase; fi
	rm -rf .venv .batchyard out htmlcov .coverage .coverage-records .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache services/ingest/http/assets dashboard/node_modules dashboard/.node
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
