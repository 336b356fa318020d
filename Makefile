# The one list of verbs: people, hooks and CI call these. Each does its own set-up.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed
UV := $(BIN)/uv
COMPILE := $(UV) pip compile -q --universal --generate-hashes --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help demo up down cluster test lint bench ci lock clean

help: ## List the verbs.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Set up, run the whole path once for both use cases, and check every part of it.
	@$(BIN)/slipway demo

up: $(INSTALLED) ## Keep the stack running, on from where the demo ended; Ctrl-C or `make down` ends it.
	@$(BIN)/slipway up

down: $(INSTALLED) ## End what `make up` started.
	@$(BIN)/slipway down

cluster: $(INSTALLED) ## Install, use and disturb it on the cluster of KUBECONFIG: make cluster LOAD='kind load docker-image'
	@$(BIN)/python -m infra.kubernetes.trial --base '$(BASE)' --load '$(LOAD)'

test: $(INSTALLED) ## Set up and run the tests.
	@$(BIN)/pytest

lint: $(INSTALLED) ## Check style, formatting and which room imports which.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

bench: $(INSTALLED) ## Run the benchmarks whose tables are in docs/.
	@$(BIN)/python -m benchmarks

ci: ## What a clean machine runs: everything needed, no skips, then the demo.
	@.ci/run

lock: $(INSTALLED) ## Resolve the dependencies anew into locks/: all.txt for people, the others for images.
	$(COMPILE) --extra dev pyproject.toml -o locks/all.txt
	$(COMPILE) --extra serving pyproject.toml -c locks/all.txt -o locks/serving.txt
	$(COMPILE) --extra shipping pyproject.toml -c locks/all.txt -o locks/shipping.txt
	$(COMPILE) --extra cluster pyproject.toml -c locks/all.txt -o locks/cluster.txt
	$(COMPILE) --extra cluster --extra training-gpu pyproject.toml -c locks/all.txt -o locks/cluster-gpu.txt
	$(COMPILE) --extra serving --extra serving-gpu pyproject.toml -c locks/all.txt \
	  --override locks/without-cpu-runtime.in -o locks/serving-gpu.txt
	printf 'uv\n' | $(COMPILE) -c locks/all.txt - -o locks/uv.txt

clean: ## Remove what runs and set-up made: var/, .venv/ and caches.
	@[ ! -x $(BIN)/slipway ] || $(BIN)/slipway down
	rm -rf var .venv build *.egg-info .pytest_cache .ruff_cache .import_linter_cache

$(INSTALLED): locks/uv.txt locks/all.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) is not installed. Install Python 3.11, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up .venv: Python 3.11, uv, then the locked packages (about 3 GB once; a few minutes on a slow line)"
	@$(PYTHON) -m venv .venv || { \
	  echo "error: $(PYTHON) -m venv failed. On Debian and Ubuntu: apt install python3.11-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes locks/all.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Set up: $$($(BIN)/slipway --version), $$(grep -c == locks/all.txt) locked packages"
