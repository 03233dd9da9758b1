# The front door. `make demo` and `make test` set up everything they need; nothing is installed outside .venv.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
BENCHMARKS := .venv-benchmarks
UV_VERSION := 0.13.9
# The newest Python of the tested ones that really starts (a pyenv shim may not), else python3.
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins

.PHONY: help
help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements-dev.lock
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer with its venv module is needed, and none was found: install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements-dev.lock
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## install the locked requirements into .venv

.PHONY: demo
demo: setup ## run the catalogue pipeline on an embedded Airflow, S3, warehouse and emulator; Ctrl-C stops it, KEEP=1 keeps its data
	@$(BIN)/python -m include.cli demo

.PHONY: run
run: setup ## run one day in the foreground: make run PIPELINE=catalogue PARTITION=2026-11-01; options as in the trigger form: ROWS=10, DRY_RUN=1, BUDGET=5, MODEL=claude-sonnet-5, REUSE=0, VARIANTS=a,b, URGENT=1, DEADLINE=05:30, ONLY_REJECTS=1; NEW=1 starts a new run instead of resuming an unfinished one
	@$(BIN)/python -m include.cli run "$(PIPELINE)" "$(PARTITION)"

.PHONY: evaluate
evaluate: setup ## run a pipeline and its judges for one day, and evaluate the answers: make evaluate PIPELINE=catalogue_evaluation PARTITION=2026-11-01; VARIANTS=a,b, BASELINE=latest, ROWS=10 (without judges), BUDGET=5 (judges included), GRADE_ONLY=1 grades again for $$0; the last line of make shows the status: 1 fail, 3 inconclusive
	@$(BIN)/python -m include.cli evaluate "$(PIPELINE)" "$(PARTITION)"

.PHONY: show
show: setup ## print the published rows of a day: make show PIPELINE=catalogue PARTITION=2026-11-17; REJECTS=1 prints its rejects, WARNED=1 the rows with warnings, SAMPLES=1 the answers that were not kept, EVIDENCE=1 the quotes behind the values, DOCUMENTS=1 how each document was sent, TRANSCRIPT=<key> what the agent did for a row, RUN=<run id> a trial or the rejects of a failed run, ROWS=20 more rows
	@$(BIN)/python -m include.cli show "$(PIPELINE)" "$(PARTITION)" $(addprefix --rows ,$(ROWS))

.PHONY: report
report: setup ## report the cost of Claude, as a page on the lake: make report FIRST=2026-11-01 LAST=2026-11-30; default: the last 30 days
	@$(BIN)/python -m include.cli report $(addprefix --first ,$(FIRST)) $(addprefix --last ,$(LAST))

.PHONY: clean-lake
clean-lake: setup ## list files that ended runs left on the lake: make clean-lake DAYS=30; YES=1 deletes them, RAW_DAYS=365 includes raw copies
	@$(BIN)/python -m include.cli clean-lake $(addprefix --days ,$(DAYS)) $(addprefix --raw-days ,$(RAW_DAYS))

.PHONY: down
down: setup ## stop the demo, including the remains of a crashed one
	@$(BIN)/python -m include.cli down

.PHONY: test
test: setup ## every test, from unit to a run through the real scheduler
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

$(BENCHMARKS)/.installed: requirements-dev.lock tests/benchmarks/requirements.lock | setup
	@echo "Setting up $(BENCHMARKS), which holds what this project is compared with …"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCHMARKS)
	@$(BIN)/uv pip sync --quiet --python $(BENCHMARKS)/bin/python --require-hashes --compile-bytecode tests/benchmarks/requirements.lock
	@touch $@

.PHONY: chaos
chaos: setup $(BENCHMARKS)/.installed ## kill tasks and servers at every point, also with a peer; PART=kill-points, asked, agents, random or peer
	@$(BIN)/python -m tests.chaos $(addprefix --part ,$(PART))

.PHONY: docker-test
docker-test: setup ## test docker-compose.yaml with every fault, not part of `make test`; PART=worker-in-load tests one
	@$(BIN)/python -m tests.docker $(addprefix --part ,$(PART))

.PHONY: bench
bench: setup $(BENCHMARKS)/.installed ## measure time, memory and cost against peers and lower bounds; PART=submit, load, publish, extract, waits, parse, planning, money, attachments, sending, checks, accuracy, evidence, whole-run, evaluation, statistics, synchronous, migration, two-stages, cascade or backfill
	@$(BIN)/python -m tests.benchmarks $(addprefix --part ,$(PART))

.PHONY: lint
lint: setup ## check format, lint and types, as CI does
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

.PHONY: lock
lock: ## pin requirements*.txt again with hashes, for every tested Python
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements.txt -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-image.txt -c requirements.lock -o requirements-image.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.txt -c requirements.lock -o requirements-dev.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header tests/benchmarks/requirements.txt -c requirements-dev.lock -o tests/benchmarks/requirements.lock
