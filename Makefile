# Everything that a developer or a build machine runs. `make help` lists the targets.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/dailycare-dev
include dev/versions

# A kubeconfig in the environment may belong to a production cluster: only one that is given to make is used.
#   make cluster KUBECONFIG=~/.kube/kind DAILYCARE_PG_URL=postgres://admin:secret@127.0.0.1/postgres
ifeq ($(origin KUBECONFIG),command line)
export DAILYCARE_KUBECONFIG := $(KUBECONFIG)
endif
CLUSTER := cargo run --quiet --example dev-cluster --

.PHONY: help
help: ## Lists these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: doctor
doctor: ## Names what this machine lacks, each with the line that installs it
	@dev/doctor

.PHONY: tools
tools: ## Fetches or builds the pinned programs into the cache, once per machine
	@dev/install

.PHONY: cluster
cluster: tools ## Starts Kubernetes, PostgreSQL 18 and 15, and Redis (or: KUBECONFIG=file, DAILYCARE_PG_URL=url)
	@$(CLUSTER) up

.PHONY: demo
demo: ## From nothing to three Ready schools and the API in front of them (also with KUBECONFIG, DAILYCARE_PG_URL)
	@dev/demo up

.PHONY: demo-down
demo-down: cluster-down ## Stops what `make demo` started; PURGE=1 removes the data too

.PHONY: operator
operator: ## Runs the operator in the foreground, on the cluster of `make cluster`
	@dev/demo operator

.PHONY: api
api: ## Runs the API in the foreground, on the cluster of `make cluster`; run the operator as well, which creates its login
	@dev/demo api

.PHONY: cluster-down
cluster-down: ## Stops exactly what `make cluster` and `make demo` started; PURGE=1 removes the data too
	@dev/demo stop
	@$(CLUSTER) down $(if $(PURGE),--purge)

.PHONY: cluster-status
cluster-status: ## Prints what runs and where the logs are
	@$(CLUSTER) status
	@dev/demo status

.PHONY: env
env: ## Prints the exports for a shell: eval "$(make -s env)"
	@$(CLUSTER) env
	@if [ -e .dev/api/env ]; then cat .dev/api/env; fi

.PHONY: build
build: ## Builds the product
	cargo build --release --locked

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt

.PHONY: check
check: ## Checks what a commit must pass: format, lints, unit tests, architecture, links, words (seconds after a small change)
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --lib --bins
	cargo test --locked --test architecture
	dev/check-links
	dev/check-words

.PHONY: hooks
hooks: ## Installs a git hook that runs `make check` before each commit (git commit --no-verify skips it)
	@install -D -m 755 dev/pre-commit "$$(git rev-parse --git-path hooks)/pre-commit"

.PHONY: lint
lint: ## Checks format, lints (of the product alone and with its tests), links and words
	cargo fmt --check
	cargo clippy --locked --workspace -- -D warnings
	cargo clippy --locked --workspace --all-targets -- -D warnings
	dev/check-links
	dev/check-words

.PHONY: doc
doc: ## Builds the code's documentation; a broken link in it fails
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

.PHONY: shellcheck
shellcheck: ## Checks every shell script
	@dev/install shellcheck
	$(CACHE)/shellcheck-$(SHELLCHECK)/bin/shellcheck --external-sources $$(git grep --untracked -lE '^(#!.*[ /](ba)?sh|# shellcheck shell=.*)$$' -- ':!*.md')

.PHONY: crds
crds: ## Renews crds/ from the types in crates/operator/src/crd
	UPDATE_CRDS=1 cargo test --locked --package dailycare-operator --lib -- the_files_in_crds_are_what_the_types_say

.PHONY: openapi
openapi: ## Renews docs/openapi.json from the routes in crates/api
	UPDATE_OPENAPI=1 cargo test --locked --package dailycare-api --lib -- the_file_in_docs_is_what_the_code_says

.PHONY: reference
reference: ## Renews the reference pages in docs/ from fields, flags and metrics
	UPDATE_REFERENCE=1 cargo test --locked --bin dailycare -- reference::

.PHONY: generate
generate: crds openapi reference ## Renews every file that is generated from the code

.PHONY: test
test: tools ## Runs all tests, on real servers
	@# Tests wait for their servers a quarter of the time, so two for each core keep it busy. Many start servers of their own: eight at once are enough for any
	@# machine. The demo's settings in a shell are not for them.
	ulimit -Sn "$$(ulimit -Hn)"; cores=$$(nproc); \
	unset $$(compgen -e DAILYCARE_ | grep -v ^DAILYCARE_TEST_); \
	export RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((cores < 4 ? 2 * cores : 8))} NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost; \
	cargo test --locked --workspace --no-fail-fast

.PHONY: rest-operator
rest-operator: tools ## Lets the operator rest for a minute over twelve Schools: nothing may be written (SECONDS_AT_REST=60)
	unset $$(compgen -e DAILYCARE_ | grep -v ^DAILYCARE_TEST_); \
	DAILYCARE_TEST_REST_SECONDS=$(or $(SECONDS_AT_REST),60) cargo test --locked --test operator -- resting::

.PHONY: torture-api
torture-api: tools ## Searches a million responses of the API for another school's bytes (REQUESTS=1000000, TENANTS=50)
	cargo run --release --locked --example torture-api -- --requests $(or $(REQUESTS),1000000) --tenants $(or $(TENANTS),50)

MAX_EXAMPLES ?= 100
.PHONY: fuzz-api
fuzz-api: tools ## Fuzzes the API with its own document, MAX_EXAMPLES cases for each operation and phase; `make test` has a few
	SHOW=1 MAX_EXAMPLES=$(MAX_EXAMPLES) cargo test --locked --package dailycare-api --test api -- fuzzing:: --test-threads 1

.PHONY: bench
bench: tools ## Measures the operator against a bare client and the API against its bare handler (BENCH_OUTPUT=json for machines)
	cargo build --release --locked
	cargo run --release --locked --example bench-provision
	cargo run --release --locked --example bench-api

.PHONY: bench-api
bench-api: tools ## Measures the API alone (TENANTS=n: n tenants in turn over 50 connections)
	cargo build --release --locked
	cargo run --release --locked --example bench-api

.PHONY: deny
deny: ## Checks licences, sources and banned crates
	@dev/install cargo-deny
	@$(CACHE)/cargo-deny-$(CARGO_DENY)/bin/cargo-deny --all-features check bans licenses sources

.PHONY: advisories
advisories: ## Checks for known vulnerabilities; fetches the advisory database
	@dev/install cargo-deny
	@$(CACHE)/cargo-deny-$(CARGO_DENY)/bin/cargo-deny --all-features check advisories

.PHONY: clean
clean: ## Removes what cargo built; the cache and a local cluster stay
	cargo clean
