#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Says what is missing for the demo or the tests, and installs it: Debian and Ubuntu with apt, Fedora and EL with dnf.
#
#     packaging/setup.sh [--check] [build|demo|test]
#
# --check only tells, and fails if something is missing. No service is started, stopped or configured: libvirt is
# used as a library and as a private process; what starts the host's daemon (libvirt-daemon-system) is not installed.
set -eu

# The newest that was tried.
MDBOOK=0.5.4
check=
for word; do
	case $word in
	--check) check=yes ;;
	build | demo | test) purpose=$word ;;
	*)
		echo "usage: packaging/setup.sh [--check] [build|demo|test]" >&2
		exit 2
		;;
	esac
done
purpose=${purpose:-demo}

say() { printf 'setup: %s\n' "$*"; }
die() {
	printf 'setup: %s\n' "$*" >&2
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# Where programs of the system are, also for users whose PATH is shorter.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

has_library() {
	for dir in /usr/lib /usr/lib64 /usr/lib/*-linux-gnu* /usr/local/lib /usr/local/lib64; do
		if [ -e "$dir/$1" ]; then return 0; fi
	done
	return 1
}

# Debian has a group of that name beside the user; Fedora's package makes both.
has_qemu_user() {
	grep -q '^qemu:' /etc/passwd || { grep -q '^libvirt-qemu:' /etc/passwd && grep -q '^libvirt-qemu:' /etc/group; }
}

# The python3 that is found first need not be the system's, for which packages are.
has_pytest() { python3 -c 'import pytest' 2>/dev/null || /usr/bin/python3 -c 'import pytest' 2>/dev/null; }

# What to install, and for which missing thing.
packages='' things='' user=''
need() { # THING APT DNF
	things="$things${things:+, }$1"
	case $manager in
	apt) packages="$packages $2" ;;
	dnf) packages="$packages $3" ;;
	esac
}

if has apt-get; then
	manager=apt
elif has dnf; then
	manager=dnf
else
	manager=
fi

has cc || need 'a linker (cc)' 'gcc libc6-dev' 'gcc glibc-devel'
if [ "$purpose" != build ]; then
	has_library libvirt.so.0 || need libvirt.so.0 libvirt0 libvirt-libs
	has_library libvirt/connection-driver/libvirt_driver_qemu.so ||
		need "libvirt's QEMU driver" libvirt-daemon-driver-qemu libvirt-daemon-driver-qemu
	has qemu-system-x86_64 || need qemu-system-x86_64 qemu-system-x86 qemu-system-x86-core
	has virsh || need virsh libvirt-clients libvirt-client
	has python3 || need python3 python3 python3
	# libvirt looks its default user and group up when it runs as root, whatever user it is told to use.
	if ! has_qemu_user && [ "$(id -u)" = 0 ]; then user=yes; fi
fi
if [ "$purpose" = test ]; then
	has libvirtd || need libvirtd libvirt-daemon libvirt-daemon
	has ip || need ip iproute2 iproute
	has openssl || need openssl openssl openssl
	has ethtool || need ethtool ethtool ethtool
	has qemu-img || need qemu-img qemu-utils qemu-img
	has rpm || need rpm rpm rpm
	has rpmlint || need rpmlint rpmlint rpmlint
	has gpg || need gpg gnupg gnupg2
	has xmllint || need xmllint libxml2-utils libxml2
	has strace || need strace strace strace
	has visudo || need visudo sudo sudo
	# Debian's own, for debs; Fedora has dpkg.
	has dpkg || need dpkg dpkg dpkg
	if [ "$manager" = apt ] && ! has lintian; then need lintian lintian lintian; fi
	if [ "$manager" = apt ] && ! has mandoc; then need mandoc mandoc mandoc; fi
	has_pytest || need pytest python3-pytest python3-pytest
fi
if [ "$manager" = apt ] && [ -n "$user" ]; then
	things="$things${things:+, }the user and group libvirt-qemu"
fi

rust() {
	has cargo && return 0
	die "the Rust toolchain is missing: install it from https://rustup.rs, or, if root only lacks it, run with PATH=\$HOME/.cargo/bin:\$PATH"
}

# A program of cargo's, which no distribution has: about a minute of compiling. Only one test wants it, and it is
# skipped where it cannot be had.
book() {
	if [ "$purpose" != test ] || ! has cargo || has mdbook; then return 0; fi
	say 'missing for "test": mdbook'
	if [ -n "$check" ]; then return 0; fi
	say "cargo install mdbook $MDBOOK"
	cargo install --locked --quiet --no-default-features --version "$MDBOOK" mdbook ||
		say 'mdbook is not to be had: the test that builds the book is skipped'
}

if [ -z "$things" ]; then
	say "no package to install for \"$purpose\""
	rust
	book
	exit 0
fi
say "missing for \"$purpose\": $things"
if [ -z "$manager" ]; then
	die "neither apt-get nor dnf is here: install these by hand"
fi
# shellcheck disable=SC2086 # a list of words
packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
packages=${packages% }
if [ -n "$packages" ]; then say "to be installed with $manager: $packages"; fi
if [ -n "$check" ]; then
	book
	exit 1
fi
rust
if [ "$(id -u)" != 0 ]; then
	die "installing needs root, run: sudo $0 $purpose"
fi

install_apt() {
	# Packages of libvirt may want to start or restart a daemon: not for our sake. Debian asks this file.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
	say 'apt-get update'
	apt-get -q update
	# A package from elsewhere, such as a newer qemu-utils, may not go with these: then the version that does takes
	# its place. Nothing else is removed for our sake.
	# shellcheck disable=SC2086 # a list of words
	replaced=$(apt-get -s --no-install-recommends install $packages | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' ')
	for package in $replaced; do
		case $package in
		qemu-* | libvirt-*) say "$package does not go with these: it is replaced by the version that does" ;;
		*) die "apt would remove $package: install these by hand: $packages" ;;
		esac
	done
	say "apt-get install $packages"
	# shellcheck disable=SC2086 # a list of words
	apt-get -q -y --no-install-recommends install $packages
	if [ -n "$replaced" ]; then
		# shellcheck disable=SC2086 # a list of words
		apt-get -q -y --no-install-recommends install $replaced
	fi
}

install_dnf() {
	say "dnf install $packages"
	# shellcheck disable=SC2086 # a list of words
	dnf -y --setopt=install_weak_deps=False install $packages
}

# The user and the group that libvirt-daemon-system makes, which takes those that are there; Debian keeps this
# number for both.
make_user() {
	say 'making the user and the group libvirt-qemu'
	getent group kvm >/dev/null || groupadd --system kvm
	if ! getent group libvirt-qemu >/dev/null; then
		if getent group 64055 >/dev/null; then groupadd --system libvirt-qemu; else groupadd --gid 64055 libvirt-qemu; fi
	fi
	if getent passwd libvirt-qemu >/dev/null; then return 0; fi
	number=--system
	if ! getent passwd 64055 >/dev/null; then number='--uid 64055'; fi
	# shellcheck disable=SC2086 # a word, or two
	useradd $number --gid kvm --groups libvirt-qemu --home-dir /var/lib/libvirt --no-create-home \
		--shell /usr/sbin/nologin --comment 'Libvirt Qemu' libvirt-qemu
}

if [ -n "$packages" ]; then "install_$manager"; fi
if [ "$manager" = apt ] && [ -n "$user" ] && ! has_qemu_user; then make_user; fi
book
say 'done'
