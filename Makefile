# Everything a developer does here. `make` alone lists the targets; PYTHON= selects the interpreter of .venv.

VENV := .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python -m

PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
EDITABLE := -e . $(addprefix -e ,$(PLUGINS))
DEVELOPED := -e .[all] $(addprefix -e ,$(PLUGINS)) -r requirements-dev.txt
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS)) constraints.txt
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Test processes, more than cores because many tests wait; a plain run of one file needs none: make test PROCESSES=0 TESTS=tests/test_chat.py COVERAGE=
PROCESSES ?= 5
# Neighbours wait for the same things: each process begins in a place of its own.
SPREAD = -n $(PROCESSES) --dist worksteal
TESTS ?=
COVERAGE ?= --cov --cov-report=term
PYTEST := $(RUN) pytest
# Without bytecode files each worker, and each of the many programs that tests start, would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint format types layers docs bench gate soak clients venv constraints clean

help: ## list the targets
	@$(PYTHON) -c "import re; [print(f'make {m[1]:12}{m[2]}') for m in re.finditer(r'^(\w+):.*?## (.*)', open('Makefile').read(), re.M)]"

demo: $(VENV)/run.stamp ## watch chat requests survive a backend that dies
	@$(BIN)/prouter demo

test: $(VENV)/dev.stamp ## run the tests, with the coverage gate
	$(PYTEST) -q $(SPREAD) $(COVERAGE) $(TESTS)

lint: $(VENV)/dev.stamp ## check style and formatting
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: $(VENV)/dev.stamp ## mend style and formatting where a tool can
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

types: $(VENV)/dev.stamp ## check the types
	$(RUN) mypy

layers: $(VENV)/dev.stamp ## check who imports whom
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/dev.stamp ## write what the documentation takes from the code, and check the rest of it
	$(BIN)/python docs/generate.py
	$(PYTEST) -q tests/docs

bench: $(VENV)/dev.stamp ## measure what is claimed about speed, and write docs/explanation/speed.md
	$(RUN) benchmarks --page

gate: $(VENV)/dev.stamp ## count the instructions of a call, so that it grows no dearer unseen (needs valgrind)
	$(RUN) benchmarks.gate

soak: $(VENV)/dev.stamp ## run the tests that take minutes
	$(PYTEST) -q $(SPREAD) -m soak --timeout=3600 $(TESTS)
	$(PYTEST) -q $(SPREAD) -m "hypothesis and not soak and not clients" --hypothesis-profile=long --timeout=3600 $(TESTS)
	$(PYTEST) -q $(SPREAD) --transport httpx $(TESTS)

clients: $(VENV)/dev.stamp ## run other people's client libraries, and each plugin's tests with that plugin alone
	$(PYTEST) -q -m clients $(TESTS)

venv: $(VENV)/dev.stamp ## build .venv for development

constraints: ## resolve constraints.txt anew (needs uv)
	printf '%s\n' '-e .[all]' $(foreach plugin,$(PLUGINS),'-e $(plugin)') '-r requirements-dev.txt' \
	  | uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
	    --no-emit-package pip --no-emit-package httpx2-jsfetch --output-file $(VENV)/resolved.txt -
	$(PYTHON) -c "old = open('constraints.txt').readlines(); new = open('$(VENV)/resolved.txt').readlines(); \
	  open('constraints.txt', 'w').writelines([x for x in old if x[0] == '#'] + [x for x in new if '==' in x and x[0] != '#'])"

clean: ## remove what the targets have made
	$(PYTHON) -c "import glob, shutil; [shutil.rmtree(p) for n in ('.venv', '.*_cache', '.hypothesis', 'dist', 'htmlcov') for p in glob.glob(n)]"
	$(PYTHON) -c "import glob, os; [os.remove(p) for p in glob.glob('.coverage*')]"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, this is %d.%d: make PYTHON=/path/to/python' % sys.version_info[:2])"
	$(PYTHON) -m venv $(VENV)

# A stamp is younger than everything that says what is to be installed; what is installed for development runs the demo too.
$(VENV)/run.stamp: $(VENV)/pyvenv.cfg $(PROJECTS)
	$(INSTALL) $(EDITABLE)
	@$(PYTHON) -c "open('$@', 'w').close()"

$(VENV)/dev.stamp: $(VENV)/pyvenv.cfg $(PROJECTS) requirements-dev.txt
	$(INSTALL) $(DEVELOPED)
	@$(PYTHON) -c "[open('$(VENV)/' + name, 'w').close() for name in ('run.stamp', 'dev.stamp')]"
