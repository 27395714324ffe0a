# The one interface for people and CI. Every target may be repeated; what is done already costs nothing.

PYTHON ?= python3
# Where pip looks for torch; empty means the index that pip is configured with. See docs/how-to/operate.md.
TORCH_INDEX ?=
DATA_DIR ?= maas-data
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --python-version 3.11 --override requirements/overrides.txt \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' --extra postgres

.PHONY: setup run demo check lint test test-sqlite test-postgres migrate lock clean
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

run: setup
	$(BIN)/maas serve --data-dir $(DATA_DIR)

demo: setup
	$(BIN)/maas demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: test-sqlite test-postgres

test-sqlite: setup
	$(BIN)/pytest -n $(WORKERS)

test-postgres: setup
	$(BIN)/pytest -n $(WORKERS) --database postgres

check: lint test

migrate: setup
	$(BIN)/maas migrate --data-dir $(DATA_DIR)

# Pins everything but torch for Python 3.11; run it after a change of dependencies in pyproject.toml.
lock: setup
	$(COMPILE) --output-file requirements/core.txt
	$(COMPILE) --group dev --output-file requirements/dev.txt

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
