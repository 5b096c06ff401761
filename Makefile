# Everything runs in .venv, which uv creates from the pinned requirements (pip installs uv if it is missing).
SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
DATA_DIR ?= .data
export DATA_DIR

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := $(shell command -v uv || echo $(BIN)/uv)
# Recreate an incomplete .venv, or one whose Python is gone: check for the package that is installed last.
BROKEN := $(shell { command -v $(UV) && $(BIN)/python -I -c 'import importlib.metadata as m; m.version("plinth-backend")'; } \
    >/dev/null 2>&1 || echo broken)

.PHONY: help install dev test check wheel client docs lint prose format types floors migrations lock clean broken

help: ## list the commands; `make -C packages/plinth help` lists the library's
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 20

install: ## install everything into .venv
	@rm -f $(INSTALLED)
	@$(MAKE) --no-print-directory $(INSTALLED)

$(INSTALLED): requirements-dev.txt pyproject.toml packages/plinth/pyproject.toml $(BROKEN)
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements-dev.txt
	@touch $@

broken:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plinth requires Python 3.11 or newer, and this is " + sys.version.split()[0] + ": run make PYTHON=python3.12 ...")'
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then uv venv --quiet --python $(PYTHON) $(VENV); \
	elif $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV) \
	    && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; \
	else echo "$(PYTHON) cannot create .venv: install python3-venv (apt-get install python3-venv), or uv." >&2; exit 1; fi

dev: $(INSTALLED) ## start the embedded services, migrate, and serve on PORT (8000) with reload
	@exec $(BIN)/plinth dev --port $(PORT)

test: $(INSTALLED) ## run the application's tests, including the library's contract suite
	@$(BIN)/pytest -n auto --dist worksteal

wheel: $(INSTALLED) ## build the library's wheel into dist/, for `plinth start`
	@$(UV) build --quiet --wheel --build-constraints deploy/build-requirements.txt --out-dir dist packages/plinth

client: $(INSTALLED) ## generate the TypeScript client in clients/typescript (docs/how-to/clients.md)
	@$(BIN)/plinth openapi --output clients/typescript/openapi.json
	@cd clients/typescript && npm install --silent && npm run --silent generate && npm run --silent build

docs: $(INSTALLED) ## build the documentation as a site in dist/docs
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -b html docs dist/docs

lint: $(INSTALLED) ## check lint and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED) ## fix what ruff can fix
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

prose: $(INSTALLED) ## check spelling and language of docs, comments, messages and names of tests
	@$(BIN)/codespell $$(git ls-files ':!packages/plinth/tests/test_prose.py' ':!alembic/versions' '*.py' '*.md' '*.toml' '*.html' '*.jinja' .env.example)
	@$(BIN)/python scripts/check_prose.py

types: $(INSTALLED) ## check types with mypy
	@$(BIN)/mypy app alembic tests

floors: $(INSTALLED)
	@$(BIN)/lint-imports

migrations: $(INSTALLED) ## check that the migrations take no lock that blocks the application
	@sql=$$($(BIN)/alembic upgrade head --sql) && printf '%s\n' "$$sql" | $(BIN)/squawk

check: lint prose types floors migrations test ## check language, lint, types, layers, migrations, and run the tests

lock: $(INSTALLED) ## recompile both requirements files from pyproject.toml
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements.txt
	@grep -v '^-e ' requirements.txt >$(VENV)/constraints.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --upgrade -c $(VENV)/constraints.txt \
	    pyproject.toml --group dev --group docs -o requirements-dev.txt

clean: ## remove .venv and caches, but no data
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .coverage
