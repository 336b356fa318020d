# The one list of verbs: people, hooks and CI call these. Each does its own set-up.
PYTHON ?= python3.11
BIN := .venv/bin
INSTALLED := .venv/.installed
UV := $(BIN)/uv
COMPILE := $(UV) pip compile -q --universal --generate-hashes --python-version 3.11

RELEASE := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' slipway/__init__.py)
DEVICE ?= cpu
# Three more than the cores, for many tests wait; eight at most, for each may hold TensorFlow
WORKERS ?= $(shell nproc | awk '{ print ($$1 < 5) ? $$1 + 3 : 8 }')
# TESTS: folders or files of tests, say tests/infra
TESTS ?= tests
# Only their files, since collecting all takes seconds
ALONE = $(shell grep -rl --include='*.py' 'mark\.alone' $(TESTS))
WORKERS_SHARE = $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# BASE: another base image than the one in the Dockerfiles, say from a mirror
IMAGE = docker build --file infra/images/Dockerfile $(BASE:%=--build-arg=BASE=%) \
  --label=org.opencontainers.image.version=$(RELEASE) \
  --label=org.opencontainers.image.revision=$(shell git rev-parse HEAD) \
  $(patsubst %,--label=org.opencontainers.image.source=%,$(shell git config remote.origin.url | sed 's#//[^@/]*@#//#'))
PLATFORM := slipway-platform:$(RELEASE)$(if $(filter gpu,$(DEVICE)),-gpu)
SHIP := slipway-ship:$(RELEASE)

# Commands and tests start hundreds of processes: without compiled files each of them would compile the project again
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo loop observe up down cluster rehearse test test-quick lint bench ci images sbom audit lock clean

help: ## List the verbs.
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Set up, run the whole path once for both use cases, and check every part of it.
	@$(BIN)/slipway demo

loop: $(INSTALLED) ## Change the world, and see it found, learnt, rolled out and a bad version taken back, all checked.
	@$(BIN)/python -m scenarios.closed_loop

observe: $(INSTALLED) ## Provoke every fault under Prometheus and Alertmanager, await each alert, read every panel, and follow a prediction to Kibana.
	@$(BIN)/python -m scenarios.observability

up: $(INSTALLED) ## Keep the stack running, with Prometheus, Grafana and Elasticsearch where they are installed; `make down` ends it.
	@$(BIN)/slipway up --with prometheus --with alertmanager --with grafana --with elasticsearch

down: $(INSTALLED) ## End what `make up` started.
	@$(BIN)/slipway down

cluster: $(INSTALLED) ## Install, use and disturb it on the cluster of KUBECONFIG: make cluster LOAD='kind load docker-image'
	@$(BIN)/python -m scenarios.kubernetes --base '$(BASE)' --load '$(LOAD)'

rehearse: $(INSTALLED) ## Push to a repository of this machine and follow it into the cluster of KUBECONFIG, in act, then apply and destroy every environment of Terraform; SHORT=1 for fewer pushes alone.
	@$(BIN)/python -m scenarios.delivery --base '$(BASE)' $(if $(SHORT),--short)
	@$(if $(SHORT),,SLIPWAY_TEST_ALL_ENVIRONMENTS=1 $(BIN)/pytest tests/infra/terraform/test_environments.py)

test: $(INSTALLED) ## Set up and run all tests, or TESTS: in WORKERS processes, then those that measure time, on their own.
	@status=0; $(WORKERS_SHARE) -m 'not alone' $(TESTS) || status=1; $(if $(ALONE),$(BIN)/pytest -m alone $(ALONE) || status=1;) exit $$status

test-quick: $(INSTALLED) ## Run the tests that start no process, train nothing, build no image and take less than a second: two minutes.
	@$(WORKERS_SHARE) -m 'not slow and not alone'

lint: $(INSTALLED) ## Check style, formatting, types and which package imports which.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(INSTALLED) ## Run the benchmarks whose tables are in docs/.
	@$(BIN)/python -m benchmarks

ci: ## What CI runs: lint, types of dashboards, tests, audit, demo, loop, observe and cluster; what this machine lacks is named and left out.
	@.ci/run

images: ## Build the images of the shipper and the platform; DEVICE=gpu for GPUs, BASE=IMAGE for another base.
	$(IMAGE) --target ship --build-arg LOCK=shipping --tag $(SHIP) .
	$(IMAGE) --target platform --build-arg LOCK=cluster$(if $(filter gpu,$(DEVICE)),-gpu) --tag $(PLATFORM) .

sbom: ## Copy the lists of what these two images hold (CycloneDX) into build/sbom/.
	@mkdir -p build/sbom
	docker run --rm --network=none --entrypoint=cat $(SHIP) /opt/slipway/sbom.cdx.json > build/sbom/ship.cdx.json
	docker run --rm --network=none --entrypoint=cat $(PLATFORM) /opt/slipway/sbom.cdx.json > build/sbom/platform.cdx.json

audit: $(INSTALLED) ## Look for known vulnerabilities in what the locks name.
	@$(BIN)/python -m infra.audit

lock: $(INSTALLED) ## Resolve the dependencies anew into locks/: all.txt for people, the others for images.
	$(COMPILE) --extra dev pyproject.toml -o locks/all.txt
	$(COMPILE) --extra serving pyproject.toml -c locks/all.txt -o locks/serving.txt
	$(COMPILE) --extra shipping pyproject.toml -c locks/all.txt -o locks/shipping.txt
	$(COMPILE) --extra cluster pyproject.toml -c locks/all.txt -o locks/cluster.txt
	$(COMPILE) --extra cluster --extra training-gpu pyproject.toml -c locks/all.txt -o locks/cluster-gpu.txt
	$(COMPILE) --extra serving --extra serving-gpu pyproject.toml -c locks/all.txt \
	  --override locks/without-cpu-runtime.in -o locks/serving-gpu.txt
	printf 'uv\n' | $(COMPILE) -c locks/all.txt - -o locks/uv.txt
	printf 'uv\ncyclonedx-bom\n' | $(COMPILE) -c locks/all.txt - -o locks/image-tools.txt

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
