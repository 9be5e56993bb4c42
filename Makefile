# One command each: make demo, make test, make check, make bench.
# A fresh machine needs only Python, pip, make and a C compiler.
#   PYTHON=python3.12 make test      another Python
#   TORCH="torch==2.6.0" make test   another torch (see constraints.txt for the default)
#   make bench DATA=folder           with mnist.npz, fashion-mnist.npz: also quality per second
#   make bench BENCH="steps dcgan"   a part of it

PYTHON ?= python3
VENV ?= .venv
TORCH ?=
DATA ?=
BENCH ?=
BIN := $(VENV)/bin
CODE := src tests benchmarks
STAMP := $(VENV)/.installed

# Threads that spin for long stop each other on a shared machine (docs/decisions/007).
export GOMP_SPINCOUNT ?= 1000

.PHONY: demo test test-slow bench check format clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(if $(TORCH),$(BIN)/python -m pip install --quiet "$(TORCH)",)
	$(BIN)/python -m pip install --quiet $(if $(TORCH),,--constraint constraints.txt) --editable ".[tensorboard,hub]" --group dev
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/cardigan train digits --minutes 1 --out runs/demo
	$(BIN)/cardigan sample runs/demo --count 16
	$(BIN)/cardigan report runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow or gpu"

# Compares with the tutorials in turn, within half an hour on two cores; fills the tables of docs/benchmarks.md.
bench: $(STAMP)
	$(BIN)/python benchmarks/bench $(BENCH) $(if $(DATA),--data $(DATA),)

check: $(STAMP)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(STAMP)
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
