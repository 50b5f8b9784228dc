# Everything runs in .venv, which is made from nothing: Python 3.11+ and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := kit services gateway tests bench examples
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: fuzz run test test-versions check gen bench soak faults format console clean wheel

# Starts the product with sample logs that can be searched at once. Ctrl-C stops it.
run: $(STAMP)
	@$(BIN)/loganalyzer up --sample examples/logs $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

# What newer Pythons could change, under those that are here, each in an environment of its own: the kit's units, and, on the newest, its real
# calls.
PRODUCT_UNITS = $(patsubst %,--ignore tests/unit/%,cache gateway importer k8s loganalyzer_cli search workspace)
test-versions:
	@for version in 3.12 3.13; do \
	  python$$version -c '' 2>/dev/null || { echo "python$$version is not here: skipped"; continue; }; \
	  [ $$version = 3.13 ] && calls="tests/integration/client tests/integration/server" || calls=""; \
	  $(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=python$$version test ARGS="-q tests/unit $$calls $(PRODUCT_UNITS)" || exit 1; \
	done

# The one gate: format, lint, types, drift of generated code, tests.
check: $(STAMP)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/kit gen protos --out protos/gen --check
	$(BIN)/python -m pytest $(ARGS)

format: $(STAMP)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

gen: $(STAMP)
	$(BIN)/kit gen protos --out protos/gen

# Prints the figures of docs/benchmarks.md again; ARGS="calls --help" shows one part's options.
bench: $(STAMP)
	$(BIN)/python -m bench $(ARGS)

# Gives up a hundred thousand calls at random moments and prints what is left of them; `make test` does some thousands.
soak: $(STAMP)
	$(BIN)/python -m bench.soak $(ARGS)

# Kills processes at awkward moments, and restarts servers under load, many times over; `make test` does a little of it.
faults: $(STAMP)
	$(BIN)/python -m pytest tests/e2e/test_kill.py tests/integration/server/idempotency/test_kills.py --kills 20 $(ARGS)
	$(BIN)/python -m pytest tests/integration/server/test_rolling.py tests/conformance/test_three_hops.py --restarts 10 $(ARGS)
	$(BIN)/python -m pytest tests/e2e/test_import_kills.py --kills 200 $(ARGS)

# Feeds the query parser and the archive readers with what nobody would write, for MINUTES each.
MINUTES ?= 60
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz.query --minutes $(MINUTES)
	$(BIN)/python -m tests.fuzz.archives --minutes $(MINUTES)

# The console's bundle; only needed after a change in gateway/console/src. Needs Node 20 or newer.
console:
	cd gateway/console && npm install --no-package-lock --silent && npm test && npm run build

wheel: $(STAMP)
	$(BIN)/python -m build

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[loganalyzer,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-rivals build dist .mypy_cache .pytest_cache .ruff_cache
