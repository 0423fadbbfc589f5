# `make summary` does everything: environment, run, table. See README.md.

SHELL := bash
PYTHON ?= python3
CORES ?= all
UV_VERSION := 0.13.9

VENV := .venv
STAMP := $(VENV)/.installed
# Commands of the environment first, without activating it. Python may keep what it compiles, also where the shell
# forbids it, as in many containers: else every job compiles caft anew.
IN_ENV := PYTHONDONTWRITEBYTECODE= PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
FIND_LINKS := $(foreach folder,$(PIP_FIND_LINKS),--find-links $(folder))
# What an environment may take, with CUDA libraries unless there are wheels of one's own.
ENV_GB := $(if $(PIP_FIND_LINKS),2,8)
# What has no wheel on the package index, so that installing it runs its setup.
SOURCE_ONLY := cellpylib connection-pool pycosat zss

.DEFAULT_GOAL := help
# The user's configuration, or several, laid over config.yaml: make summary CONFIG=my.yaml
CONFIG ?=
WITH_CONFIG := $(if $(CONFIG),--configfile $(CONFIG))

.PHONY: help env lock licences summary report test lint docs clean-env

help:
	@echo "make env        the pinned environment in $(VENV), made again when requirements.lock or pyproject.toml change"
	@echo "make lock       requirements.lock anew: the newest releases with UPGRADE=yes, else what has to change"
	@echo "make licences   the licence of every package in the environment"
	@echo "make summary    run the workflow: summary, tables and figures (CORES=$(CORES), CONFIG=my.yaml for your own)"
	@echo "make report     the whole workflow, and its results as one page: results/report.html (CONFIG=my.yaml)"
	@echo "make test       all tests"
	@echo "make lint       formatting, style, types, workflow"
	@echo "make docs       docs/config.md, the schema, docs/reruns.md and the picture of the rules, from the code"
	@echo "make clean-env  remove $(VENV)"

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "caft needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make env PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@case "$(CURDIR)" in *:*) \
	  echo "$(CURDIR) has a colon in it, which ends a folder on PATH; move the checkout elsewhere." >&2; exit 1;; esac
	@$(PYTHON) -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < $(ENV_GB) * 1e9)' || { \
	  echo "The environment takes up to $(ENV_GB) GB, and $(CURDIR) has less; make room, or say how much is" \
	    "enough, as for a build of torch without CUDA: make env ENV_GB=2" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python .ci/local_wheels requirements.lock $(PIP_FIND_LINKS) > $(VENV)/requirements.txt
	if $(VENV)/bin/python -m pip install --quiet uv==$(UV_VERSION); then \
	  install=("$(VENV)/bin/uv" pip install --quiet --compile-bytecode --python "$(VENV)/bin/python" $(FIND_LINKS)); \
	else \
	  echo "uv $(UV_VERSION) could not be installed; pip does the same, more slowly"; \
	  install=("$(VENV)/bin/python" -m pip install --quiet); \
	fi && \
	"$${install[@]}" --require-hashes -r $(VENV)/requirements.txt && "$${install[@]}" --no-deps --editable .
	$(VENV)/bin/python -m pip check
	@touch $@

lock: env
	"$(VENV)/bin/uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --quiet --no-header \
	  --generate-hashes $(if $(UPGRADE),--upgrade) --only-binary :all: $(SOURCE_ONLY:%=--no-binary %) \
	  --output-file requirements.lock
	@# pip lets the last of these win, so that what names a package has to follow.
	{ echo "# Made by \`make lock\`. What follows --no-binary has no wheel on the package index."; \
	  echo "--only-binary :all:"; printf -- "--no-binary %s\n" $(SOURCE_ONLY); cat requirements.lock; } > requirements.tmp
	mv requirements.tmp requirements.lock

licences: env
	@$(IN_ENV) python .ci/licences

summary: env $(CONFIG)
	$(IN_ENV) snakemake summary --cores $(CORES) $(WITH_CONFIG)

# Of what is in results/: never computes another configuration over it.
report: env $(CONFIG)
	$(IN_ENV) python -m caft.report.provenance config.yaml $(CONFIG)
	$(IN_ENV) snakemake --cores $(CORES) $(WITH_CONFIG)
	$(IN_ENV) snakemake --report results/report.html $(WITH_CONFIG)

test: env
	$(IN_ENV) pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: env
	$(IN_ENV) ruff check .
	$(IN_ENV) ruff format --check .
	$(IN_ENV) snakefmt --check Snakefile workflow/rules
	$(IN_ENV) mypy
	$(IN_ENV) lint-imports --no-logo
	$(IN_ENV) python .ci/lint_workflow
	$(IN_ENV) python .ci/lint_wraps

docs: env
	$(IN_ENV) python docs/generate.py
	$(IN_ENV) python docs/generate_students.py
	$(IN_ENV) python docs/generate_memory.py
	$(IN_ENV) python docs/generate_reruns.py
	$(IN_ENV) python docs/draw_rules.py

clean-env:
	rm -rf $(VENV)
