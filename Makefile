# Everything runs in .venv, which `make install` makes. Works with GNU make 3.81 (macOS) and newer.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# LIGHT=1 leaves torch out, which is most of what is installed
LIGHT ?=
COMMA := ,
NEURAL := $(if $(LIGHT),,$(COMMA)neural)

.PHONY: help install kernels demo test test-long bench quality lint format docs docs-check pictures look clean

help:
	@echo "make demo       a running system on real shopping data   (ARGS=\"--seconds 60 --keep ...\")"
	@echo "make test       the tests, about 25 minutes             (ARGS=\"-k name\")"
	@echo "make test-long  with the long forms of the fault tests"
	@echo "make bench      the figures of README, printed and in build/bench.json"
	@echo "make quality    how good the lists are on public logs    (ARGS=\"ml-100k --parts main\")"
	@echo "make lint       ruff and mypy; make format repairs what ruff can"
	@echo "make docs       write the generated pages anew; make docs-check only compares"
	@echo "make pictures   pictures of the console in build/pictures/ (needs Chromium)"
	@echo "make look       pictures of the dashboards in build/look/ (needs npm, Chromium, Prometheus)"
	@echo "LIGHT=1         with any of these, the first time: without torch and the neural ranker"
	@echo "make install    .venv with everything; make clean removes it and all that was built"

install: .venv/installed

# a stamp for each set of extras: the demonstration needs no test tools
.venv/installed-demo: EXTRAS = local,fast,demo$(NEURAL)
.venv/installed: EXTRAS = $(if $(LIGHT),dev-light,dev)
.venv/installed-demo .venv/installed: pyproject.toml | .venv/made
	@echo "Installing streamrec[$(EXTRAS)] into .venv, the first time only"
	@echo "$(if $(LIGHT),Without torch: no neural ranker$(COMMA) its tests are skipped,With torch: LIGHT=1 leaves it out; README.md says how to get 0.2 GB instead of 4.7)"
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch .venv/installed-demo $@

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "streamrec needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)."; \
	  echo "Name another one: make $(or $(MAKECMDGOALS),install) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { \
	  echo "$(PYTHON) cannot make virtual environments (on Debian: apt install python3-venv)."; \
	  exit 1; }
	@touch $@

demo: .venv/installed-demo
	$(BIN)/streamrec demo $(ARGS)

# once, where all the processes of the tests would compile the same at the same time
kernels: install
	@$(BIN)/python -c "from streamrec.roles.warm import warm_up; from streamrec.settings.load import load; \
	  warm_up(load(None, {}, {}))"

test: kernels
	tools/test $(ARGS)

test-long: kernels
	STREAMREC_TEST_LONG=1 tools/test $(ARGS)

quality: install
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality $(ARGS)

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	$(BIN)/python -m tools.reference

docs-check: install
	$(BIN)/python -m tools.reference --check

pictures: install
	PYTHONPATH=.:tests $(BIN)/python -m tests.end_to_end.console_pictures

# Grafana's own components draw the dashboards: no server of Grafana, nothing under the AGPL
look: install build/look-page/index.html
	PYTHONPATH=tests:tests/operations $(BIN)/python tests/operations/look.py

build/look-page/index.html: tools/look/package.json $(wildcard tools/look/*.ts*) tools/look/index.html
	mkdir -p build/look-npm && cp tools/look/* build/look-npm/
	cd build/look-npm && npm install --ignore-scripts --no-audit --no-fund
	cd build/look-npm && npx vite build --outDir ../look-page --emptyOutDir

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
