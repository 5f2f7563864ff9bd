# `make` builds the book, `make test` passes the tests; each sets up everything itself.
#
#   PYTHON=/path/to/python3.12   another Python for the set-up
#   CONFIG=name                  lay workflow/config.name.yaml over the default grid
#   JOBS=4                       jobs at a time (default: one per core)
#   TFF_BUILD=/path              another build folder
#   PROFILE=slurm                on a cluster (see the book's page on batches)

SHELL := /bin/sh
JOBS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
CONFIG ?=
PROFILE ?= local
VENV := .venv/bin
# bytecode is kept, also where a container says otherwise: many tests start Python anew
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(VENV)/python -m pytest -n $(JOBS) --dist loadgroup
BUILD := $(VENV)/python workflow/scripts/build.py --config "$(CONFIG)" --profile "$(PROFILE)" --jobs $(JOBS)
SYNCED := .venv/.synced
# an environment whose Python has gone is made anew
IGNORED := $(shell test -x $(VENV)/python || rm -f $(SYNCED))
BUILT := book class data detectors executed localized patches attribution planted treated variants adapted html html.new html.old logs results config.json .snakemake .ipython .jupyter .state .gpus .links
NOTEBOOKS := $(wildcard notebooks/*.py)

.PHONY: book all env test test-fast release lab notebooks editions pack lint lock clean help
.DEFAULT_GOAL := book

book: $(SYNCED)  ## build the book for the first detector: all that the paper claims (the default)
	@$(BUILD)

all: $(SYNCED)  ## build the whole book, for every detector
	@$(BUILD) --all

env: $(SYNCED)  ## set up .venv and nothing else

test: $(SYNCED)  ## run every test, the built book in a browser included
	@$(PYTEST)

test-fast: $(SYNCED)  ## run the tests that take about half a second at most: two minutes on two cores
	@$(PYTEST) -m "not slow and not book"

release: all  ## put the whole book into dist/: site, tables, PDF, bill of materials, checksums
	@$(VENV)/python workflow/scripts/release.py

lab: $(SYNCED)  ## open the notebooks in JupyterLab
	@$(VENV)/jupyter lab --notebook-dir=notebooks

notebooks: $(SYNCED)  ## write the .ipynb beside each .py of notebooks/
	@$(VENV)/python workflow/scripts/pairs.py $(NOTEBOOKS)

editions: $(SYNCED)  ## write the editions of the course into course/: students', instructors', solutions, autograders
	@$(VENV)/python workflow/scripts/editions.py --to course --edition student instructor solutions --autograder

pack: $(SYNCED)  ## put what a class needs into dist/: a zip for students (at most 200 MB), one for instructors
	@$(VENV)/python workflow/scripts/pack.py --config "$(or $(CONFIG),class)" --jobs $(JOBS)

lint: $(SYNCED)  ## format, lint and type-check
	@$(VENV)/ruff format . && $(VENV)/ruff check --fix . && $(VENV)/mypy && $(VENV)/lint-imports

lock: $(SYNCED)  ## pin the dependencies of pyproject.toml anew
	@$(VENV)/uv pip compile --quiet --universal --generate-hashes --no-header --all-extras --python-version 3.11 \
		pyproject.toml -o requirements.lock

clean:  ## remove what was built; .venv stays
	@cd "$${TFF_BUILD:-build}" 2>/dev/null && rm -rf $(BUILT) || true

help:  ## show this help
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20
	@sed -n 's/^#   \(.*\)/  make \1/p' Makefile

# The first Python that is new enough; else the message names what was found.
$(SYNCED): requirements.lock pyproject.toml workflow/scripts/setup_env.py
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" workflow/scripts/setup_env.py; \
		fi; \
	done; \
	echo "make: Python 3.11 or newer is needed, found $$($(or $(PYTHON),python3) --version 2>&1 | tail -1):" \
		"install one, or name it with make PYTHON=/path/to/python3.12" >&2; exit 1
