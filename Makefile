# Two commands matter to a user: `make demo` and `make test`. Every target stands on `.venv`, made once by `make env`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# How many tests run side by side: one more than there are cores, as many tests wait for a process of their own.
TEST_WORKERS ?= $(shell $(PYTHON) -c 'import os; print(len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else "auto")')

# Where the environment forbids it, every test process would compile the tests and the program anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env demo test check package-test disk-test tmux-test bench bench-tui screenshots format clean

env: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed; this is " + sys.version.split()[0] + ". Try: make env PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --no-deps --target $(VENV)/eight-bit --group eight-bit
	@touch $@

demo: env
	$(BIN)/acestep-tui --run presets/demo.json

check: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal

package-test: env
	$(BIN)/python tests/packaging/check_wheel.py

disk-test: env
	$(BIN)/python tests/packaging/check_full_disk.py

tmux-test: env
	$(BIN)/python -m tests.terminal.check_tmux

bench: env
	$(BIN)/python -m bench

bench-tui: env
	$(BIN)/python -m bench.tui

screenshots: env
	$(BIN)/python -m tests.tui.screenshots docs/images

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
