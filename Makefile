# One command per task; `make` lists them. Needs make and any Python from 3.11 on (PYTHON=python3.12 picks one).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --no-deps
TESTS ?=
WORKERS ?= 2
# what no test may leave out
WHOLE := router/sources/*,router/ruleset/*,router/profile/*,router/providers/*

.DEFAULT_GOAL := help
.PHONY: help install demo run test check lock bench oracles

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(RUN_STAMP) ## install into .venv what the router needs, with hashes, and the command .venv/bin/router
	@echo '$(BIN)/router is there for any directory; `. $(BIN)/activate` makes it `router`'

demo: $(RUN_STAMP) ## sandbox, router and senders in one; proves convergence and ends by itself
	@$(BIN)/python -m router demo --rules rules

run: $(RUN_STAMP) ## the same, and stays up; ROUTER_RULES=PATH runs your own rules
	@$(BIN)/python -m router demo --serve

test: $(DEV_STAMP) ## the tests, with branch coverage (TESTS=tests/web runs some)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(if $(TESTS),$(TESTS),--cov --cov-report=term)
	$(if $(TESTS),,$(BIN)/coverage report --include='$(WHOLE)' --fail-under=100)

check: $(DEV_STAMP) ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: $(DEV_STAMP) ## pin the dependencies of pyproject.toml, with hashes
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header -o requirements-dev.txt

bench: $(DEV_STAMP) ## what webhooks, deliveries and rules cost, on this machine (docs/benchmarks.md)
	$(BIN)/python -m tests.bench.bench_language
	$(BIN)/python -m tests.bench.bench_rules
	$(BIN)/python -m tests.bench.bench_http
	$(BIN)/python -m tests.bench.bench_store
	$(BIN)/python -m tests.bench.bench_ingest
	$(BIN)/python -m tests.bench.bench_sources
	$(BIN)/python -m tests.bench.bench_delivery
	$(BIN)/python -m tests.bench.bench_latency
	$(BIN)/python -m tests.bench.bench_hostile

oracles: $(DEV_STAMP) ## ask the senders' own libraries again about webhooks (needs Node 20, npm, the network)
	cd tests/oracles && npm ci --ignore-scripts --no-audit --no-fund
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python tests/oracles/.venv
	$(BIN)/uv pip sync --quiet --require-hashes --python tests/oracles/.venv/bin/python tests/oracles/requirements-paypal.txt
	$(BIN)/python -m tests.oracles.generate

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON) here: install Python 3.11 or later, or make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): the router needs 3.11 or later, as in make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The command works from any directory: the interpreter beside it finds this checkout by a path from its own packages.
$(BIN)/router: Makefile | $(BIN)/python
	@$(BIN)/python -c 'import os, sysconfig as s; lib = s.get_path("purelib"); \
		open(os.path.join(lib, "profile-router.pth"), "w").write(os.path.relpath(".", lib) + "\n")'
	@printf '%s\n' '#!/bin/sh' 'exec "$$(dirname -- "$$(readlink -f -- "$$0")")/python" -P -m router "$$@"' > $@
	@chmod +x $@

$(RUN_STAMP): requirements.txt | $(BIN)/router
	@echo "installing into $(VENV) …"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt | $(BIN)/router
	@echo "installing into $(VENV), with the tools …"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(RUN_STAMP)
