# make demo       a fresh environment, the showcase simulation, its page
# make test       what CI runs: style, types, layers, tests
# make test-full  long checks too
# make bench      timings
# make validation docs/validation.md from the radio tests' own results, Sionna included

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

.PHONY: demo test test-full bench validation style clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/cosim run scenarios/urban_50dev.yaml --out runs/demo
	$(BIN)/cosim report runs/demo --out runs/demo/report.html

test: $(VENV)/installed-dev style
	$(BIN)/python -m pytest -n 2 --quiet -m "not full"

test-full: $(VENV)/installed-dev style
	$(BIN)/python -m pytest -n 2 --quiet --cov --cov-report=term-missing:skip-covered

bench: $(VENV)/installed-dev
	for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

validation: $(VENV)/installed-dev
	$(BIN)/python scripts/validate_radio.py

style: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV)

# A stamp's date says when the environment was made; it is made again only after the files it depends on change.
$(VENV)/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) hatchling editables
	$(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable ".[dev,sionna,sumo]"
	touch $@
