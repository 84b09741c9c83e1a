#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds what is installed, and installs it. The command is static: it starts at once and needs nothing of the
# host. virt-hooks-vm and virt-hooksd load libvirt, and with it the host's C library: they are dynamic.
#
#     DESTDIR=... PREFIX=... packaging/install.sh [--build-only | --packages DIR]
#
# --packages makes an rpm and a deb of everything in DIR instead; SIGN names a key of gpg to sign them with.
set -eu
cd "$(dirname "$0")/.."

die() {
	printf 'install: %s\n' "$*" >&2
	exit 1
}
say() { printf 'install: %s\n' "$*"; }

command -v cargo >/dev/null 2>&1 ||
	die "cargo is missing: install Rust from https://rustup.rs, or, under sudo: sudo env \"PATH=\$PATH\" make install"

PREFIX=${PREFIX:-/usr}
DESTDIR=${DESTDIR:-}
case $PREFIX in
/*) ;;
*) die "PREFIX=$PREFIX is not an absolute path" ;;
esac
# The engine and the command know where they were installed.
if [ "${1-}" = --packages ] && [ "$PREFIX" != /usr ]; then die "packages are made for /usr, not PREFIX=$PREFIX"; fi
export VIRT_HOOKS_PREFIX="$PREFIX"

machine=$(rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1/p')
musl=$machine-unknown-linux-musl
gnu=$machine-unknown-linux-gnu

has_target() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }
add_target() { command -v rustup >/dev/null 2>&1 && rustup target add "$1"; }

if has_target "$musl" || add_target "$musl"; then
	target=$musl
else
	say "no $musl here: building static for $gnu"
	target=$gnu
	name=$(printf '%s' "$gnu" | tr 'a-z-' 'A-Z_')
	export "CARGO_TARGET_${name}_RUSTFLAGS=-C target-feature=+crt-static"
fi
say "building virt-hooks for $target"
cargo build --release --locked --target "$target" --package virt-hooks
# One by one: built together the command would get features only hooks need, and start more slowly.
say "building the bundled hooks for $target"
cargo build --release --locked --target "$target" --package virt-hooks-bundled
say "building virt-hooks-kubevirt for $target"
cargo build --release --locked --target "$target" --package virt-hooks-kubevirt
unset "CARGO_TARGET_$(printf '%s' "$gnu" | tr 'a-z-' 'A-Z_')_RUSTFLAGS"
say 'building virt-hooks-vm and virt-hooksd'
cargo build --release --locked --package virt-hooks-vm --package virt-hooksd
if [ "${1-}" = --build-only ]; then exit 0; fi

built=${CARGO_TARGET_DIR:-target}
if [ "${1-}" = --packages ]; then
	# The same sources give the same bytes, whenever and wherever they are packed.
	epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
	say "making packages in $2"
	cargo run --quiet --locked --package xtask -- packages --out "$2" --epoch "$epoch" ${SIGN:+--sign "$SIGN"} \
		--bin-dir "$built/$target/release" --bin-dir "$built/release"
	exit 0
fi
say "installing to ${DESTDIR}$PREFIX"
cargo run --quiet --locked --package xtask -- install --destdir "$DESTDIR" --prefix "$PREFIX" \
	--bin-dir "$built/$target/release" --bin-dir "$built/release"
