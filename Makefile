# Two commands matter: `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --quiet --disable-pip-version-check

# CPU builds of torch live in PyTorch's own index; PyPI's carry gigabytes of CUDA.
# `+cpu` can be met by nothing else. A GPU worker installs torch by docs/operations.md.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ifeq ($(shell uname -s),Linux)
TORCH ?= torch==2.13.0+cpu
else
TORCH ?= torch==2.13.0
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-fast lint format types imports docs licences audit sbom fuzz benchmark chaos chaos-serve memory secrets alerts clean

help:  ## Show this list
	@awk -F':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The embedded path: no torch, no server.
$(VENV)/.embedded: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing (once, about a minute) …"
	@$(PIP) install --constraint constraints.txt --editable '.[embedded,http]'
	@touch $@

# Everything: torch for CPU, the linters, the test tools.
$(VENV)/.full: $(VENV)/.embedded
	@echo "installing what the tests need (once, a few minutes) …"
	@$(BIN)/python -c 'import torch' 2>/dev/null || \
		$(PIP) install --retries 1 --timeout 20 --constraint constraints.txt \
			--extra-index-url $(TORCH_INDEX) '$(TORCH)' || { \
		echo "error: no build of torch for CPUs could be had from $(TORCH_INDEX)"; \
		echo "remedy: name a mirror of it (make $(or $(MAKECMDGOALS),test) TORCH_INDEX=…), or take PyPI's build, which"; \
		echo "        brings gigabytes of CUDA (make $(or $(MAKECMDGOALS),test) TORCH=$(firstword $(subst +, ,$(TORCH))))"; \
		exit 1; }
	@$(PIP) install --constraint constraints.txt --editable '.[embedded,models,export,http,jats,parquet,backfill,plot,dev]'
	@touch $@

REGISTRY ?=
demo: $(VENV)/.embedded  ## Raw affiliations become links, on this machine alone (REGISTRY=path for a full dump)
	@$(BIN)/resolver demo $(if $(REGISTRY),--registry '$(REGISTRY)')

##@ Every change

# Processes that share the tests; half of the time many tests wait, for a service or a start.
JOBS ?= 3

test: lint types imports  ## All checks and all tests (JOBS=1: one after the other)
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-all: lint types imports  ## The slowest tests too: whole releases, minutes each
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m '' $(PYTEST_ARGS)

test-fast: $(VENV)/.full  ## The tests that take seconds
	@$(BIN)/pytest -m 'not slow and not slowest' $(PYTEST_ARGS)

lint: $(VENV)/.full  ## Style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.full  ## Mend style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.full  ## Types
	@$(BIN)/mypy

imports: $(VENV)/.full  ## Direction of imports
	@$(BIN)/lint-imports

##@ What is installed

docs: $(VENV)/.full  ## The documentation as a site, in .site; a broken link fails
	@$(BIN)/zensical build --clean --strict

licences: $(VENV)/.full  ## Licences of all that is needed; fails for one that is not in .ci/licences.toml
	@$(BIN)/python .ci/licences.py

audit: $(VENV)/.full  ## Known vulnerabilities of the pinned versions; fails where they cannot be looked up
	@$(BIN)/python .ci/audit.py constraints.txt

sbom: $(VENV)/.full  ## sbom.json: what is installed, with licences, in CycloneDX's form
	@$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
		--mc-type application --output-format JSON --output-file sbom.json
	@echo "sbom.json"

##@ Long looks

# For each target, in seconds.
SECONDS ?= 60
FUZZED := normalisation registry_record registry_file task_message input_file overrides_file

fuzz: $(VENV)/.full  ## Look for inputs that do harm, guided by coverage (SECONDS=60 for each target)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) install --constraint constraints.txt 'atheris>=3'
	@for target in $(FUZZED); do \
		echo "$$target:"; \
		PYTHONPATH=tests $(BIN)/python -m support.fuzz_guided $$target .fuzz/$$target \
			-max_total_time=$(SECONDS) -max_len=65536 -verbosity=0 -print_final_stats=1 || exit 1; \
	done

benchmark: $(VENV)/.full  ## The figures of docs/benchmarks.md (REGISTRY=path)
	@$(BIN)/python -m benchmarks.straight_line $(if $(REGISTRY),--registry '$(REGISTRY)')

chaos: $(VENV)/.full  ## Faults under load: is anything lost or doubled? (CHAOS_ARGS=--quick)
	@$(BIN)/python -m benchmarks.chaos $(CHAOS_ARGS)

chaos-serve: $(VENV)/.full  ## Faults under requests: is any answered wrongly, or any job damaged? (CHAOS_ARGS=--quick)
	@$(BIN)/python -m benchmarks.chaos_serve $(CHAOS_ARGS)

memory: $(VENV)/.full  ## Memory of a worker over many strings (MEMORY_ARGS)
	@$(BIN)/python -m benchmarks.memory $(MEMORY_ARGS)

##@ Run it

secrets:  ## Passwords for docker-compose.yml, made once, below secrets/
	@docker/secrets.sh

alerts:  ## Try the alert rules (promtool comes with Prometheus)
	@promtool check config monitoring/prometheus.yml
	@promtool test rules monitoring/alerts_test.yml

clean:  ## Remove the environment and the demo's data
	@rm -rf $(VENV) .demo build *.egg-info
