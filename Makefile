# Every task of the project. `make help` lists them. Only Rust and a C compiler are needed for demo, test, run and bench.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# rustup puts cargo here; a shell opened before the installation does not know yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

ARGS ?=
SECONDS_EACH ?= 600
CARGO_DENY_VERSION := 0.20.2

.PHONY: help demo test run bench lint fmt doc deny fuzz interop schemathesis ci need-rust need-cc need-deny

help: ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: need-rust need-cc ## Build the hub and watch the whole path work, checked step by step
	cargo run --locked --package trunkline-hub --bin trunkline -- demo $(ARGS)

test: need-rust need-cc ## Run every test; those for PostgreSQL run when one is reachable
	cargo build --locked --package trunkline-hub --bin trunkline
	cargo test --locked --workspace --no-fail-fast $(ARGS)

run: need-rust need-cc ## Start the hub; ARGS="--listen 127.0.0.1:9000" and the like go to `trunkline serve`
	cargo run --locked --release --package trunkline-hub --bin trunkline -- serve $(ARGS)

bench: need-rust need-cc ## Measure this machine against bare baselines, BullMQ and Restate; ARGS="drain --pending 1000000" and the like choose
	cargo run --locked --release --package trunkline-hub --bin trunkline -- bench $(ARGS)

lint: need-rust need-cc ## Check format and lints
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt: need-rust ## Format the code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

doc: need-rust need-cc ## Build the API documentation; a warning is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

deny: need-rust need-deny ## Check licences, banned and doubled packages, registries and, where reachable, advisories
	cargo deny --locked check --hide-inclusion-graph bans licenses sources
	@sh .ci/advisories

fuzz: need-rust need-cc ## Run every fuzz target for SECONDS_EACH seconds
	cd fuzz && for target in $$(./run.sh list); do ./run.sh $$target $(SECONDS_EACH) || exit 1; done

interop: need-rust need-cc ## Talk to the official libraries of both standards; needs Python 3 and Node.js
	cargo build --locked --package trunkline-hub --bin trunkline
	tests/interop/run.sh libraries

schemathesis: need-rust need-cc ## Try to break the API by its own OpenAPI document; needs Python 3
	cargo build --locked --package trunkline-hub --bin trunkline
	tests/interop/run.sh schemathesis

ci: ## What every change must pass; installs what it lacks on Debian
	.ci/run

need-rust:
	@command -v cargo >/dev/null || { \
	  echo "Rust is missing. Install it and try again:"; \
	  echo "  any system:            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"; \
	  echo "  Debian 13, Ubuntu 24:  sudo apt-get install rustup && rustup default stable"; \
	  exit 1; }

need-cc:
	@command -v cc >/dev/null || { \
	  echo "A C compiler is missing; SQLite and the cryptography are built with it. Install one and try again:"; \
	  echo "  Debian, Ubuntu:  sudo apt-get install build-essential"; \
	  echo "  Fedora:          sudo dnf install gcc"; \
	  echo "  macOS:           xcode-select --install"; \
	  exit 1; }

# Built without optimisation: it runs for seconds, and an optimised build takes several times as long.
need-deny: need-rust
	@cargo deny --version 2>/dev/null | grep -qF ' $(CARGO_DENY_VERSION)' || \
	  cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --debug --no-default-features --quiet
