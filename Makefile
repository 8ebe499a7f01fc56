# make demo       a fresh environment, the showcase simulation, its page
# make test       what CI runs: style, types, layers, tests
# make test-full  long checks too, and whether enough of the code is run by tests
# make coverage   how much the last test-full ran, in percent, branches included: of net, of alloc, of all
# make mutants    docs/mutants.md: which small mistakes in net/transfer and alloc the tests find; an hour
# make bench      timings
# make gallery    docs/gallery.md, its figures and screenshots
# make known-results  docs/known_results.md and its figure, from two studies
# make golden     tests/golden, after a change that is meant to change numbers
# make paper      docs/paper.md and docs/beyond.md from scenarios/paper and some of scenarios/studies: hours; finished runs are kept
# make paper-quick a small version of it, into runs/paper-quick: three minutes
# make validation docs/validation.md from the radio tests' own results, Sionna included

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

# Flower needs other versions of some packages than constraints.txt has: a folder of its own, in front of the others.
FLOWER := PYTHONPATH=$(CURDIR)/$(VENV)/flower $(BIN)/python

.PHONY: demo test test-full coverage mutants bench golden paper paper-quick validation gallery known-results chromium style clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed
	rm -rf runs/demo
	$(BIN)/cosim run scenarios/urban_50dev.yaml --out runs/demo
	$(BIN)/cosim report runs/demo --out runs/demo/report.html

test: $(VENV)/installed-dev $(VENV)/installed-flower style chromium
	$(BIN)/python -m pytest -n 2 --quiet -m "not full and not flower"
	$(FLOWER) -m pytest --quiet -m flower

test-full: $(VENV)/installed-full $(VENV)/installed-flower style chromium
	$(FLOWER) -m pytest --quiet -m flower --cov --cov-report=
	$(BIN)/python -m pytest -n 2 --quiet -m "not flower" --cov --cov-append --cov-report=term-missing:skip-covered
	$(MAKE) coverage

coverage:
	$(BIN)/coverage report --include='cosim/net/*' --format=total --precision=1 --fail-under=95
	$(BIN)/coverage report --include='cosim/alloc/*' --format=total --precision=1 --fail-under=95
	$(BIN)/coverage report --format=total --precision=1 --fail-under=90

mutants: $(VENV)/installed-dev
	$(BIN)/python scripts/mutate.py

bench: $(VENV)/installed-dev
	for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

golden: $(VENV)/installed-dev
	$(BIN)/python scripts/make_golden.py

validation: $(VENV)/installed-dev
	$(BIN)/python scripts/validate_radio.py

paper: $(VENV)/installed
	$(BIN)/python scripts/make_paper.py

paper-quick: $(VENV)/installed
	$(BIN)/python scripts/make_paper.py --quick

gallery: $(VENV)/installed-dev chromium
	$(BIN)/python scripts/make_gallery.py --pages

known-results: $(VENV)/installed-dev
	$(BIN)/cosim study scenarios/studies/known_personalization.yaml --out runs/known_personalization
	$(BIN)/cosim study scenarios/studies/known_pruning.yaml --out runs/known_pruning
	$(BIN)/python scripts/make_known_results.py runs/known_personalization runs/known_pruning

# Tests of the pages need a browser; where it cannot be installed, they are skipped.
chromium:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || apt-get install --yes --quiet chromium >/dev/null 2>&1 \
	|| echo "no Chromium: tests of the pages in a browser are skipped (apt-get install chromium)"

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
	$(INSTALL) --no-build-isolation --editable ".[dev,sionna,sumo,tensorboard]"
	touch $@

# Ray, and other programs that read the tables: what the long checks need beyond the others.
$(VENV)/installed-full: $(VENV)/installed-dev
	$(INSTALL) --no-build-isolation --editable ".[ray,readers]"
	touch $@

$(VENV)/installed-flower: $(VENV)/installed constraints-flower.txt
	rm -rf $(VENV)/flower
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(VENV)/flower --requirement constraints-flower.txt
	touch $@
