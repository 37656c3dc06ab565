PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# Processes for the tests, each with a server of its own; one where all would share that of TEST_DATABASE_URL.
WORKERS ?= $(if $(TEST_DATABASE_URL),0,3)
# Versions of Immich that `make versions` runs on; `make test` runs on the newest, and where it matters on each.
OLDER ?= 2.7 3.1 3.2

.PHONY: install demo test coverage versions containers soak check check-js format tables countries hashes bench screenshots clean

install: $(VENV)/installed ## make .venv with exactly what the two lock files name

$(VENV)/installed: requirements.lock requirements-dev.lock pyproject.toml
	@echo "1/4 make $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "2/4 install torch: some hundred megabytes, some minutes"
	$(PIP) --constraint requirements.lock torch==2.13.0
	@echo "3/4 install what the two lock files name: a minute or two"
	$(PIP) --no-deps --requirement requirements.lock --requirement requirements-dev.lock
	@echo "4/4 install immich-indexer itself"
	$(PIP) --no-deps --editable .
	touch $@

demo: install ## watch photos being uploaded, read and found
	$(BIN)/immich-indexer demo

test: install ## unit, integration and acceptance tests
	$(BIN)/python -m pytest -m "not soak and not containers" -n $(WORKERS) --dist worksteal --durations 10

coverage: install ## which code the unit and integration tests run, branches too; fails below the floor in pyproject.toml
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/unit tests/integration -m "not soak" -n $(WORKERS) --dist worksteal --timeout 600
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

versions: install ## the integration tests on older Immichs: IMMICH_VERSION runs any tests on one
	for version in $(OLDER); do IMMICH_VERSION=$$version $(BIN)/python -m pytest tests/integration -m "not soak" -n $(WORKERS) --dist worksteal || exit; done

containers: install ## build the image, start the compose files, break them; needs root and a container engine
	$(BIN)/python -m pytest tests/containers -m containers --timeout 1800 --exitfirst

soak: install ## the long runs
	$(BIN)/python -m pytest -m soak --timeout 3600

check: install ## lint, types, layers, format; of the console's JavaScript, too, where Node.js 20 or newer is
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v npm > /dev/null && node --eval 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; \
	then $(MAKE) --no-print-directory check-js; \
	else echo "Left out, for there is no Node.js 20 or newer: the console's JavaScript"; fi

check-js: node_modules/installed ## types and lint of the console's JavaScript
	npm run --silent check

node_modules/installed: package.json package-lock.json .npmrc
	npm ci
	touch $@

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tables: install ## write the settings into docs/settings.md and docs/settings.zh-CN.md
	$(BIN)/python -m docs.tables

countries: node_modules/installed ## write the names of countries, after a change of i18n-iso-countries in package.json
	$(BIN)/python -m tests.support.countries

hashes: install ## write deploy/packages*.lock, after a change in requirements.lock
	PATH="$(CURDIR)/$(BIN):$$PATH" bash deploy/hashes.sh

bench: install ## every benchmark; one with `python -m bench NAME --json`
	$(BIN)/python -m bench all

screenshots: install ## every view of the console, in both languages, light and dark; needs Chromium
	$(BIN)/python -m tests.support.screenshots screenshots

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis screenshots node_modules .coverage*
