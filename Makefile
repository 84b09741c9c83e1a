# SPDX-License-Identifier: Apache-2.0
# What can be done here; the work is in cargo, xtask and packaging/.
.POSIX:
.PHONY: help build test install clean check-cargo

PREFIX = /usr
DESTDIR =

help: ## Show this
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

build: check-cargo ## Build everything, for trying it out
	cargo build --locked

test: ## Run the whole test suite; installs what is missing, and says what
	@packaging/setup.sh test
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --locked --workspace; \
	else set -x; cargo test --locked --workspace; fi

install: ## Build static executables and install them: DESTDIR= PREFIX=/usr
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install.sh

clean: check-cargo ## Remove what was built
	cargo clean

check-cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust from https://rustup.rs' >&2; exit 1; }
