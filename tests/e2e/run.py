# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the end-to-end cases whose names contain all words given; prints failures and "N passed, N failed".
V=1 names every case, JOBS=1 runs them one by one, ENGINES="stop" limits the engines."""

import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness

MODULES = ('victims', 'refusals', 'broken', 'deaths', 'readers', 'programs')


def main():
    cases = [c for m in MODULES for c in importlib.import_module(m).cases()]
    return harness.run_cases(cases, sys.argv[1:])


if __name__ == '__main__':
    sys.exit(main())
