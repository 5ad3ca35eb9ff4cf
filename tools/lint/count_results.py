#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "N passed, N failed" for a meson testlog.json; fails unless something passed and nothing failed.

A test program that speaks TAP counts as its cases, any other as one. A program that went wrong without
a failed case (a crash, a timeout, a leak found at its end, a plan not kept) adds one failure.
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b(?:[^#]|#(?! ?(?:skip|todo)))*(#.*)?$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.\d+\b", re.MULTILINE)


def count(test):
    """-> (passed, failed) of one line of the log."""
    result = test["result"]
    if result == "SKIP":
        return 0, 0
    good = result in ("OK", "EXPECTEDFAIL")
    output = test.get("stdout") or ""
    if not PLAN.search(output):
        return (1, 0) if good else (0, 1)
    passed = failed = 0
    for line in output.splitlines():
        case = CASE.match(line)
        if case and not case.group(2):
            if case.group(1):
                failed += 1
            else:
                passed += 1
    if not good and failed == 0:
        failed = 1
    return passed, failed


def main():
    passed = failed = 0
    try:
        with open(sys.argv[1], encoding="utf-8") as log:
            for line in log:
                p, f = count(json.loads(line))
                passed, failed = passed + p, failed + f
    except FileNotFoundError:
        print("test: no test ran", file=sys.stderr)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
