# make demo    train, audit, export and judge on real mortgage data; the page is reports/demo/report.html
# make test    the tests            make check   style, types
# make zoo     the planted faults, the long way, and what make smoke runs
# make smoke   a real Spark, a real Dask cluster and Ibis give the same counts (needs Java 17 or later), shap the same
#              values, and model-signing accepts our signature of a model
# make messages  what the code can say, into the catalogues of report/locales; empty ones are then to be filled
# make bench   what is measured beside what a user would pick instead: counts, nets, private steps, files that ship, the gate

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test check zoo smoke bench messages clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/rai demo

# Two processes with one thread each are quicker on two cores than one with two; a file stays in one process, so
# that what its tests share (a trained net, a demo run) is made once.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

zoo: $(VENV)/.smoke
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "zoo or smoke"

smoke: $(VENV)/.smoke
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m smoke tests/smoke tests/audits/test_attributions.py tests/test_verify.py

bench: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fairness_counts.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/loops.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/loading.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/command.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/private_step.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/explanations.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/onnx_speed.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gate_and_page.py

messages: $(VENV)/.dev
	@$(BIN)/python tests/report/fill_catalogues.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

# Debian's python3 has venv without ensurepip; there the pip that is installed fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) > /dev/null 2>&1 \
	  || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
	       && $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install --quiet pip; } \
	  || { rm -rf $(VENV); exit 1; }

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (a few minutes the first time) …" >&2
	$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (a few minutes the first time) …" >&2
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.smoke: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (a few minutes the first time) …" >&2
	$(INSTALL) -e '.[smoke]'
	@touch $@ $(VENV)/.dev $(VENV)/.demo
