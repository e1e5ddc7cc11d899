# The two commands: `make run` shows it at work, `make test` proves it. Both set everything up.

VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup run up test lint bench clean distclean

help:
	@echo "make run        set up; three sites on this machine run three jobs, with the reasons (about 1 min)"
	@echo "make test       set up; every linter, type check and test"
	@echo "make up         set up; leave the three-site network running until Ctrl-C"
	@echo "make bench      set up; measure the simulator's speed"
	@echo "make test-parity-skypilot   ask the skypilot package itself (installed apart, 0.3 GB)"
	@echo "make clean      remove caches and what make run left"
	@echo "make distclean  the same, and the virtual environment"

setup:
	@sh scripts/setup.sh

run: setup
	@$(BIN)/westward up --demo

up: setup
	@$(BIN)/westward up

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two workers; the tests of one file stay in one process, in order.
test: lint
	$(BIN)/pytest -n 2 --dist loadfile

# The rival's environment is apart: nothing of it is a dependency of Westward.
.venv-bench/ready: benchmarks/requirements-rival.lock
	python3 -m venv .venv-bench
	.venv-bench/bin/pip install -q --require-hashes -r benchmarks/requirements-rival.lock
	touch $@

# The twin is C++: benchmarks/twin_cpp.
.PHONY: bench-tools
bench-tools:
	@command -v g++ >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "bench: installing g++ (the C++ twin is built with it)" && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq g++; } >/dev/null 2>&1; } || true
	@command -v g++ >/dev/null || { echo "bench: no g++ found, the C++ twin needs it. As root: apt-get install g++" >&2; exit 1; }

bench: bench-tools setup .venv-bench/ready
	$(BIN)/python benchmarks/run.py

# SkyPilot as an oracle, in an environment of its own: its answers of now against the recorded ones.
.venv-sky/ready: tests/parity_skypilot/requirements.lock
	python3 -m venv .venv-sky
	.venv-sky/bin/pip install -q --require-hashes -r tests/parity_skypilot/requirements.lock
	touch $@

.PHONY: test-parity-skypilot
test-parity-skypilot: setup .venv-sky/ready
	cd tests/parity_skypilot/corpus && HOME=$(CURDIR)/.venv-sky SKYPILOT_DISABLE_USAGE_COLLECTION=1 \
	  ../../../.venv-sky/bin/python ../oracle.py > ../../../.venv-sky/answers.json
	$(BIN)/python tests/parity_skypilot/verify.py .venv-sky/answers.json
	$(BIN)/pytest -q tests/parity_skypilot

clean:
	rm -rf $(VENV)/westward-warm run/demo out build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find westward tests benchmarks examples -type d -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-bench .venv-sky westward.egg-info
