#!/bin/bash
# @summary@.
#
# virt-hooks runs this at @point@, with the domain XML in the file $_hook_domxml.
# Exit code 0: fine; 1: failed, the next hook runs; 2: failed, no further hook runs.
set -u

title=${@property@:-}
[ -n "$title" ] || exit 0

payload=${_hook_domxml:?is set by virt-hooks}
xml=$(<"$payload") || exit 2

# A VM that has a title keeps it.
[[ $xml == *'<title>'* ]] && exit 0
if [[ $xml != *'</name>'* ]]; then
	echo '@name@: the domain has no name, after which a title could stand' >&2
	exit 1
fi

title=${title//&/\&amp;}
title=${title//</\&lt;}
title=${title//>/\&gt;}
printf '%s</name>\n  <title>%s</title>%s\n' "${xml%%'</name>'*}" "$title" "${xml#*'</name>'}" >"$payload"
