# The two commands: `make run` shows it at work, `make test` proves it. Both set everything up.

VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup run up test lint bench clean distclean

help:
	@echo "make run        set up; three sites on this machine run three jobs, with the reasons (about 1 min)"
	@echo "make test       set up; every linter, type check and test but the slow suites below (about 12 min on two cores)"
	@echo "make test-live  set up; the longer tests with real servers and agents (about 8 min)"
	@echo "make test-faults SEEDS=0..1500  the server and its agents in simulated worlds that fail (about 8 min)"
	@echo "make test-site  set up; the provider conformance kit on the local engine (2 min)"
	@echo "make up         set up; leave the three-site network running until Ctrl-C"
	@echo "make test-slurm set up; the Slurm engine against two real clusters (root; about 8 min)"
	@echo "make bench      set up; measure the simulator's speed"
	@echo "make test-ray   set up Ray apart; the Ray engine against a real cluster (about 6 min)"
	@echo "make test-k8s   build Kubernetes once (6 min); the Kubernetes engine against a real API server"
	@echo "make test-data  set up s3fs and an S3 server apart; data sets in a real S3 store (about 4 min)"
	@echo "make test-focus set up the FinOps validator apart; exports in FOCUS 1.0, CSV and Parquet (1 min)"
	@echo "make test-parity-skypilot   ask the skypilot package itself (installed apart, 0.3 GB)"
	@echo "make test-wide  two Slurm clusters, Ray and this machine behind lines with delays: 50 jobs (root; 6 min)"
	@echo "make test-chaos   real processes killed, cut off, out of disk; a partition in namespaces (root; about 8 min)"
	@echo "make soak       ten minutes under constant work, watched for growth (MINUTES=60)"
	@echo "make test-ledger  the ledger on SQLite and PostgreSQL, hammered by eight processes (about 2 min)"
	@echo "make test-replicas  several servers on a real PostgreSQL: killed, stopped, restarted; its backups (about 10 min)"
	@echo "make test-hostile  set up schemathesis apart; fuzzing, bombs, slow clients, sandbox escapes (22 CPU min; took 54)"
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

# Three workers on two cores, since tests with real processes wait for them a third of their time; the
# tests of one file stay in one process, in order. While the linters run, the other core compiles what
# the workers would else all compile.
test: setup
	@$(BIN)/python -m westward.simulate.warm networks/laptop packing & $(MAKE) --no-print-directory lint; \
	    linted=$$?; wait; exit $$linted
	$(BIN)/pytest -n 3 --dist loadfile -m "not long"

# Worlds that fail, under a virtual clock: SEEDS=A..B of them (the default takes 5 to 9 minutes on one
# core), on WORKERS cores. CI runs a slice; 100,000 take hours.
SEEDS ?= 0..1500
WORKERS ?= 1
.PHONY: test-faults
test-faults: setup
	$(BIN)/westward faultsim --seeds $(SEEDS) --workers $(WORKERS)
	$(BIN)/pytest -n 2 --dist load -m long tests/faults

# Real servers and agents over minutes: joining, longer lives, data.
.PHONY: test-live
test-live: setup
	$(BIN)/pytest -n 2 --dist loadfile -m long tests/live

# The Slurm engine against real clusters on loopback. Needs root (slurmd does); installs Debian's
# slurm-wlm and munge, or says so. WITH_DATABASE=1 also slurmdbd and MariaDB, for sacct.
.PHONY: test-slurm
test-slurm: setup
	@$(BIN)/python -m tests.engines_up.slurm check
	WESTWARD_TEST_ENGINES=slurm $(BIN)/pytest tests/conformance/engines
	WESTWARD_TEST_ENGINES=slurm WESTWARD_TEST_SLURM_CLOCK=ask $(BIN)/pytest tests/conformance/engines/test_engine_lease.py
	WESTWARD_TEST_ENGINES=slurm $(BIN)/pytest tests/slurm

# Ray's environment is apart: the agent speaks to Ray over HTTP alone.
.venv-ray/ready: tests/engines_up/requirements-ray.lock
	python3 -m venv .venv-ray
	.venv-ray/bin/pip install -q --require-hashes -r $<
	touch $@

.PHONY: test-ray test-k8s
test-ray: setup .venv-ray/ready
	WESTWARD_TEST_ENGINES=ray WESTWARD_TEST_PATIENCE_S=240 \
	  $(BIN)/pytest --timeout 900 tests/conformance/engines tests/engines_up/test_ray.py

# The client's packages that are in no other lock; what it shares with ours has the same version.
KUBERNETES := $(or $(WESTWARD_KUBERNETES),$(HOME)/.cache/westward/kubernetes)
test-k8s: setup
	sh scripts/build-kubernetes.sh $(KUBERNETES)
	$(BIN)/pip install -q --require-hashes --no-deps -r tests/engines_up/requirements-kubernetes.lock
	WESTWARD_KUBERNETES=$(KUBERNETES) WESTWARD_TEST_ENGINES=kubernetes WESTWARD_TEST_PATIENCE_S=180 \
	  $(BIN)/pytest --timeout 900 tests/conformance/engines tests/engines_up/test_kubernetes.py

# s3fs asks for an older python-dateutil than our lock has, so it is set up apart.
.venv-data/ready: tests/data_s3/requirements-s3.lock
	python3 -m venv .venv-data
	.venv-data/bin/pip install -q --require-hashes -r $<
	touch $@

.PHONY: test-data
test-data: setup .venv-data/ready
	PYTHONPATH=. WESTWARD_TEST_DATA=s3 .venv-data/bin/python -m pytest tests/data_s3

