#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the bundled hooks over the recorded cases of their packages, in installed layout.
#
#     tests/golden/run.sh [compare.py's options, such as --hook smbios -v]
#     tests/golden/run.sh record [--hook smbios]
#
# A case that a package's cases/differs.txt lists has to fail, and to give what is in its directory `intended`; `record`
# writes such a directory where there is none, from what the hook does, for review.
#
# Needs root, for the namespaces the cases run in.
set -eu
cd "$(dirname "$0")/../.."

if [ "$(id -u)" != 0 ]; then
	echo 'the recorded cases are skipped: their namespaces need root'
	exit 0
fi
built=${CARGO_TARGET_DIR:-target}
binary=$built/debug/virt-hooks-bundled
[ -x "$binary" ] || cargo build --locked --quiet -p virt-hooks-bundled
work=$(mktemp -d "$(cd "$built" && pwd)/golden.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# Links to one file: a hook is found by the name it is called by.
cp "$binary" "$work/virt-hooks-bundled"
"$binary" list | while IFS='	' read -r _ point file; do
	mkdir -p "$work/hooks/$point"
	ln "$work/virt-hooks-bundled" "$work/hooks/$point/$file"
done
# The helper that the localdisk hooks call lies beside the hook directories.
cp hooks/localdisk/localdisk-helper "$work/localdisk-helper" 2>/dev/null || :
mkdir "$work/cases" "$work/intended"
for cases in hooks/*/cases; do
	package=${cases%/cases}
	ln -s "$PWD/$cases" "$work/cases/${package##*/}"
done
# No trace beside the sources.
export PYTHONDONTWRITEBYTECODE=1
if [ "${1-}" = record ]; then
	shift
	/usr/bin/python3 tests/golden/intended.py "$work/hooks" "$work/cases" record "$@"
	exit
fi
/usr/bin/python3 tests/golden/compare.py "$work/hooks" "$work/cases" --intended -j 2 "$@" >"$work/out" || :
/usr/bin/python3 tests/golden/judge.py "$work/out" hooks "$@"
/usr/bin/python3 tests/golden/intended.py "$work/hooks" "$work/cases" lay "$work/intended" "$@"
# Without a case that differs there is nothing to compare.
[ -n "$(ls "$work/intended")" ] || exit 0
if ! /usr/bin/python3 tests/golden/compare.py "$work/hooks" "$work/intended" -j 2 "$@" >"$work/out2"; then
	cat "$work/out2"
	exit 1
fi
echo "where they differ on purpose, the hooks do what is written down: $(tail -n 1 "$work/out2")"
