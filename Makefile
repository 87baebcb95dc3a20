# Two commands are all the set-up: `make up` runs a demo plant, `make test` runs every check and test.
# Both install what is missing first; a second time that costs a fraction of a second.

BIN := .venv/bin
SHELL := /bin/bash
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup page up test lint bench soak kube clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## install everything that running and testing need
	@bash scripts/setup.sh

.PHONY: environment
environment:
	@bash scripts/setup.sh --without-browser

page: environment ## build the page from ui/ where it changed
	@$(BIN)/python scripts/build_ui.py

up: page ## run a demo plant with simulated homes; ARGS="--homes 200 --port 9000" to change it
	@exec $(BIN)/powerflock up --demo --data-dir var/plant $(ARGS)

lint: environment ## ruff, format, types, layers, the page's own checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/build_ui.py --check

test: setup page ## every check and every test; ARGS="-k name" to choose among the tests
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest $(ARGS)

bench: environment ## run every benchmark and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --all --write docs/benchmarks.md

soak: setup page ## the long tests
	$(BIN)/pytest -m soak $(ARGS)

# Who asks for this wants it run: with CI=true a control plane that could not be built is a failure, not a skip.
kube: environment ## build a real Kubernetes control plane with simulated nodes, and test the chart on it; minutes
	bash scripts/tools.sh helm kube
	CI=true $(BIN)/pytest -m kube tests/kube $(ARGS)

clean: ## remove what was built; a plant's data in var/ stays
	rm -rf dist build src/powerflock/api/static ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .venv .venv-peers .tools
