#!/bin/bash
# @summary@.
#
# virt-hooks runs this at @point@.
# Exit code 0: fine; 1: failed, the next hook runs; 2: failed, no further hook runs.
set -u
%if property

note=${@property@:-}
[ -n "$note" ] || exit 0

echo "@name@: $note" >&2
%else

echo "@name@: called at ${_hook_point:-@point@}" >&2
%end
