#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the Python tests on every python3 here that has pytest.
set -eu
cd "$(dirname "$0")/.."

tested=''
for python in python3 /usr/bin/python3 python3.9 python3.10 python3.11 python3.12 python3.13 python3.14; do
	command -v "$python" >/dev/null 2>&1 || continue
	"$python" -c 'import pytest' 2>/dev/null || continue
	# The same interpreter by another name is tested once.
	real=$("$python" -c 'import sys; print(sys.executable)')
	case " $tested " in *" $real "*) continue ;; esac
	tested="$tested $real"
	echo "pytest with $("$python" --version)"
	"$python" -m pytest -q -p no:cacheprovider python/tests
done
if [ -z "$tested" ]; then
	echo 'no python3 here has pytest' >&2
	exit 1
fi
