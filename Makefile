# Everything happens in .venv (and, for Lava, in a Python 3.10 runtime that `hypr lava install` manages). A fresh clone needs nothing done before:
#   make demo    train, quantize, export, run every engine, verify bit by bit, write a report
#   make test    the test suite
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV    ?= .venv
PYTHON  ?=
DEMO    ?= runs/demo
PYTEST  ?=
WORKERS ?= 2
STAMP   := $(VENV)/.stamp
BIN     := $(abspath $(VENV))/bin

# Data, golden values and foreign networks for tests lie beside the checkout on some machines; tests that need them skip elsewhere.
ifneq ($(wildcard ../shared/data),)
export HYPR_DATA   ?= $(abspath ../shared/data)
endif
ifneq ($(wildcard ../shared/golden),)
export HYPR_GOLDEN ?= $(abspath ../shared/golden)
endif
ifneq ($(wildcard ../shared/cases),)
export HYPR_CASES  ?= $(abspath ../shared/cases)
endif

.PHONY: help setup lava demo test gpu-test test-slow coverage reproducible lint format bench notebooks docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## create .venv and install everything into it

# The first interpreter that really runs and is new enough; a shim that only names a version does not count.
$(STAMP): pyproject.toml constraints.txt
	@python=""; \
	for candidate in "$(PYTHON)" python3 python3.13 python3.12 python3.11 "$$HOME"/.pyenv/versions/3.1[1-3]*/bin/python3; do \
	  [ -n "$$candidate" ] || continue; \
	  if "$$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2])' >/dev/null 2>&1; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "make: no Python >= 3.11 found; install one (for example: pyenv install 3.11) or pass PYTHON=/path/to/python3" >&2; exit 3; fi; \
	if ! "$(BIN)/python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' >/dev/null 2>&1; then \
	  echo "creating $(VENV) with $$("$$python" -V)"; "$$python" -m venv --clear "$(VENV)"; \
	fi
	@echo "installing into $(VENV) (a few minutes the first time)"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,notebook,docs]'
	@touch $@

lava: $(STAMP) ## create the Python 3.10 runtime that holds Lava
	@"$(BIN)/hypr" lava install || { rc=$$?; [ $$rc -eq 3 ] && echo "going on without Lava: its engine and tests are left out"; }

demo: $(STAMP) lava ## train on digits, quantize, export, verify on every engine, report (5 minutes at most)
	@"$(BIN)/hypr" demo --out $(DEMO)

# A process for each core; the tests of one file stay together, for they share what is trained once.
test: $(STAMP) lava ## the test suite
	@"$(BIN)/python" -m pytest -m "not slow" -n $(WORKERS) --dist loadfile $(PYTEST)

gpu-test: $(STAMP) ## the GPU kernels on a GPU (Triton's interpreter, which other tests use, is off here)
	@"$(BIN)/python" -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else "make: torch sees no CUDA GPU here")'
	@HYPR_GPU_TESTS=1 "$(BIN)/python" -m pytest tests/gpu $(PYTEST)

test-slow: $(STAMP) lava ## everything, the long runs too
	@"$(BIN)/python" -m pytest $(PYTEST)

coverage: $(STAMP) lava ## branch coverage of hardware and export by the test suite
	@rm -rf build/coverage && mkdir -p build/coverage
	@"$(BIN)/python" -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered $(PYTEST)

# Pairs of interpreter and numpy for which there are no wheels are left out.
reproducible: $(STAMP) ## the recorded hashes on every Python of pyenv, with numpy 1.26 and the newest (3.10: hardware alone)
	@pythons=""; \
	for python in "$$HOME"/.pyenv/versions/3.1[0-3]*/bin/python3; do for numpy in 'numpy==1.26.4' 'numpy>=2.1'; do \
	  place="$(abspath $(VENV))/reproducible/$$(basename "$$(dirname "$$(dirname "$$python")")")-$${numpy//[^0-9.]/}"; \
	  case "$$python" in *versions/3.10*) more="";; *) more="nir h5py onnx";; esac; \
	  "$$python" -m venv "$$place" && "$$place/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: "$$numpy" $$more \
	    && pythons="$$pythons:$$place/bin/python" || echo "left out: $$place"; \
	done; done; \
	HYPR_PYTHONS="$${pythons#:}" "$(BIN)/python" -m pytest tests/unit/test_reproducible.py $(PYTEST)

lint: $(STAMP) ## ruff and mypy over the whole tree
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/mypy"

format: $(STAMP) ## let ruff rewrite what it can
	@"$(BIN)/ruff" check --fix-only --quiet .
	@"$(BIN)/ruff" format .

bench: $(STAMP) ## side-by-side speed and memory ratios
	@"$(BIN)/hypr" bench

notebooks: $(STAMP) lava ## execute the notebooks and store what they show
	@"$(BIN)/python" -m tests.notebook_runs

docs: $(STAMP) ## the documentation, into site/; any warning is an error
	@NO_MKDOCS_2_WARNING=1 "$(BIN)/mkdocs" build --quiet --strict && echo "open site/index.html"

clean: ## remove environments, runs and caches
	rm -rf $(VENV) runs bundles build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
