# make demo: set up and run cia demo    make test: set up and run the tests
# make test-long: the tests that take minutes    make lint: style    make clean: remove what these made
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# tests run in two processes, each with one thread: with more, the small models of the tests only wait for each other
IN_TWO := env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist

.PHONY: demo test test-long lint clean

demo: .venv/installed
	$(BIN)/cia demo --out build/demo

test: .venv/installed
	$(IN_TWO) worksteal

test-long: .venv/installed
	$(IN_TWO) loadfile --no-loadscope-reorder tests/long

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv build *.egg-info

.venv/installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "cia-bench needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@
