# Everything runs in .venv, made from the pinned requirements by uv (itself installed by pip when absent).
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
DATA_DIR ?= .data
export DATA_DIR

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := $(shell command -v uv || echo $(BIN)/uv)
# Half made, or its Python was upgraded away: then it is made anew. What is installed last is asked for.
BROKEN := $(shell { command -v $(UV) && $(BIN)/python -I -c 'import importlib.metadata as m; m.version("plinth-backend")'; } \
    >/dev/null 2>&1 || echo broken)

.PHONY: help install dev test coverage mutants test-browser test-document test-faults test-new test-new-matrix test-start wheel test-hostile test-hostile-long test-budget test-fastapi check-long client test-client check lint format \
    types floors migrations bench bench-quick bench-keyset bench-login-timing bench-login-storm docs-assets lock clean broken

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 20

install: ## everything into .venv, and nothing else
	@rm -f $(INSTALLED)
	@$(MAKE) --no-print-directory $(INSTALLED)

$(INSTALLED): requirements-dev.txt pyproject.toml packages/plinth/pyproject.toml $(BROKEN)
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements-dev.txt
	@touch $@

broken:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plinth needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which one with make PYTHON=python3.12 ...")'
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then uv venv --quiet --python $(PYTHON) $(VENV); \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV) \
	    && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
	else echo "$(PYTHON) cannot make a .venv: install python3-venv (apt-get install python3-venv), or uv." >&2; exit 1; fi

dev: $(INSTALLED) ## the embedded services, the migrations and the API on PORT (8000) with reload
	@exec $(BIN)/plinth dev --port $(PORT)

test: $(INSTALLED) ## the whole suite, in parallel
	@$(BIN)/pytest -n auto --dist worksteal

coverage: $(INSTALLED) ## the same, with the coverage of branches: twice the time on a Python before 3.12
	@$(BIN)/pytest -n auto --dist worksteal --cov --cov-report=term

test-browser: $(INSTALLED) ## the pages clicked through in headless Chromium; pictures in .screenshots/
	@.ci/with-chromium $(BIN)/pytest -n 0 tests/browser

test-document: $(INSTALLED) ## the OpenAPI document against a running server, by Schemathesis
	@$(BIN)/pytest -n 0 tests/fuzz

# alembic sets the timeouts before them (plinth/db/schema/environment.py).
STEPS := $(wildcard packages/plinth/src/plinth/db/schema/sql/*/up.sql)

# These take a core and real-time priority, so they run by themselves.
HOSTILE := tests/faults/test_hostile_clients.py tests/faults/test_hostile_accounts.py

test-faults: $(INSTALLED) ## what holds when something is away: real servers, frozen and killed (docs/faults.md)
	@$(BIN)/pytest -n 2 --dist load tests/faults $(addprefix --ignore=,$(HOSTILE))

test-hostile: $(INSTALLED) ## hostile clients beside a normal one, two seconds of each attack; as root, or on a quiet machine
	@$(BIN)/pytest -n 0 $(HOSTILE)

test-hostile-long: $(INSTALLED) ## each attack of hostile clients for a minute, as LONG=1 has it: some 45 minutes
	@LONG=1 $(BIN)/pytest -n 0 $(HOSTILE)

test-new: $(INSTALLED) ## plinth new and plinth remove, in a copy of this checkout (docs/resources.md)
	@$(BIN)/pytest -n 0 -o faulthandler_timeout=1200 tests/new

test-new-matrix: $(INSTALLED) ## every combination of what plinth new offers, generated, checked and removed: half an hour
	@NEW_MATRIX=whole $(BIN)/pytest -n 0 -o faulthandler_timeout=1200 tests/new/test_matrix.py tests/new/test_names.py

wheel: $(INSTALLED) ## the library's wheel, in dist/: `plinth start` makes a project of it
	@$(UV) build --quiet --wheel --build-constraints deploy/build-requirements.txt --out-dir dist packages/plinth

test-start: wheel ## a project that `plinth start` makes of the wheel: its commands, tests and checks
	@$(BIN)/pytest -n 0 -o faulthandler_timeout=1200 tests/start

test-budget: $(INSTALLED) ## what a request costs, by a bare function in the same run (docs/performance.md)
	@$(BIN)/pytest -n 0 tests/budget

mutants: $(INSTALLED) ## remove each security rule from a copy, and see that a test fails (tests/mutation)
	@$(BIN)/python -m tests.mutation

client: $(INSTALLED) ## the typed TypeScript client of the API as it is, in clients/typescript (docs/clients.md)
	@$(BIN)/plinth openapi --output clients/typescript/openapi.json
	@cd clients/typescript && npm install --silent && npm run --silent generate && npm run --silent build

test-client: $(INSTALLED) ## lint the OpenAPI document; compile the client and run it against a server
	@$(BIN)/pytest -n 0 tests/clients

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED) ## mend what ruff can mend
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

types: $(INSTALLED)
	@$(BIN)/mypy

floors: $(INSTALLED)
	@$(BIN)/lint-imports

migrations: $(INSTALLED)
	@sql=$$($(BIN)/alembic upgrade head --sql) && printf '%s\n' "$$sql" | $(BIN)/squawk
	@$(BIN)/squawk --assume-in-transaction --exclude prefer-text-field,require-lock-timeout,require-statement-timeout $(STEPS)

test-fastapi: $(INSTALLED) ## FastAPI's own suite with and without our dispatcher (docs/decisions/fast-paths.md): 15 minutes
	@$(BIN)/python -m tests.fastapi_suite.run

check-long: test-fastapi test-new-matrix test-hostile-long mutants coverage ## what takes longer than CI may: before a release, and after an update of FastAPI

check: lint types floors migrations test ## what CI runs: lint, format, types, floors, migrations, tests

docs-assets: ## fetch the scripts of /docs and /redoc anew, by npm: make docs-assets VERSIONS="redoc=3.0.1"
	@$(PYTHON) scripts/renew_docs_assets.py $(VERSIONS)

bench-login-timing: $(INSTALLED) ## does the time of a refused sign-in tell anything? Some minutes
	@$(BIN)/python -m bench.login_timing

bench-login-storm: $(INSTALLED) ## do the others notice when 200 people sign in at once?
	@$(BIN)/python -m bench.login_storm

bench-keyset: $(INSTALLED) ## a page by key among a million rows, at the start and deep inside
	@$(BIN)/python -m bench.keyset

bench: $(INSTALLED) ## this backend beside its peers, in under ten minutes; python -m bench.publish shows it in docs/performance.md
	@$(BIN)/python -m bench

bench-quick: $(INSTALLED) ## the same, of fewer kinds, in under two
	@$(BIN)/python -m bench --quick

lock: $(INSTALLED) ## recompile both requirements files from pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements.txt
	@grep -v '^-e ' requirements.txt >$(VENV)/constraints.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --upgrade -c $(VENV)/constraints.txt \
	    pyproject.toml --group dev -o requirements-dev.txt

clean: ## remove .venv and caches; the data stays
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage
