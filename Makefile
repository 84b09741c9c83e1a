# SPDX-License-Identifier: Apache-2.0
# What can be done here; the work is in cargo, xtask and packaging/.
.POSIX:
.PHONY: help demo build test lint bench install packages image book clean check-cargo

PREFIX = /usr
DESTDIR =
SIGN =
# For the demo: optimised as everything else, but quick to build.
BUILT = $${CARGO_TARGET_DIR:-target}/demo

help: ## Show this
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

demo: ## Start a real VM with XML that hooks changed, on a throw-away host
	@packaging/setup.sh demo
	cargo build --locked --profile demo -p virt-hooks -p virt-hooks-vm -p virt-hooks-testhost
	cargo build --locked --profile demo -p virt-hooks-sdk --example firmware_note
	@TESTHOST_CACHE="$${CARGO_TARGET_DIR:-target}/testhost-cache" "$(BUILT)/virt-hooks-testhost" examples/demo/run.sh "$$(cd "$(BUILT)" && pwd)" "$$PWD"
	@echo; echo 'The throw-away host is gone: no process, no file, no mount is left.'

build: check-cargo ## Build everything, for trying it out
	cargo build --locked

test: ## Run the whole test suite; installs what is missing, and says what
	@packaging/setup.sh test
	@$(MAKE) --no-print-directory lint
	@packaging/pytest.sh
	cargo test --locked --workspace --doc --quiet
	cargo build --locked --quiet --workspace
	cargo build --locked --quiet -p virt-hooks-sdk --example firmware_note
	tests/golden/run.sh
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --locked --workspace --all-targets; \
	else set -x; cargo test --locked --workspace --all-targets; fi

lint: check-cargo ## Check format and lints
	cargo fmt --check
	rustfmt --check --edition 2024 --config-path . hooks/*/*.rs
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then set -x; shellcheck packaging/*.sh packaging/*/*.sh examples/demo/run.sh tests/golden/run.sh; \
	else echo 'shellcheck is not here: scripts are not checked'; fi

bench: check-cargo ## Measure the engine beside a C loop, and print a table
	cargo run --locked --release -p virt-hooks-bench -- all $(BENCH_ARGS)

install: ## Build static executables and install them: DESTDIR= PREFIX=/usr
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install.sh

packages: ## Make an rpm and a deb of everything in target/packages: SIGN=KEY
	@PREFIX=/usr SIGN='$(SIGN)' packaging/install.sh --packages "$${CARGO_TARGET_DIR:-target}/packages"

image: ## Build the image for KubeVirt: TAG=registry/name:version TOOL=podman
	@TOOL='$(TOOL)' packaging/kubevirt/build.sh $(TAG)

book: ## Build the book: target/book/index.html
	@command -v mdbook >/dev/null || { echo 'mdbook is missing: cargo install --locked mdbook --no-default-features' >&2; exit 1; }
	mdbook build docs/book --dest-dir "$$(mkdir -p "$${CARGO_TARGET_DIR:-target}" && cd "$${CARGO_TARGET_DIR:-target}" && pwd)/book"

clean: check-cargo ## Remove what was built
	cargo clean

check-cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust from https://rustup.rs' >&2; exit 1; }
