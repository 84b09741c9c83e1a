#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what compare.py said: cases where a package means to differ have to fail, all others to pass.

    judge.py OUTPUT HOOKS [compare.py's options]

A package lists the cases where it does on purpose what VDSM's hook does not in cases/differs.txt: a line each,
`<point>/<case>  <reason>`. What it does there instead is in the directory `intended` of the case: see intended.py.
"""
import os
import re
import sys


def main():
    with open(sys.argv[1], encoding='utf-8', errors='replace') as f:
        output = f.read()
    meant = {}
    for name in sorted(os.listdir(sys.argv[2])):
        path = os.path.join(sys.argv[2], name, 'cases', 'differs.txt')
        if os.path.exists(path):
            with open(path, encoding='utf-8') as f:
                for line in f:
                    case, _, reason = line.strip().partition('  ')
                    if case and not case.startswith('#'):
                        meant[name + '/' + case] = reason.strip()
    counted = re.search(r'^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$', output, re.M)
    if not counted:
        sys.exit(output + '\ncompare.py did not come to its end')
    passed = int(counted.group(1))
    failed = set(re.findall(r'^FAIL ([^:\s]+):', output, re.M))
    wrong = sorted(failed - set(meant))
    # Cases that were not run this time are not judged.
    hooks = set(re.findall(r'^(\w+) +\d+ +\d+ +\d+ ', output, re.M))
    some = any(a.startswith(('--case', '--event', '--sample')) for a in sys.argv[3:])
    stale = sorted(c for c in set(meant) - failed if c.split('/')[0] in hooks and not some)
    blocks = re.split(r'(?m)^(?=FAIL )', output)
    for block in blocks:
        if any(block.startswith('FAIL %s:' % c) for c in wrong):
            print(block.rstrip())
    for case in stale:
        print('%s is listed in differs.txt, but does as VDSM does' % case)
    print(re.split(r'(?m)^(?=hook +passed)', output)[-1].rsplit('\n', 2)[0])
    print('%d cases differ on purpose' % len(failed & set(meant)))
    bad = len(wrong) + len(stale)
    print('%d passed, %d failed' % (passed + len(failed & set(meant)), bad))
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
