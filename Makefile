.DEFAULT_GOAL := help
# Each process of tests would compile all of them, and what it imports, anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help install run test coverage test-browsers test-mysql test-mariadb check mutants bench chaos clean

# Arguments for the last command of a target, as in: make test ARGS="-k resume"
ARGS ?=
# What is done at a tenth of its size in the suite.
LARGE = $(patsubst %,tests/integration/test_%.py,openapi parked retention upkeep webhook_filters)
# Most of the suite's time is waiting: three processes of tests keep a core busy. Eight at most, as each starts its own
# database.
SPREAD = -n $(shell expr 3 \* `getconf _NPROCESSORS_ONLN`) --maxprocesses 8 --dist worksteal

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s%s\n", $$1, $$2 }' Makefile

install: ## Set up what is missing: MariaDB's programs, .venv with the command rushes, Swagger UI, uPlot
	@scripts/setup install
	@echo "Installed: .venv/bin/rushes. To start it: make run"

run: ## Set up, start a private MariaDB and serve on 127.0.0.1:8080; Ctrl-C stops both
	@scripts/setup
	@.venv/bin/rushes serve $(ARGS)

# Compiled once, not by all processes of tests at once. What is wrong in them is told by the run.
.local/collected: $(wildcard tests/*.py tests/*/*.py)
	@scripts/setup test
	@.venv/bin/pytest --collect-only > $@ 2>&1 || true

test: .local/collected ## Set up what tests need too (a browser, Redis) and run all of them
	@scripts/setup test
	@.venv/bin/pytest $(SPREAD) $(ARGS)

coverage: ## The same, and which lines and branches it leaves out; fails where they are more than they were
	@scripts/setup test
	@.venv/bin/pytest $(SPREAD) -p pytest_cov --cov --cov-report=term $(ARGS)

test-browsers: ## The tests of the page and of live.js in Chromium, Firefox and WebKit
	@scripts/setup browsers
	@RUSHES_BROWSERS="chromium firefox webkit" .venv/bin/pytest $(or $(ARGS),tests/browser)

test-mysql: ## Run the integration tests on MySQL, of Debian unstable's package, which is unpacked into .local
	@scripts/setup test
	@folder=$$(scripts/server mysql) && PATH="$$folder:$$PATH" .venv/bin/pytest $(SPREAD) $(or $(ARGS),tests/integration)

test-mariadb: ## The same on the MariaDB of Debian 13
	@scripts/setup test
	@folder=$$(scripts/server mariadb) && PATH="$$folder:$$PATH" .venv/bin/pytest $(SPREAD) $(or $(ARGS),tests/integration)

check: ## Formatting, lint, types, direction of imports; lint and types of the page
	@scripts/setup check
	@.venv/bin/ruff format --check
	@.venv/bin/ruff check
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@scripts/node node_modules/eslint/bin/eslint.js --max-warnings 0 static tests/js eslint.config.js
	@scripts/node node_modules/typescript/bin/tsc
	@scripts/node node_modules/typescript/bin/tsc -p tsconfig.worker.json

mutants: ## Change the code place by place and tell what no test notices (hours; ARGS=app/auth/tokens.py: one module)
	@scripts/setup test
	@scripts/mutants $(ARGS)

bench: ## Set up what the benchmarks need too (wrk) and run them; ends in one table
	@scripts/setup bench
	@.venv/bin/python -m bench $(ARGS)

chaos: ## Kill server and database under load, again and again, and count what is lost (about 10 minutes)
	@scripts/setup test
	@RUSHES_CHAOS=1 .venv/bin/pytest tests/chaos $(LARGE) -s $(ARGS)

clean: ## Remove what set-up made; the data in .data stays
	rm -rf .venv .coverage* .local build node_modules ./*.egg-info static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf $(patsubst %,bench/peers/site/%,node_modules .next src/generated next-env.d.ts)
