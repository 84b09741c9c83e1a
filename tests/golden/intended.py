#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is wanted of the bundled hooks where they mean to differ from VDSM's.

    intended.py HOOKS_DIR CASES_DIR lay DIRECTORY [--hook h,..] [--case ID]
    intended.py HOOKS_DIR CASES_DIR record [--hook h,..] [--case ID]

A case that CASES_DIR/<hook>/differs.txt lists has its own expected result in the directory `intended` beside the
recorded one, in the same form: expect.json, and out.xml or out.json. `lay` lays such cases out in DIRECTORY for
compare.py. `record` runs the hooks and writes what they do where nothing is written yet: for review, not for trust.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sandboxlib as sb  # noqa
from sandboxlib import canon  # noqa


def differing(cases, hooks=None, case=None):
    """(hook, point, case, directory) of all that are listed, in the order of the lists."""
    for hook in sorted(os.listdir(cases)):
        listed = os.path.join(cases, hook, 'differs.txt')
        if (hooks and hook not in hooks) or not os.path.exists(listed):
            continue
        with open(listed, encoding='utf-8') as f:
            for line in f:
                name = line.strip().partition('  ')[0]
                if not name or name.startswith('#'):
                    continue
                point, _, cid = name.partition('/')
                if not case or cid.startswith(case):
                    yield hook, point, cid, os.path.join(cases, hook, name)


def lay(listed, to):
    for hook, point, cid, d in listed:
        own = os.path.join(d, 'intended')
        if not os.path.exists(os.path.join(own, 'expect.json')):
            sys.exit('%s/%s/%s differs, and no %s/expect.json says how: see intended.py' % (hook, point, cid, own))
        place = os.path.join(to, hook, point, cid)
        os.makedirs(place)
        for name in sorted(os.listdir(d)):
            if name == 'case.json' or name.startswith('in.'):
                os.symlink(os.path.realpath(os.path.join(d, name)), os.path.join(place, name))
        for name in sorted(os.listdir(own)):
            os.symlink(os.path.realpath(os.path.join(own, name)), os.path.join(place, name))


def record(listed, hooks_dir):
    staged = sb.stage(hooks_dir)
    for hook, point, cid, d in listed:
        own = os.path.join(d, 'intended')
        case = sb.load_case(d)
        script = sb.find_hook(staged, point, hook)
        if os.path.exists(own) or case.get('needs') or script is None:
            continue
        res = sb.run_case(case, point, script, staged)
        # Words for people are not compared, so they are not kept.
        expect = {'rc': res['rc'], **canon.effects(res, case)}
        os.mkdir(own)
        with open(os.path.join(own, 'expect.json'), 'w', encoding='utf-8') as f:
            json.dump(expect, f, indent=1, ensure_ascii=False, sort_keys=True)
            f.write('\n')
        if case['kind']:
            with open(os.path.join(own, 'out.' + case['kind']), 'wb') as f:
                f.write(res['payload'])
        print('wrote %s' % os.path.relpath(os.path.realpath(own)))


def main():
    ap = argparse.ArgumentParser(usage=__doc__)
    ap.add_argument('hooks')
    ap.add_argument('cases')
    ap.add_argument('what', choices=('lay', 'record'))
    ap.add_argument('to', nargs='?')
    ap.add_argument('--hook')
    ap.add_argument('--case')
    # compare.py's other options have no meaning here.
    a, _ = ap.parse_known_args()
    listed = list(differing(a.cases, a.hook and a.hook.split(','), a.case))
    if a.what == 'lay':
        lay(listed, a.to)
    else:
        sb.need_root()
        record(listed, a.hooks)


main()
