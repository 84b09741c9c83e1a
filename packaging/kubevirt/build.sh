#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the image for a cluster: static executables for this machine's processor, and the Containerfile.
#
#     packaging/kubevirt/build.sh [--tree-only] [TAG]
#
# TOOL=buildah|podman|docker chooses what builds it; otherwise the first of these that is here.
set -eu
cd "$(dirname "$0")/../.."

die() {
	printf 'build: %s\n' "$*" >&2
	exit 1
}

only_tree=
if [ "${1-}" = --tree-only ]; then
	only_tree=yes
	shift
fi
tag=${1:-localhost/virt-hooks-kubevirt:latest}
command -v cargo >/dev/null 2>&1 || die 'cargo is missing: install Rust from https://rustup.rs'
target=$(rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1/p')-unknown-linux-musl
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
	rustup target add "$target" || die "no $target here: an image without a C library needs it"
fi
# One by one: built together each would get features that only the other needs.
cargo build --release --locked --target "$target" --package virt-hooks-kubevirt
cargo build --release --locked --target "$target" --package virt-hooks-bundled
built=${CARGO_TARGET_DIR:-target}
tree=$built/kubevirt-image
cargo run --quiet --locked --package xtask -- image --out "$tree" --bin-dir "$built/$target/release"
if [ -n "$only_tree" ]; then exit 0; fi

if [ -z "${TOOL-}" ]; then
	for TOOL in buildah podman docker ''; do
		if command -v "$TOOL" >/dev/null 2>&1; then break; fi
	done
fi
[ -n "$TOOL" ] || die "neither buildah nor podman nor docker here; what goes into the image is in $tree"
"$TOOL" build --file packaging/kubevirt/Containerfile --tag "$tag" "$tree"
printf 'build: made %s\n' "$tag"
