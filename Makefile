# `make run` and `make test` set everything up by themselves; a second call only does what is new.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PERSONS ?= 70000
YEARS ?= 3
AS_OF ?= 2026-10-31
DATA ?= data
PORT ?= 4200
SOURCE ?= synthetic:$(PERSONS)
NAME ?= explore
BIN := .venv/bin
# Byte code is written even where the environment says not to: without it every start takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run serve test test-slow check format bench notebook lock clean help

run: .venv/ready ## Run everything on generated data: make run [PERSONS=70000] [YEARS=3] [AS_OF=2026-10-31] [DATA=data]
	@$(BIN)/caregap --data $(DATA) run --source synthetic:$(PERSONS) --years $(YEARS) --as-of $(AS_OF)

serve: .venv/ready ## Serve pages, API and scheduled flows: make serve [PORT=4200] [SOURCE=synthetic:70000] [DATA=data]
	@$(BIN)/caregap --data $(DATA) serve --source $(SOURCE) --years $(YEARS) --port $(PORT)

test: .venv/ready ## Run the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow and not bench"

test-slow: .venv/ready ## Run the heavier tests, and each law with more examples
	$(BIN)/python -m pytest -n 2 -m "slow or hypothesis" --hypothesis-profile many

check: .venv/ready ## Check format, lint, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py

format: .venv/ready ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready ## Measure: each figure as a ratio to its limit, in the same run
	$(BIN)/python -m pytest -m bench -s

notebook: .venv/ready ## Open a notebook on this machine alone: make notebook [NAME=explore|indicator|release] [DATA=data]
	@MARIMO_SKIP_UPDATE_CHECK=1 DO_NOT_TRACK=1 CAREGAP_DATA=$(DATA) \
		$(BIN)/marimo edit --host 127.0.0.1 --skip-update-check --no-sandbox notebooks/$(NAME).py

lock: .venv/ready ## Resolve the dependencies anew into requirements.lock
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## Remove the environment and the data
	rm -rf .venv $(DATA)

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.venv/ready: requirements.lock pyproject.toml
	@echo "Setting up .venv (a minute or two, once) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
