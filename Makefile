# The one interface for people and CI. Every target may be repeated; what is done already costs nothing.

PYTHON ?= python3
# Where pip looks for torch; empty means the index that pip is configured with. See docs/how-to/operate.md.
TORCH_INDEX ?=
DATA_DIR ?= maas-data
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What makes typed clients, for the tests: apart, because it wants another typer than we do.
GENERATORS := $(VENV)/generators
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command 'make lock'
PROJECT := pyproject.toml --override requirements/overrides.txt --extra postgres

LOCK_NODE := npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

.PHONY: setup generators run demo check lint test test-sqlite test-postgres migrate lock clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): pyproject.toml requirements/torch.txt requirements/dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
		-r requirements/torch.txt
	if $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; then \
		$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements/dev.txt && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .; \
	fi
	touch $(STAMP)

generators: $(GENERATORS)/python/.installed $(GENERATORS)/node/.installed

# Where these cannot be installed, the tests that need them are left out, with the reason; where CI is set, they fail.
$(GENERATORS)/python/.installed: requirements/generators.txt | $(STAMP)
	$(BIN)/python -m venv --clear $(@D)
	if $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<; then \
		touch $@; \
	fi

$(GENERATORS)/node/.installed: requirements/node/package.json requirements/node/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	if command -v npm >/dev/null && npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel error; then \
		touch $@; \
	fi

run: setup
	$(BIN)/maas serve --data-dir $(DATA_DIR)

demo: setup
	$(BIN)/maas demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: test-sqlite test-postgres

test-sqlite: setup generators
	$(BIN)/pytest -n $(WORKERS)

test-postgres: setup generators
	$(BIN)/pytest -n $(WORKERS) --database postgres

check: lint test

migrate: setup
	$(BIN)/maas migrate --data-dir $(DATA_DIR)

# Pins everything but torch for Python 3.11; run it after a change of dependencies in pyproject.toml or package.json.
lock: setup
	$(COMPILE) $(PROJECT) --output-file requirements/core.txt
	$(COMPILE) $(PROJECT) --group dev --output-file requirements/dev.txt
	$(COMPILE) --group pyproject.toml:generators --output-file requirements/generators.txt
	$(LOCK_NODE) --prefix requirements/node

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
