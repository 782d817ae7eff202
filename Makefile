# Commands that set themselves up: `make` runs the study `quick`, `make test` all checks and tests,
# `make test-fast` those tests that take a minute or two together, and `make gpu`, on a machine with a GPU,
# the tests that need one and the benchmark.
CORES ?= 2
# Keys of the configuration to override, as "epochs=3 'seeds=[0,1,2]'".
CONFIG ?=
PYTHON ?= python3
# Batch sizes of the benchmark on a GPU, and the folder of its table, which is written row by row.
BATCH ?= 4096
OUT ?= results
VENV := .venv
STAMP := $(VENV)/.installed
# What is not on PATH when the environment is not activated.
BIN := $(VENV)/bin

.PHONY: quick test test-fast gpu check help
quick: $(STAMP)
	$(BIN)/snakemake --cores $(CORES) --config study=quick $(CONFIG)

test: $(STAMP) check
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal --durations 20

test-fast: $(STAMP)
	$(BIN)/pytest --numprocesses $(CORES) --dist worksteal \
	  -m "not slow and not workflow and not gpu"

# A test that fails keeps the benchmark from nothing; only files with tests of a GPU are read. Rows
# of 0.3 s let a study's 36 sweeps end within the time of a table, with the kernels that they compile.
gpu: $(STAMP)
	mkdir -p $(OUT)
	tests=0; $(BIN)/python -m pytest -m gpu --numprocesses 4 --dist worksteal --durations 10 \
	  $$(grep -rlw --include='test_*.py' pytest.mark.gpu tests) || tests=$$?; \
	$(BIN)/python -m kancore.bench --device cuda --batch $(BATCH) --seconds 0.3 --most 150 \
	  --out $(OUT)/bench_gpu.md && exit $$tests

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

help:
	@echo "make [CORES=2] [CONFIG=...]  run the study quick; its report is results/quick/report.html"
	@echo "make test, make test-fast    run all tests, or those that take a minute or two together"
	@echo "make check                   run linters and types"
	@echo "make gpu [BATCH=4096] [OUT=results] test and measure a GPU; where nothing can be installed, with"
	@echo "                             STAMP= BIN=FOLDER, where the python is that has the packages"
	@echo "make .venv/.installed        make the virtual environment, as all of these do first"
	@echo "python -m kancore            list the commands of the package"

$(STAMP): requirements.lock pyproject.toml setup.py $(wildcard kancore/layers/*_cpp/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-build-isolation --no-deps --editable .
	@$(BIN)/python -c "from kancore.layers.local_support import FORM; print('compiled kernels:', FORM)"
	touch $@