# The ledger over SQLite and a real PostgreSQL of our own (Debian's package is installed, as root, if
# it is missing): the store's contract, and eight processes that hammer one pot and are killed.
# HAMMER=300 hammers for five minutes each.
.PHONY: test-ledger
test-ledger: setup
	@$(BIN)/python -m tests.engines_up.postgres check
	@$(BIN)/pip install -q --require-hashes --no-deps -r tests/engines_up/requirements-postgres.lock
	WESTWARD_TEST_POSTGRES=1 WESTWARD_HAMMER_S=$(or $(HAMMER),20) \
	  $(BIN)/pytest tests/conformance/test_ledger_store.py tests/ledger_hammer

# Several servers on a real PostgreSQL of our own (Debian's package is installed, as root, if it is
# missing), and the whole store's tests on it. FAILOVERS=10 kills ten leaders.
.PHONY: test-replicas
test-replicas: setup
	@$(BIN)/python -m tests.engines_up.postgres check
	@$(BIN)/pip install -q --require-hashes --no-deps -r tests/engines_up/requirements-postgres.lock
	WESTWARD_TEST_POSTGRES=1 $(BIN)/pytest -k postgres tests/conformance/test_store.py \
	  tests/conformance/test_store_processes.py tests/unit/test_purse.py tests/unit/test_data_sets.py \
	  tests/unit/test_site_credentials.py tests/unit/test_server_parts.py \
	  tests/unit/test_people_store.py tests/unit/test_settlement.py tests/unit/test_upgrade.py \
	  tests/hostile/test_api_values.py
	WESTWARD_TEST_REPLICAS=1 WESTWARD_FAILOVERS=$(or $(FAILOVERS),4) $(BIN)/pytest -rP tests/replicas
# Real servers and agents, killed, stopped, cut off, out of disk, their clocks set; the books are then
# held against a witness outside. Root for the disks and the partition's namespaces, a C compiler for
# the clocks; what is missing is left out and said. KILLS=1000 JOBS=5000 SECONDS=2400 for the whole.
# STAND="--store postgresql --servers 2": two servers on a PostgreSQL that is killed too; --slurm: a
# Slurm site among the three (root).
.PHONY: test-chaos
test-chaos: setup
	$(BIN)/python -m tests.chaos --kills $(or $(KILLS),60) --jobs $(or $(JOBS),300) \
	  --seconds $(or $(SECONDS),240) --seed $(or $(SEED),1) --every $(or $(EVERY),1) $(STAND) \
	  --report $(or $(REPORT),out/chaos.jsonl)
	WESTWARD_TEST_CHAOS=1 $(BIN)/pytest -s tests/chaos

# Constant work, kills and cancels, watched for anything that grows. MINUTES=60 for the whole.
.PHONY: soak
soak: setup
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) --out out/soak

# The FinOps validator wants an older numpy than ours, and is a tool for this test alone (416 MB).
.venv-focus/ready: tests/focus/requirements-focus.lock
	python3 -m venv .venv-focus
	.venv-focus/bin/pip install -q --require-hashes -r $<
	touch $@

.PHONY: test-focus
test-focus: setup .venv-focus/ready
	WESTWARD_TEST_FOCUS=$(CURDIR)/.venv-focus $(BIN)/pytest tests/focus

# schemathesis has versions of its own of what we use. Installs Debian's bubblewrap (as root) if it is
# missing. Every caller and every reader is reached in each run; the budgets are HOSTILE_EXAMPLES
# (generated cases of each operation, as each caller) and HOSTILE_VALUES (spoiled inputs of each
# reader). REPORT: a file for the counts.
HOSTILE_EXAMPLES ?= 10
HOSTILE_VALUES ?= 500
.venv-fuzz/ready: tests/hostile/requirements-fuzz.lock
	python3 -m venv .venv-fuzz
	.venv-fuzz/bin/pip install -q --require-hashes -r $<
	touch $@

.PHONY: test-hostile
test-hostile: setup .venv-fuzz/ready
	@command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  echo "test-hostile: installing bubblewrap" && \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap; } >/dev/null 2>&1; } || true
	@command -v bwrap >/dev/null || { echo "test-hostile: no bwrap found. As root: apt-get install bubblewrap" >&2; exit 1; }
	WESTWARD_TEST_HOSTILE=$(CURDIR)/.venv-fuzz WESTWARD_HOSTILE_REPORT=$(REPORT) \
	  WESTWARD_HOSTILE_EXAMPLES=$(HOSTILE_EXAMPLES) WESTWARD_HOSTILE_VALUES=$(HOSTILE_VALUES) \
	  $(BIN)/pytest --timeout 1600 tests/hostile

# Fifty jobs over two Slurm clusters, a Ray cluster and this machine, three of them in networks of
# their own with delays. Needs root; installs Debian's Slurm, MariaDB and iproute2, or says so.
# WIDE=FILE writes the table of Westward's meter against sacct there.
.PHONY: test-wide
test-wide: setup .venv-ray/ready .venv-data/ready
	@$(BIN)/python -m tests.wide.sites
	PYTHONPATH=. WESTWARD_TEST_ENGINES=wide WESTWARD_WIDE_REPORT=$(WIDE) \
	  .venv-data/bin/python -m pytest -s --timeout 900 tests/wide

# Every check of the provider conformance kit, on the local engine (about two minutes).
.PHONY: test-site
test-site: setup
	$(BIN)/westward site test --engine local

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
	rm -rf $(VENV) .venv-bench .venv-ray .venv-data .venv-focus .venv-fuzz .venv-sky westward.egg-info
