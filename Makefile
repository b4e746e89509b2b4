# The recipes of the project. `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
# One thread for small blocks of linear algebra: two only wait for each other.
export OPENBLAS_NUM_THREADS := 1
# Modules are compiled once for all processes of a recipe, not in each anew.
unexport PYTHONDONTWRITEBYTECODE

# uv is quick where it can reach the registry; behind a company's certificates it needs the system's; pip always works.
UV_INSTALL := pip install -q --python $(BIN)/python --require-hashes -r requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint format lock words lab docs clean

help:  ## list the recipes
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/ready  ## make .venv with the pinned dependencies

.venv/ready: requirements.lock pyproject.toml hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv 2>/dev/null || true
	@echo "Installing the pinned dependencies into .venv (some 10 seconds with uv, some minutes with pip) ..."
	@$(BIN)/uv $(UV_INSTALL) 2>/dev/null || $(BIN)/uv --system-certs $(UV_INSTALL) 2>/dev/null || \
	  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch .venv/ready

demo: .venv/ready  ## the main job on synthetic patients: clinic files to a report
	@$(BIN)/catamnesis demo --out demo

test: .venv/ready  ## the quick test suite
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-slow: .venv/ready  ## simulations and fuzzing with many repetitions
	@$(BIN)/python -m pytest -q -m slow

lint: .venv/ready  ## style, types, import direction
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: .venv/ready  ## put code into the common form
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

lock: .venv/ready  ## pin the dependencies anew: versions and hashes, no registry address
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev pyproject.toml -o requirements.lock

words: .venv/ready  ## bring the report's catalogues of words up to date with what it says
	@$(BIN)/python -m reports.locale.update

docs: .venv/ready  ## the documentation as a site that works offline: site/index.html (notebooks are run, once)
	@$(BIN)/python docs/website

lab: .venv/ready  ## JupyterLab with the notebooks
	@$(BIN)/jupyter lab --notebook-dir notebooks

clean:  ## remove what the recipes made
	@rm -rf .venv demo dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
